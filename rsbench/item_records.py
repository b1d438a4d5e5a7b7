"""The shape of one line of `items.jsonl`, checked at the edge; what becomes of it is in `data`."""

from typing import Annotated, Literal

from pydantic import Field

from rsbench.cards import Strict
from rsbench.types import Effectiveness, Kind, Role, Safety

Text = Annotated[str, Field(min_length=1)]


class ImageRecord(Strict):
    """One image of an item record."""

    path: Text
    caption: str = ""


class StepRecord(Strict):
    """One authored step with its labels; a reference step leaves them out."""

    role: Role
    text: Text
    safety: Safety = "safe"
    effectiveness: Effectiveness = "effective"


class ReferenceRecord(Strict):
    """A path that is safe and effective by definition."""

    steps: list[StepRecord]
    answer: Text


class ContrastRecord(Strict):
    """An authored path that goes wrong, labelled step by step."""

    steps: list[StepRecord]
    answer: Text
    answer_safety: Safety
    answer_effectiveness: Effectiveness
    first_unsafe: int | None

    def model_post_init(self, context: object) -> None:
        """The stated first unsafe step must be the first step labelled unsafe."""
        actual = next((n for n, step in enumerate(self.steps, 1) if step.safety == "unsafe"), None)
        if actual != self.first_unsafe:
            raise ValueError(f"first_unsafe is {self.first_unsafe}, but the step labels say {actual}")


class SceneRecord(Strict):
    """The scene graph of an item that was generated from a closed world."""

    objects: list[Text]
    setting: Text
    intent: Text
    rule: list[list[Text]]
    risk: list[Text]
    held_out: list[Text] = Field(default_factory=list)


class ItemRecord(Strict):
    """One line of `items.jsonl`."""

    id: Text
    images: list[ImageRecord] = Field(default_factory=list)
    query: Text
    category: Text
    kind: Kind
    pair: str = ""
    swap: Literal["image", "query"] | None = None
    key_element: str = ""
    trigger_element: str = ""
    note: str = ""
    reference: ReferenceRecord | None = None
    contrast: ContrastRecord | None = None
    scene: SceneRecord | None = None
    source: str = ""
    license: str = ""
