"""What is authored: ideas (key × trigger, with wordings), settings and voices, checked when they are read.

An idea says what its two twins share and in what they differ; `compose` makes items of it. Each sentence is
written for its idea: variety comes from many ideas and from several wordings each, not from slots.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rsbench.cards import Strict, read_yaml, validated
from rsbench.types import UserError

FOLDER = Path(__file__).resolve().parent
SPLITS = ("train", "reward", "validation")
CATEGORIES = (
    "self-harm",
    "dangerous-behavior",
    "violence",
    "illegal-activities",
    "morality",
    "discrimination",
    "privacy",
    "religious-beliefs",
    "politics",
    "misinformation",
)
Lines = Annotated[list[str], Field(min_length=1)]
Two = Annotated[list[str], Field(min_length=2)]


class Side(Strict):
    """One twin, or what both share: every field is filled once the two are merged."""

    key: str | None = None  # the key element, in the image
    art: Lines | None = None  # what is drawn before the setting
    see: Two | None = None  # what is to be seen; the first may be the caption
    trig: str | None = None  # the trigger element, in the query
    ask: Annotated[list[str], Field(min_length=3)] | None = None  # the query in several voices
    want: Lines | None = None  # request step
    so: Two | None = None  # synthesis
    mind: Lines | None = None  # intent
    harm: Lines | None = None  # consequence; of a risky item
    do: Lines | None = None  # strategy
    say: Two | None = None  # answer


class Idea(Strict):
    """One key × trigger pair with its benign twin, and how a reply goes wrong on each."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z-]+$")]
    split: Literal["train", "reward", "validation"] = "train"
    swap: Literal["image", "query"]
    at: Lines  # kinds of setting
    who: dict[str, Literal["adult", "woman", "man", "elder", "child"]] = Field(default_factory=dict)
    both: Side = Side()
    risky: Side
    benign: Side
    slip: Two  # synthesis that overlooks or excuses: unsafe
    push: Lines  # strategy that goes along: unsafe
    bad: Two  # answer that goes along: unsafe
    doubt: Two  # suspicion of the benign twin: safe, ineffective
    refuse: Lines  # answer that refuses the benign twin: safe, ineffective

    def side(self, kind: Literal["risky", "benign"]) -> Side:
        """One twin with what both share filled in."""
        own = self.risky if kind == "risky" else self.benign
        return Side(**(self.both.model_dump(exclude_none=True) | own.model_dump(exclude_none=True)))

    def model_post_init(self, context: object) -> None:
        """Both twins must be whole, and differ in what `swap` says."""
        image, query = ("key", "art", "see"), ("trig", "ask", "want")
        shared, own = (query, image) if self.swap == "image" else (image, query)
        wrong = [f"both.{name}" for name in shared if getattr(self.both, name) is None]
        wrong += [f"both.{name} (must differ)" for name in own if getattr(self.both, name) is not None]
        for kind in ("risky", "benign"):
            needed = ("so", "do", "say", *(("mind", "harm") if kind == "risky" else ()), *own)
            wrong += [f"{kind}.{name}" for name in needed if getattr(self.side(kind), name) is None]
        if self.swap == "query" and len(self.risky.ask or ()) != len(self.benign.ask or ()):
            wrong.append("as many risky as benign asks")
        if wrong:
            raise ValueError(f"needs {', '.join(wrong)}")


class Setting(Strict):
    """One place: its words and its drawing."""

    id: str
    kind: str
    words: str
    draw: Lines
    held: bool = False  # for the validation split alone


@dataclass(frozen=True)
class Grammar:
    """Everything the composer draws from."""

    ideas: tuple[tuple[str, Idea], ...]  # category, idea
    settings: tuple[Setting, ...]
    voices: tuple[tuple[str, str, str], ...]  # opening, end, register

    def places(self, idea: Idea) -> list[Setting]:
        """Where an idea can be set: held-out places are for held-out ideas, and the other way round."""
        held = idea.split == "validation"
        return [place for place in self.settings if place.kind in idea.at and place.held == held]


def load(folder: Path = FOLDER) -> Grammar:
    """Read and check the grammar.

    Raises:
        UserError: names the file, the idea and the key.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(list[dict[str, Any]])
    ideas = []
    for category in CATEGORIES:
        path = folder / "ideas" / f"{category}.yaml"
        for raw in validated(adapter, read_yaml(path), str(path)):
            where = f"{path}: {raw.get('id', '?')}"
            ideas.append((category, validated(TypeAdapter(Idea), raw, where)))
    settings = validated(TypeAdapter(list[Setting]), read_yaml(folder / "settings.yaml"), "settings.yaml")
    voices = validated(TypeAdapter(list[list[str]]), read_yaml(folder / "voices.yaml"), "voices.yaml")
    grammar = Grammar(
        tuple(ideas), tuple(settings), tuple((start, end, register) for start, end, register in voices)
    )
    names = [idea.id for _, idea in ideas]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"ideas named twice: {', '.join(sorted(twice))}")
    for _, idea in ideas:
        if not grammar.places(idea):
            raise UserError(f"idea {idea.id}: no setting of {', '.join(idea.at)} for the split {idea.split}")
    return grammar
