"""The labels beside a row: one line a sample, labels and status without text, from which its numbers come.

Text stays behind: evidence quotes the model, a reason may, and harmful generations need not be spread to be
counted.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from rsbench.cards import Share, Strict, validated
from rsbench.readings import SAFETY, WORTH, Labels, breaks_at, labels_of
from rsbench.sheets import Head, Line, Sheet, line_of
from rsbench.types import AnswerLabel, Kind, Outcome, Role, StepLabel, UserError, takes_back_earlier

_LABELLED = ("ok", "truncated")  # statuses of replies that a judge has labelled

_Number = Annotated[int, Field(ge=0, le=10_000)]  # of a sample, or of steps
_USUAL: dict[str, Any] = {"corrects": (), "p_unsafe": None, "p_effective": None, "boundary": False}


def label_lines(found: Iterator[Outcome]) -> Iterator[dict[str, Any]]:
    """Outcomes without text (evidence and reasons quote the model) and without what goes without saying."""
    for outcome in found:
        line = asdict(outcome)
        for label in (*line["steps"], *([line["answer"]] if line["answer"] else [])):
            del label["evidence"], label["reason"]
            for key, usual in _USUAL.items():
                if key in label and label[key] == usual:
                    del label[key]
        yield line


class _Step(Strict):
    index: int
    safety: Literal["safe", "unsafe", "unclear"]
    effectiveness: Literal["effective", "neutral", "ineffective", "unclear"]
    role: Role | None
    names_risk: bool | None
    corrects: list[int] = []
    p_unsafe: Share = None
    p_effective: Share = None
    boundary: bool = False


class _Answer(Strict):
    safety: Literal["safe", "unsafe", "unclear"]
    effectiveness: Literal["effective", "neutral", "ineffective", "unclear"]
    refusal: Literal["none", "partial", "full", "unclear"]
    p_unsafe: Share = None
    p_effective: Share = None
    boundary: bool = False


class _Head(Strict):
    item: str
    pair: str
    category: str
    kind: Literal["risky", "benign"]
    sample: _Number


class _Frame(Strict):
    status: Literal["ok", "refused", "truncated", "empty", "unparsed", "error", "missing"]
    n_steps: _Number
    answer: _Answer | None
    risk_identified: bool | None


class _Tail(_Frame):
    steps: list[_Step]


class _Line(_Head, _Tail):
    pass


_LINE, _HEAD = TypeAdapter(_Line), TypeAdapter(_Head)
_TAIL, _FRAME, _STEP = TypeAdapter(_Tail), TypeAdapter(_Frame), TypeAdapter(_Step)
_STATUS, _STEPS, _ANSWER = ', "status": ', ', "steps": [{', '}], "answer": '  # joints of a line


def _fault(tail: _Frame, steps: Sequence[_Step | StepLabel]) -> str | None:
    """What is wrong with labels that are not of steps that there are, or of a reply that was labelled at all.

    A judge may leave a step out, which is missing then; a step beyond the last, or one that is there twice,
    would be counted like any other.
    """
    if (steps or tail.answer) and tail.status not in _LABELLED:
        return f"labels, but status: {tail.status!r}; allowed are ok and truncated"
    seen: set[int] = set()
    for place, step in enumerate(steps):
        if not 1 <= step.index <= tail.n_steps or step.index in seen:
            allowed = f"1 to n_steps, which is {tail.n_steps}, each once"
            return f"steps.{place}.index: {step.index}; allowed are {allowed}"
        seen.add(step.index)
        if step.corrects and not takes_back_earlier(step.corrects, step.index):
            return (
                f"steps.{place}.corrects: {step.corrects}; allowed are numbers of earlier steps, "
                f"and this is step {step.index}"
            )
    return None


def _as_step(step: _Step) -> StepLabel:
    # vars, not model_dump: that takes as long as all the rest.
    return StepLabel(**vars(step) | {"corrects": tuple(step.corrects)})


def _labelled(tail: _Frame, steps: Sequence[StepLabel], **head: Any) -> Outcome:
    return Outcome(
        **head,
        status=tail.status,
        n_steps=tail.n_steps,
        steps=tuple(steps),
        answer=AnswerLabel(**vars(tail.answer)) if tail.answer else None,
        risk_identified=tail.risk_identified,
    )


def read_labels(path: Path, content: bytes) -> Iterator[Outcome]:
    """The outcomes that a row's numbers come from.

    Raises:
        UserError: a line is no such label, says what can't be, or does not go with one before it; names file,
            line, key, what was found and what is allowed.
    """
    first: dict[tuple[str, int], int] = {}
    items: dict[str, tuple[int, Outcome]] = {}
    steps = 0
    for number, text in enumerate(_texts(path, content), 1):
        outcome = _outcome(f"{path}:{number}", text)
        before = first.setdefault((outcome.item, outcome.sample), number)
        if before != number:
            where = f"item {outcome.item!r}, sample {outcome.sample}"
            raise UserError(f"{path}:{number}: {where} is there already, in line {before}")
        line, said = items.setdefault(outcome.item, (number, outcome))
        for key in ("pair", "category", "kind"):
            if (found := getattr(outcome, key)) != (allowed := getattr(said, key)):
                where = f"item {outcome.item!r}: {key}: {found!r}"
                raise UserError(f"{path}:{number}: {where}; allowed is {allowed!r}, as in line {line}")
        steps += outcome.n_steps
        _check_room(f"{path}:{number}", steps, content)
        yield outcome


def _check_room(where: str, steps: int, content: bytes) -> None:
    """Check that there are not more steps than bytes: letters are made of each, also of those unlabelled.

    Raises:
        UserError: no run has so many; a label takes a hundred bytes.
    """
    if steps > len(content):
        raise UserError(f"{where}: n_steps add up to {steps} so far; allowed are {len(content)}, a byte each")


def read_sheet(path: Path, content: bytes) -> Sheet:
    """The same outcomes in columns.

    Raises:
        UserError: as `read_labels`.
    """
    lines, steps = [], 0
    for number, text in enumerate(_texts(path, content), 1):
        line = _known_line(text) or line_of(_outcome(f"{path}:{number}", text))
        lines.append(line)
        steps += len(line[1].safety)
        _check_room(f"{path}:{number}", steps, content)
    try:
        return Sheet.from_lines(lines)
    except ValueError:
        deque(read_labels(path, content), maxlen=0)  # says which line it is, and what is wrong
        raise


def _texts(path: Path, content: bytes) -> list[str]:
    try:
        # Not splitlines: U+2028 may stand in a JSON string.
        texts = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: can't be read as UTF-8 text ({error})") from error
    while len(texts) > 1 and not texts[-1]:
        texts.pop()
    return texts


def _outcome(where: str, text: str) -> Outcome:
    """The outcome of a line."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    line = validated(_LINE, data, where)
    if fault := _fault(line, line.steps):
        raise UserError(f"{where}: item {line.item!r}, sample {line.sample}: {fault}")
    head = {key: value for key, value in vars(line).items() if key in _Head.model_fields}
    return _labelled(line, [_as_step(step) for step in line.steps], **head)


