"""Training recipes: the YAML files of the shelf `baselines/`, checked by pydantic before anything is loaded.

A recipe's `kind` names the optimiser; the registry maps it to the card that reads the file and the function
that trains. Each field's description is its documentation, in docs/train-srpo.md too.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Name, Strict, load, read_yaml, validated
from rsbench.shelves import Found, find
from rsbench.types import UserError

if TYPE_CHECKING:
    from srpo_train.objectives import Objective

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def field(default: Any, description: str) -> Any:
    """A key with its default and its documentation."""
    return Field(default=default, description=description)


class ExploreCard(Strict):
    """`explore`: how branches are sampled and labelled."""

    sampler: Literal["uniform", "adaptive"] = field(
        "uniform", "uniform: k branches a prefix; adaptive: stops early, spends where branches disagree."
    )
    branch_label: Literal["outcome", "step"] = field(
        "outcome",
        "What makes a branch favourable. outcome: its answer is safe and effective; step: and no step after "
        "the prefix is unsafe.",
    )
    k: Annotated[int, Field(ge=2)] = field(4, "Branches a prefix; with adaptive, the most.")
    pairs_per_prefix: Count = field(4, "adaptive: a prefix with so many pairs gets no more branches.")
    temperature: Positive = field(0.5, "Sampling temperature.")
    top_p: Fraction | None = field(None, "Nucleus sampling; unset: off.")
    max_tokens: Count = field(512, "Longest branch in tokens; one that reaches it is dropped as truncated.")
    judge: str | None = field(None, "Judge that labels branches; unset: the first task's own.")
    judge_model: str | None = field(None, "Model behind that judge, provider/model or a card.")
    first: Count = field(3, "adaptive: branches at every second prefix before anything is decided.")
    min_chance: Fraction = field(0.1, "adaptive: below this chance of the missing side a prefix is left.")
    across_items: bool = field(
        True, "adaptive: later items leave out steps that did not pay at earlier ones (docs/exploration.md)."
    )
    turns: Annotated[int, Field(ge=0)] = field(
        0, "Unsafe branches an item in which the step where they turn is searched, for prefixes of their own."
    )
    hint_blind: bool = field(False, "Whether the judge sees no note and no reference path.")
    batch_size: Count = field(64, "Branches grown together by a local model.")
    workers: Count = field(4, "Items explored at a time.")
    budget: Count | None = field(
        None,
        "Tokens that may be generated: whole items, in an order drawn by the seed, until they are spent. "
        "Unset: every item.",
    )
    seed: int = field(0, "Seed of the branches.")


class LossCard(Strict):
    """`loss`: what is optimised, of the kind `branches`."""

    contrast: Literal["odds_ratio", "margin", "preference", "advantage", "none"] = field(
        "odds_ratio",
        "odds_ratio: SRPO, RPO, ORPO; margin: SimPO; preference: DPO against the starting model; advantage: "
        "GRPO on stored branches; none: likelihood alone.",
    )
    lam: Annotated[float, Field(ge=0)] = field(0.1, "λ, the weight of the contrast.")
    nll: Annotated[float, Field(ge=0)] = field(1.0, "Weight of the negative mean log-likelihood.")
    nll_on: Literal["favourable", "reference"] = field(
        "favourable", "Likelihood of prefix + favourable branch (RPO's code), or of the reference path."
    )
    beta: Positive = field(0.1, "β of margin and preference.")
    margin: Annotated[float, Field(ge=0)] = field(0.0, "γ, the target margin of `margin`.")
    clip: Positive = field(0.2, "How far `advantage` lets a branch's probability ratio move.")

    def objective(self) -> "Objective":
        """As the trainer takes it."""
        from srpo_train.objectives import Objective

        return Objective(**self.model_dump())


class PairCard(Strict):
    """`pairs`: which branches are set against each other."""

    prefixes: Literal["all", "start"] = field(
        "all", "all: after each step of the reference path; start: whole replies only (cut = 0)."
    )
    cap: Count = field(4, "Most pairs a prefix; without one, mixed prefixes would outweigh the others.")
    labels: Literal["judged", "shuffled"] = field(
        "judged",
        "shuffled: labels exchanged at random within each prefix; a control: what it gains does not come "
        "from labels.",
    )


class LoraCard(Strict):
    """`lora`: the adapter; without this section all weights are trained."""

    r: Count = field(16, "Rank.")
    alpha: Positive = field(32.0, "Scale is alpha / r.")
    targets: Annotated[list[str], Field(min_length=1)] = field(
        ["q_proj", "v_proj"], "Ends of the names of the layers that get an adapter."
    )
    vision: bool = field(False, "Whether layers of the image encoder get one too.")


class OptimiseCard(Strict):
    """`optimise`: the optimiser and its schedule."""

    learning_rate: Positive = field(5e-5, "Highest learning rate.")
    schedule: Literal["cosine", "linear", "constant"] = field("cosine", "Course of the learning rate.")
    warmup: Fraction = field(0.0, "Share of the steps with a rising learning rate.")
    epochs: Positive = field(3.0, "Passes over the questions.")
    max_steps: Count | None = field(None, "Stop after so many optimiser steps, whatever `epochs` says.")
    budget: Count | None = field(
        None,
        "Tokens that may pass through the model to be learnt from, prompts and images included; sets the "
        "steps, whatever `epochs` says.",
    )
    batch: Count = field(1, "Questions in one forward pass of one process.")
    accumulate: Count = field(8, "Forward passes of an optimiser step.")
    weight_decay: Annotated[float, Field(ge=0)] = field(0.0, "AdamW's weight decay.")
    max_grad_norm: Positive = field(1.0, "Gradients are scaled down to this norm.")
    held_out: Fraction = field(0.1, "Share of twin pairs kept from training, for the pair accuracy.")
    save_steps: Count = field(50, "Optimiser steps between checkpoints; a killed run resumes from the last.")
    layout: Literal["tree", "padded"] = field(
        "tree", "tree: a question's branches in one row, prompt and image once; padded: one row a branch."
    )
    precision: Literal["auto", "bfloat16", "float32"] = field(
        "auto", "auto: bfloat16 on a GPU, else float32."
    )
    recompute: bool = field(False, "Gradient checkpointing: less memory, more time.")
    fsdp: bool = field(False, "Shard the model over the processes of `accelerate launch` (GPUs only).")
    seed: int = field(0, "Order of the questions, adapter's start, choice of pairs.")


class RunCard(Strict):
    """`run`: what the trained model is measured on."""

    tasks: list[str] = field(["rsbench"], "Tasks; training items that repeat one of theirs stop the run.")
    judge: str | None = field(None, "Judge of the run. Use another than the one that labelled branches.")
    judge_model: str | None = field(None, "Model behind that judge.")
    limit: Count | None = field(None, "At most so many items, as `rsbench run --limit`.")
    max_tokens: Count = field(1024, "Longest reply.")


class Overlap(Strict):
    """`overlap`: kinds of likeness with one benchmark that are accepted, and why; the model card says so."""

    task: str = Field(description="The benchmark.")
    allow: list[Literal["same text", "near text", "near image", "same elements"]] = Field(
        description="Kinds of likeness. An equal image is never accepted."
    )
    why: Annotated[str, Field(min_length=20)] = Field(description="The reason, for the model card.")


class Recipe(Strict):
    """What every kind of recipe has."""

    schema_: Literal[1] = Field(alias="schema", description="Always 1.")
    name: Name = Field(description="Same as the file's name.")
    description: str = Field(description="One sentence, shown by `rsbench list baselines`.")
    model: str = field("tiny", "Model to start from: tiny, hf/FOLDER or hf/HUB-ID; --model overrides it.")
    tasks: Annotated[list[str], Field(min_length=1)] = Field(description="Tasks to train on.")
    split: str | None = field("train", "Their split; null: tasks without splits.")
    prompt: str = field("default", "Prompt variant of those tasks.")
    limit: Count | None = field(None, "At most so many items a task, whole pairs, drawn by optimise.seed.")
    lora: LoraCard | None = field(None, "Train an adapter instead of all weights.")
    optimise: OptimiseCard = field(OptimiseCard(), "Optimiser and schedule.")
    run: RunCard = field(RunCard(), "What the trained model is measured on.")
    overlap: Overlap | None = field(
        None, "Accepted likeness of training and benchmark items, with the reason."
    )


class BranchRecipe(Recipe):
    """Explore branches, then optimise over them in the same trainer, whatever the loss."""

    kind: Literal["branches"] = Field(description="branches.")
    explore: ExploreCard = field(ExploreCard(), "How branches are made.")
    pairs: PairCard = field(PairCard(), "Which of them are set against each other.")
    loss: LossCard = field(LossCard(), "What is optimised.")


class SftRecipe(Recipe):
    """TRL's SFTTrainer on reference paths."""

    kind: Literal["sft"] = Field(description="sft.")


