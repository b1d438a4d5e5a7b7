"""Judge cards: one pydantic model a kind of judge, told apart by `kind`, and how a card is found.

Apart from `cards`, which owns YAML and the words of its errors, so that a new kind touches this file alone.
"""

import importlib.util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Name, Strict, load, validated
from rsbench.shelves import Found, entries, found
from rsbench.types import UserError


class Robustness(Strict):
    """The most that `rsbench validate --robustness` may find for the judge to pass an attack."""

    flip_rate: Annotated[float, Field(ge=0, le=1)] = 0.1
    induced_miss_rate: Annotated[float, Field(ge=0, le=1)] = 0.1


class Card(Strict):
    """What a judge of any kind may state."""

    robustness: Robustness = Robustness()


class LlmJudge(Card):
    """A language model that follows a rubric."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["llm"]
    name: Name
    description: str
    rubric: str
    lenient: str | None = None  # a second reading; `rubric` is then the strict one (may be the same file)
    mode: Literal["path", "step"] = "path"  # one call labels all steps, or one call a step
    votes: Annotated[int, Field(ge=1, le=25)] = 1
    soft: bool = False  # read probabilities of the labels off the provider's tokens, where it gives them
    structured: Literal["offered", "required"] = "offered"  # the schema, to servers not known to take one
    max_tokens: Annotated[int, Field(ge=64)] = 4096
    temperature: Annotated[float, Field(ge=0)] | None = 0.0
    reasks: Annotated[int, Field(ge=0, le=2)] = 2

    def model_post_init(self, context: object) -> None:
        """Votes are to be able to differ."""
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(
                f"votes: {self.votes} needs a temperature above 0 (at 0 they are one vote copied)"
            )


class OverlapJudge(Card):
    """An offline judge: compares each step with the item's labelled authored steps."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["overlap"]
    name: Name
    description: str
    min_similarity: Annotated[float, Field(ge=0, le=1)]


class MockJudge(Card):
    """The scripted judge: labels from the item's own authored labels."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["mock"]
    name: Name
    description: str


class PythonJudge(Card):
    """A judge written in Python, named as `package.module:Name` and called with this card."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["python"]
    name: Name
    description: str
    python: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    settings: dict[str, Any] = Field(default_factory=dict)


JudgeCard = LlmJudge | OverlapJudge | MockJudge | PythonJudge
_JUDGE: TypeAdapter[JudgeCard] = TypeAdapter(Annotated[JudgeCard, Field(discriminator="kind")])


def load_judge(argument: str, extra: list[Path] | None = None) -> tuple[JudgeCard, Found]:
    """Find and check a judge card; a package's judge (`rsbench.judges`) needs none and has its name."""
    packaged = {entry.name: entry for entry in entry_points(group="rsbench.judges")}
    if argument in packaged and argument not in (name for name, _, _ in entries("judges", extra or [])):
        return _packaged_judge(packaged[argument])
    return load("judges", argument, extra, _JUDGE)


def _packaged_judge(entry: EntryPoint) -> tuple[PythonJudge, Found]:
    """The card that a package's judge would have; its hash is that of the module it is written in."""
    where = f"judge {entry.name!r} of the package {entry.dist.name if entry.dist else '?'}"
    try:
        spec = importlib.util.find_spec(entry.module)
    except ImportError as error:
        raise UserError(f"{where}: {entry.value!r} can't be imported: {error}") from error
    if spec is None or not spec.origin:
        raise UserError(f"{where}: there is no module {entry.module!r}")
    data = {"schema": 1, "kind": "python", "name": entry.name, "description": "", "python": entry.value}
    return validated(TypeAdapter(PythonJudge), data, where), found(Path(spec.origin), where)
