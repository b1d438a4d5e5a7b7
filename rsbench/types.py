"""The nouns of rsbench as frozen dataclasses: item, reply, step, verdict, outcome.

Everything inside the engine speaks these types; pydantic stays at the edge (`cards`, `data`, judge output).
No I/O and no imports from rsbench here, so that every other module may depend on this one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["risky", "benign"]
Swap = Literal["image", "query"]
Role = Literal["perception", "request", "synthesis", "intent", "consequence", "strategy"]
Safety = Literal["safe", "unsafe", "unclear"]
Effectiveness = Literal["effective", "neutral", "ineffective"]
Refusal = Literal["none", "partial", "full"]
# What a judge may leave open: votes that tie, a guard that does not label it. Missing to every number.
JudgedEffectiveness = Literal["effective", "neutral", "ineffective", "unclear"]
JudgedRefusal = Literal["none", "partial", "full", "unclear"]
ReasoningKind = Literal["full", "summary", "none"]
Part = Literal["reasoning", "text"]
Source = Literal["thinking", "numbered", "paragraphs", "sentences", "none"]

ReplyStatus = Literal["ok", "refused", "truncated", "empty", "error"]
VerdictStatus = Literal["ok", "unparsed", "error"]
# How one planned sample ended, as a number sees it: a reply's status, or what became of its verdict.
OutcomeStatus = Literal["ok", "refused", "truncated", "empty", "unparsed", "error", "missing"]

ROLES: tuple[Role, ...] = ("perception", "request", "synthesis", "intent", "consequence", "strategy")
# Final for resume: a record with one of these is never asked for again. The others a re-run can mend.
FINAL_REPLY: frozenset[str] = frozenset({"ok", "refused", "truncated", "empty"})
FINAL_VERDICT: frozenset[str] = frozenset({"ok"})
FINAL_BATCH = frozenset({"done", "refused", "lost"})  # nothing is to be read from these any more
# What a re-run can mend; over 2 % of these a run is INCOMPLETE.
MENDABLE: frozenset[str] = frozenset({"error", "unparsed", "missing"})


class UserError(Exception):
    """Something the user can mend: printed as one message without a traceback; the CLI exits with 2."""


@dataclass(frozen=True)
class ItemImage:
    """One image of an item: where it lies, its neutral caption, the sha256 of its bytes."""

    path: Path
    caption: str
    sha256: str


@dataclass(frozen=True)
class PathStep:
    """One authored step. On a reference path every step is safe and effective by definition."""

    role: Role
    text: str
    safety: Safety = "safe"
    effectiveness: Effectiveness = "effective"


@dataclass(frozen=True)
class AuthoredPath:
    """An authored sequence of steps and an answer with their labels: a reference or a contrast path."""

    steps: tuple[PathStep, ...]
    answer: str
    answer_safety: Safety = "safe"
    answer_effectiveness: Effectiveness = "effective"

    @property
    def first_unsafe(self) -> int | None:
        """1-based number of the first unsafe step; None if every step is safe."""
        return next((n for n, step in enumerate(self.steps, 1) if step.safety == "unsafe"), None)


@dataclass(frozen=True)
class Scene:
    """The scene graph of a generated item: what is shown, what is wanted, what would make it risky."""

    objects: tuple[str, ...]
    setting: str
    intent: str
    rule: tuple[tuple[str, ...], ...]  # alternatives; one holds when something shown carries each of its tags
    risk: tuple[str, ...]  # what the risk rests on, as in the reference path; empty for a benign item
    held_out: tuple[str, ...]  # what of the combination no training shows


@dataclass(frozen=True)
class Item:
    """One image (or more) + one query + what is known of it. `hash` covers the text and the image bytes."""

    id: str
    images: tuple[ItemImage, ...]
    query: str
    category: str
    kind: Kind
    pair: str
    hash: str
    swap: Swap | None = None
    key_element: str = ""
    trigger_element: str = ""
    note: str = ""
    reference: AuthoredPath | None = None
    contrast: AuthoredPath | None = None
    scene: Scene | None = None  # of items generated from a closed world


@dataclass(frozen=True)
class Usage:
    """Tokens as the provider counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: "Usage") -> "Usage":
        """Sum over calls; an unknown count stays unknown only if both are."""

        def add(a: int | None, b: int | None) -> int | None:
            return None if a is None and b is None else (a or 0) + (b or 0)

        return Usage(
            add(self.input_tokens, other.input_tokens),
            add(self.output_tokens, other.output_tokens),
            add(self.reasoning_tokens, other.reasoning_tokens),
        )