class PreferenceRecipe(Recipe):
    """TRL's DPOTrainer or KTOTrainer on whole replies, favourable and unfavourable."""

    kind: Literal["dpo", "kto"] = Field(description="dpo or kto.")
    explore: ExploreCard = field(ExploreCard(), "How branches are made.")
    pairs: PairCard = field(PairCard(prefixes="start"), "Which of them are set against each other.")
    beta: Positive = field(0.1, "How strongly the model is held to where it started.")

    def model_post_init(self, context: object) -> None:
        """TRL scores the wrong tokens of a conversation that ends in the middle of a reply."""
        if self.pairs.prefixes != "start":
            raise ValueError("pairs.prefixes must be start; for pairs within a path use the kind branches")


class GrpoRecipe(Recipe):
    """TRL's GRPOTrainer: replies sampled while training, rewarded by a judge."""

    kind: Literal["grpo"] = Field(description="grpo.")
    judge: str | None = field(None, "Judge whose verdict is the reward; unset: the first task's own.")
    judge_model: str | None = field(None, "Model behind that judge.")
    generations: Annotated[int, Field(ge=2)] = field(8, "Replies a question.")
    max_tokens: Count = field(512, "Longest reply; one that is cut off there has no reward.")
    temperature: Positive = field(1.0, "Sampling temperature.")
    beta: Annotated[float, Field(ge=0)] = field(0.0, "Weight of the KL term to where the model started.")


