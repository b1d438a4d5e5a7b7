"""The recipe of a reward judge: what `baselines/reward.yaml` may say.

Apart from `recipes`, whose kinds start from a model under training; this one starts from an embedding model.
"""

from typing import Annotated, Literal

from pydantic import Field

from rsbench.judge_cards import EmbeddingCard
from srpo_train.recipes import Positive, Recipe, field


class RewardRecipe(Recipe):
    """Linear heads on text embeddings, trained on the labelled steps of a split that no model trains on."""

    kind: Literal["reward"] = Field(description="reward.")
    embedding: EmbeddingCard = Field(description="The package that ships the embedding model, and its hash.")
    penalty: Positive = field(0.001, "Weight of the squared norm of the heads against the mean loss.")
    folds: Annotated[int, Field(ge=2)] = field(
        5, "Parts of the ideas; each is held out once, for calibration, thresholds and the report."
    )
    unclear: Annotated[float, Field(ge=0, lt=0.5)] = field(
        0.1, "Share of held-out steps, those nearest to the threshold, that are left unclear."
    )
    seed: int = field(0, "Parts of the ideas, and which wording of a hint a step is shown with.")

    def model_post_init(self, context: object) -> None:
        """No model under test is trained, so none can be asked for."""
        if self.model != "tiny" or self.lora is not None:
            raise ValueError("model and lora do not go with the kind reward: it starts from `embedding`")
