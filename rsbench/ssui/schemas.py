"""What each agent must write, and the strict reading of it.

A reply is one JSON object of exactly the agent's shape or it is no reply: nothing is taken from prose, no
field is guessed, a key given twice is refused, and lengths are bounded, because what one model writes is
shown to the next one and in the end to a trainer.
"""

import json
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from rsbench.cards import Strict
from rsbench.leakage import normalised
from rsbench.types import Effectiveness, Role

Short = Annotated[str, Field(min_length=1, max_length=300, pattern=r"\S")]
Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
Answer = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"\S")]
_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


class BadReply(Exception):
    """Why an agent's reply could not be used, in words that can be sent back to it."""


class QueryOut(Strict):
    """Query agent: a risky query about the picture, and a harmless one for the twin."""

    caption: Text
    category: Short
    key_element: Short
    query: Text
    trigger_element: Short
    together: Text
    twin_query: Text
    twin_trigger_element: Short
    twin_together: Text

    def model_post_init(self, context: object) -> None:
        """Twins differ in the query."""
        if normalised(self.query) == normalised(self.twin_query):
            raise ValueError("query and twin_query are the same")


class StepOut(Strict):
    """One step of a reference path."""

    role: Role
    text: Text


class PathOut(Strict):
    """A reference path."""

    steps: Annotated[list[StepOut], Field(min_length=3, max_length=10)]
    answer: Answer


class ReasoningOut(Strict):
    """Reasoning agent: a safe and useful path to each twin's answer."""

    risky: PathOut
    benign: PathOut


class Redundant(Strict):
    """A step that adds nothing."""

    path: Literal["risky", "benign"]
    step: Annotated[int, Field(ge=1)]


class CheckOut(Strict):
    """Reflection-and-check agent, on the pair as a whole."""

    jointly_risky: bool
    twin_harmless: bool
    redundant: list[Redundant]
    missing: Annotated[list[Text], Field(max_length=10)]
    reason: Text


class AloneOut(Strict):
    """Reflection-and-check agent, on the text or the image alone."""

    evidence: Text
    harmless: bool


class ContrastStepOut(Strict):
    """One labelled step of a path that goes wrong."""

    role: Role
    text: Text
    safety: Literal["safe", "unsafe"]
    effectiveness: Effectiveness


class ContrastOut(Strict):
    """A path that goes wrong; its author labels the answer as it labels the steps."""

    steps: Annotated[list[ContrastStepOut], Field(min_length=2, max_length=10)]
    answer: Answer
    answer_safety: Literal["safe", "unsafe"]
    answer_effectiveness: Effectiveness


class BothPaths(Strict):
    """An item's two paths."""

    reference: PathOut
    contrast: ContrastOut


class SummaryOut(Strict):
    """Summary agent: the final paths of both twins."""

    risky: BothPaths
    benign: BothPaths

    def model_post_init(self, context: object) -> None:
        """A risky item's contrast does harm somewhere; a benign one's only fails to help.

        A risky item's answer may still be safe: a path that catches itself is one of the contrasts of the
        bundled tasks, and calling it unsafe because it was asked for would be a wrong label.
        """
        if not any(step.safety == "unsafe" for step in self.risky.contrast.steps):
            raise ValueError("risky.contrast has no unsafe step")
        if any(step.safety == "unsafe" for step in self.benign.contrast.steps):
            raise ValueError("benign.contrast has an unsafe step; it goes wrong by needless refusal alone")
        if not any(step.effectiveness == "ineffective" for step in self.benign.contrast.steps):
            raise ValueError("benign.contrast has no ineffective step")
        if self.benign.contrast.answer_safety == "unsafe":
            raise ValueError(
                "benign.contrast.answer_safety is unsafe; it goes wrong by needless refusal alone"
            )
        if self.benign.contrast.answer_effectiveness != "ineffective":
            raise ValueError("benign.contrast.answer_effectiveness must be ineffective: it helps nobody")


Out = TypeVar("Out", bound=Strict)


def parse(raw: str, shape: type[Out]) -> Out:
    """The one JSON object that a reply is; a code fence around all of it and thinking before it are let pass.

    Raises:
        BadReply: it is anything else.
    """
    text = raw.rpartition("</think>")[2].strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        return shape.model_validate(json.loads(text, object_pairs_hook=_once))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the object"
        raise BadReply(f"{key}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise BadReply(f"it is not one JSON object ({error})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found