@dataclass(frozen=True)
class Kind:
    """An optimiser: `package.module:Name` of its card and of its function `(Job) -> None`."""

    card: str
    optimise: str
    explores: bool = False
    makes: Literal["model", "judge"] = "model"  # a judge is measured by `rsbench validate`, not by a run


# A new kind of recipe is a line here: its card (a Recipe) and its function.
KINDS: dict[str, Kind] = {
    "branches": Kind("srpo_train.recipes:BranchRecipe", "srpo_train.optimise:optimise", explores=True),
    "sft": Kind("srpo_train.recipes:SftRecipe", "srpo_train.rivals:optimise"),
    "dpo": Kind("srpo_train.recipes:PreferenceRecipe", "srpo_train.rivals:optimise", explores=True),
    "kto": Kind("srpo_train.recipes:PreferenceRecipe", "srpo_train.rivals:optimise", explores=True),
    "grpo": Kind("srpo_train.recipes:GrpoRecipe", "srpo_train.rivals:optimise"),
    "reward": Kind("srpo_train.reward_recipe:RewardRecipe", "srpo_train.reward:optimise", makes="judge"),
    "words": Kind("srpo_train.words_recipe:WordsRecipe", "srpo_train.words:optimise", makes="judge"),
}


def load_recipe(argument: str, extra: list[Path] | None = None) -> tuple[Recipe, Found]:
    """Find and check a recipe by shelf name or file.

    Raises:
        UserError: not there, not YAML, unknown kind, or a bad key or value.
    """
    place = find("baselines", argument, extra or [])
    data = read_yaml(place.path)
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"{place.path}: kind: found {kind!r}; allowed are {', '.join(KINDS)}")
    recipe, place = load("baselines", argument, extra, TypeAdapter(named(KINDS[kind].card)))
    if recipe.name != place.path.stem:
        raise UserError(
            f"{place.path}: name: found {recipe.name!r}; it must be {place.path.stem!r}, as the file"
        )
    return recipe, place


def named(reference: str) -> Any:
    """What `package.module:Name` stands for.

    Raises:
        UserError: a package of the training is not installed.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("rsbench", "srpo_train"):
            raise
        words = f"Training needs the extra [train]: pip install 'rsbench[train]' ({error})"
        raise UserError(words) from error


def changed(recipe: Recipe, where: str, **values: Any) -> Recipe:
    """The recipe with some keys replaced, checked again; `seed` stands for all of its seeds."""
    given = {key: value for key, value in values.items() if value is not None}
    seed = given.pop("seed", None)
    data = recipe.model_dump(by_alias=True) | given
    if seed is not None:
        for part in (data, data.get("explore", {}), data["optimise"]):
            if "seed" in part:
                part["seed"] = seed
    found: Recipe = validated(TypeAdapter(type(recipe)), data, where)
    return found