# A line is a JSON object, and read in parts: what stands before its status, every step, and what is around
# the steps. Valid parts make a valid whole, and most were seen before, in this row or in another.


def _known_line(text: str) -> Line | None:
    """A line as `label_lines` writes it; None if it is any other, or wrong: then it is read as a whole."""
    head, _, tail = text.partition(_STATUS)
    known = _known_head(head)
    labels = _known_tail(known.kind, tail) if known else None
    return (known, labels) if known and labels else None


@lru_cache(maxsize=30_000)
def _known_head(text: str) -> Head | None:
    try:
        head = _HEAD.validate_json(text + "}")
    except ValueError:
        return None
    return Head(head.item, head.sample, head.pair, head.category, head.kind)


@lru_cache(maxsize=30_000)
def _known_tail(kind: Kind, text: str) -> Labels | None:
    before, joint, rest = text.partition(_STEPS)
    between, _, after = rest.partition(_ANSWER)
    frame = _known_frame(f'{before}, "answer": {after}') if joint else _without_steps(text)
    if frame is None:
        return None
    steps = [_known_step(step) for step in between.split("}, {")] if joint else []
    if None in steps:
        return None
    found = [step for step in steps if step is not None]
    tail, none = frame
    if _plain(tail, found):
        safety, worth = "".join([s.safety for s in found]), "".join([s.worth for s in found])
        at = breaks_at(safety)
        role = found[at - 1].label.role if at else None
        return none._replace(kind=kind, safety=safety, corrected=safety, worth=worth, breaking_role=role)
    if _fault(tail, [step.label for step in found]):
        return None
    return labels_of(_labelled(tail, [step.label for step in found], **_NO_ITEM | {"kind": kind}))


_NO_ITEM: dict[str, Any] = {"item": "", "pair": "", "category": "", "kind": "risky", "sample": 0}


class _Known(NamedTuple):
    """A step that was read before."""

    label: StepLabel
    safety: str
    worth: str


def _plain(tail: _Frame, steps: Sequence[_Known]) -> bool:
    """Whether every step of a judged reply is labelled, in order, and takes none back: nearly every reply."""
    if len(steps) != tail.n_steps or tail.status not in _LABELLED:
        return False
    return all([step.label.index == n and not step.label.corrects for n, step in enumerate(steps, 1)])


@lru_cache(maxsize=10_000)
def _known_frame(text: str) -> tuple[_Frame, Labels] | None:
    """All after the head but for the steps, as it is and as labels without any."""
    try:
        frame = _FRAME.validate_json('{"status": ' + text)
    except ValueError:
        return None
    return frame, labels_of(_labelled(frame, [], **_NO_ITEM))


@lru_cache(maxsize=10_000)
def _without_steps(text: str) -> tuple[_Frame, Labels] | None:
    """The same of a reply without labelled steps."""
    try:
        tail = _TAIL.validate_json('{"status": ' + text)
    except ValueError:
        return None
    return None if tail.steps else (tail, labels_of(_labelled(tail, [], **_NO_ITEM)))


@lru_cache(maxsize=10_000)
def _known_step(text: str) -> _Known | None:
    try:
        label = _as_step(_STEP.validate_json("{" + text + "}"))
    except ValueError:
        return None
    return _Known(label, SAFETY[label.safety], WORTH[label.effectiveness])
