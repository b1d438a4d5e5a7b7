"""A rubric and the requests made with it: what a judge model is shown of a case.

What the model under test said is data: nonce-delimited, with look-alike delimiters neutralised. In a
request for one step everything constant comes first, then the steps so far, then the one to label, so that a
provider's prefix cache serves every call but the first.
"""

from dataclasses import dataclass
from pathlib import Path

from rsbench.cards import Strict
from rsbench.images import load_image
from rsbench.judges.base import Case
from rsbench.judges.parse import AnswerVerdictOut, StepOut, VerdictOut, json_schema
from rsbench.models.base import GenParams, Message, Request
from rsbench.prompts import quote, read_template, render
from rsbench.records import digest
from rsbench.types import AuthoredPath

TOP_TOKENS = 5  # alternatives at each place: labels are few, and the list is sent for every token


@dataclass(frozen=True)
class Rubric:
    """A template in one of its leanings ("strict", "lenient"; "" for a rubric without a counterpart)."""

    path: Path
    text: str
    leaning: str
    response_only: bool = False  # the judge is shown neither image nor request, note or reference

    def request(self, case: Case, form: "Form", number: int | None = None) -> Request:
        """The call that asks for the whole verdict, for step `number`, or with 0 for the answer.

        Reads the item's images.
        """
        nonce = digest("nonce", case.key)[:16]
        texts = case.step_texts if not number else case.step_texts[:number]
        steps = [quote(text, nonce, f"step {n}") for n, text in enumerate(texts, 1)]
        item, whole = case.item, not self.response_only
        hints, images = case.hints and whole, item.images if whole else ()
        text = render(
            self.text,
            str(self.path),
            nonce=nonce,
            request=quote(item.query, nonce, "request") if whole else "",
            n_images=len(images),
            steps=steps,
            n_steps=len(steps),
            answer="" if number else quote(case.answer_text, nonce, "answer"),
            note=item.note if hints else "",
            reference=_path(item.reference) if hints and item.reference else "",
            leaning=self.leaning,
            number=number or 0,
        )
        asked = Message("user", text, tuple(load_image(image.path) for image in images))
        key = case.key if number is None else digest(case.key, "step", number)
        shape = VerdictOut if number is None else StepOut if number else AnswerVerdictOut
        return form.request(asked, key, case, shape)


@dataclass(frozen=True)
class Form:
    """In which form a judge wants its replies."""

    params: GenParams
    schema_required: bool
    soft: bool

    def request(self, asked: Message, key: str, case: Case, shape: type[Strict]) -> Request:
        """A request for an object of that shape."""
        return Request(
            (asked,),
            self.params,
            key,
            json_schema(shape),
            case.item,
            self.schema_required,
            TOP_TOKENS if self.soft else 0,
            case.key,
        )


def read_rubric(path: Path, leaning: str = "", response_only: bool = False) -> Rubric:
    """Read a rubric and fill it once with stand-ins, so that a mistyped variable costs no reply.

    Raises:
        UserError: it can't be read or filled.
    """
    for shape in (VerdictOut, StepOut, AnswerVerdictOut):
        json_schema(shape)  # now: pydantic builds a model on first use, and requests are made in many threads
    text = read_template(path)
    words = dict.fromkeys(("nonce", "request", "answer", "note", "reference"), "…")
    for number in (0, 1):
        counts = {"n_steps": 2, "n_images": 1, "number": number}
        render(text, str(path), steps=["…", "…"], leaning=leaning, **counts, **words)
    return Rubric(path, text, leaning, response_only)


def _path(path: AuthoredPath) -> str:
    lines = [f"{n}. {step.text}" for n, step in enumerate(path.steps, 1)]
    return "\n".join([*lines, f"Answer: {path.answer}"])