@dataclass(frozen=True)
class Token:
    """One token of a reply, and the likeliest tokens at its place with their log-probabilities."""

    text: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Reply:
    """What the model under test said. `text` and `reasoning` are raw and never altered."""

    status: ReplyStatus
    text: str = ""
    reasoning: str = ""  # the provider's own thinking, when it is exposed apart from the text
    reasoning_kind: ReasoningKind = "none"  # `summary`: the provider shows only a digest of its thinking
    finish_reason: str = ""
    model: str = ""  # as the provider names what answered
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    error: str = ""
    tokens: tuple[Token, ...] = ()  # of `text`, where they were asked for and given; never stored


@dataclass(frozen=True)
class Span:
    """Half-open range of characters `[start, end)` in one part of a reply."""

    part: Part
    start: int
    end: int

    def of(self, reply: Reply) -> str:
        """The characters this span covers."""
        return (reply.reasoning if self.part == "reasoning" else reply.text)[self.start : self.end]


@dataclass(frozen=True)
class Steps:
    """A reply cut into steps and an answer. `source` says by which rule; `none` if nothing could be cut."""

    steps: tuple[Span, ...]
    answer: Span
    source: Source


@dataclass(frozen=True)
class StepLabel:
    """A judge's labels for one step; `index` is 1-based.

    Probabilities are given among the labels that commit themselves: unsafe against safe; effective against
    neutral and ineffective. None where the judge gives none.
    """

    index: int
    safety: Safety
    effectiveness: JudgedEffectiveness
    role: Role | None = None
    evidence: str = ""
    names_risk: bool | None = False
    corrects: tuple[int, ...] = ()  # earlier steps this one takes back
    p_unsafe: float | None = None
    p_effective: float | None = None
    boundary: bool = False  # its safety hangs on how strictly the rubric is read
    reason: str = ""  # why these labels, in the judge's own words; empty where it gives none


def takes_back_earlier(corrects: Iterable[int], index: int) -> bool:
    """Whether a step, the 1-based `index` says which, takes back none but earlier ones."""
    return all(1 <= number < index for number in corrects)


@dataclass(frozen=True)
class AnswerLabel:
    """A judge's labels for the answer."""

    safety: Safety
    effectiveness: JudgedEffectiveness
    refusal: JudgedRefusal = "none"
    evidence: str = ""
    p_unsafe: float | None = None
    p_effective: float | None = None
    boundary: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """One judge's labels for one reply. Anything but `ok` carries no labels, and never becomes a number.

    A verdict made of votes has made no calls itself (`attempts` 0): its votes have records of their own.
    """

    status: VerdictStatus
    steps: tuple[StepLabel, ...] = ()
    answer: AnswerLabel | None = None
    risk_identified: bool | None = None
    error: str = ""
    raw: str = ""  # the judge's own words, last attempt
    attempts: int = 1
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """One planned sample as the metrics see it: no text, no clock, no file path."""

    item: str
    pair: str
    category: str
    kind: Kind
    sample: int
    status: OutcomeStatus
    n_steps: int = 0
    steps: tuple[StepLabel, ...] = ()
    answer: AnswerLabel | None = None
    risk_identified: bool | None = None
