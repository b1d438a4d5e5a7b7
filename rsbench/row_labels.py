"""The labels beside a row: one line a sample, labels and status without text, from which its numbers come.

Text stays behind: evidence quotes the model, a reason may, and harmful generations need not be spread to be
counted.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from rsbench.cards import Share, Strict, validated
from rsbench.sheets import Line, Shape, Sheet, line_of
from rsbench.types import AnswerLabel, Kind, Outcome, Role, StepLabel, UserError, takes_back_earlier

_LABELLED = ("ok", "truncated")  # statuses of replies that a judge has labelled

_Number = Annotated[int, Field(ge=0, le=1_000_000)]  # of a sample, or of steps: one that arithmetic can hold
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


class _Tail(Strict):
    status: Literal["ok", "refused", "truncated", "empty", "unparsed", "error", "missing"]
    n_steps: _Number
    steps: list[_Step]
    answer: _Answer | None
    risk_identified: bool | None


class _Line(_Head, _Tail):
    pass


_LINE, _HEAD, _TAIL = TypeAdapter(_Line), TypeAdapter(_Head), TypeAdapter(_Tail)
_JOINT = ', "status": '  # between what says whose labels these are and the labels, as `as_text` writes it


def _fault(line: _Tail) -> str | None:
    """What is wrong with labels that are not of steps that there are, or of a reply that was labelled at all.

    A judge may leave a step out, which is missing then; a step beyond the last, or one that is there twice,
    would be counted like any other.
    """
    if (line.steps or line.answer) and line.status not in _LABELLED:
        return f"labels, but status: {line.status!r}; allowed are ok and truncated"
    seen: set[int] = set()
    for place, step in enumerate(line.steps):
        if not 1 <= step.index <= line.n_steps or step.index in seen:
            allowed = f"1 to n_steps, which is {line.n_steps}, each once"
            return f"steps.{place}.index: {step.index}; allowed are {allowed}"
        seen.add(step.index)
        if not takes_back_earlier(step.corrects, step.index):
            return (
                f"steps.{place}.corrects: {step.corrects}; allowed are numbers of earlier steps, "
                f"and this is step {step.index}"
            )
    return None


def _labels(tail: _Tail) -> dict[str, Any]:
    """An outcome's fields after its head."""
    # vars, not model_dump: that takes as long as all the rest.
    steps = tuple([StepLabel(**vars(step) | {"corrects": tuple(step.corrects)}) for step in tail.steps])
    answer = AnswerLabel(**vars(tail.answer)) if tail.answer else None
    return {
        "status": tail.status,
        "n_steps": tail.n_steps,
        "steps": steps,
        "answer": answer,
        "risk_identified": tail.risk_identified,
    }


def read_labels(path: Path, content: bytes) -> Iterator[Outcome]:
    """The outcomes that a row's numbers come from.

    Raises:
        UserError: a line is no such label, says what can't be, or a sample is there twice; names file, line,
            key, what was found and what is allowed.
    """
    first: dict[tuple[str, int], int] = {}
    for number, text in enumerate(_texts(path, content), 1):
        outcome = _outcome(f"{path}:{number}", text)
        before = first.setdefault((outcome.item, outcome.sample), number)
        if before != number:
            where = f"item {outcome.item!r}, sample {outcome.sample}"
            raise UserError(f"{path}:{number}: {where} is there already, in line {before}")
        yield outcome


def read_sheet(path: Path, content: bytes) -> Sheet:
    """The same outcomes in columns.

    Lines begin alike in all rows of a task, and end alike wherever labels are alike: a beginning and an end
    that were seen before are known, and checked already.

    Raises:
        UserError: as `read_labels`.
    """
    lines = []
    for number, text in enumerate(_texts(path, content), 1):
        head, _, tail = text.partition(_JOINT)
        known, labels = _known_head(head), _known_tail(tail)
        if known is None or labels is None:
            lines.append(line_of(_outcome(f"{path}:{number}", text)))
        else:
            item, sample, pair, category, kind = known
            shape, role = labels[kind]
            lines.append(Line(item, sample, pair, category, shape, role))
    if len({line[:2] for line in lines}) < len(lines):
        deque(read_labels(path, content), maxlen=0)  # says which sample is there twice
    return Sheet.from_lines(lines)


def _texts(path: Path, content: bytes) -> list[str]:
    try:
        # Not splitlines: U+2028 may stand in a JSON string.
        return content.decode("utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: can't be read as UTF-8 text ({error})") from error


def _outcome(where: str, text: str) -> Outcome:
    """The outcome of a line."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    line = validated(_LINE, data, where)
    if fault := _fault(line):
        raise UserError(f"{where}: item {line.item!r}, sample {line.sample}: {fault}")
    head = {key: value for key, value in vars(line).items() if key in _Head.model_fields}
    return Outcome(**head, **_labels(line))


@lru_cache(maxsize=30_000)
def _known_head(text: str) -> tuple[str, int, str, str, Kind] | None:
    """What the beginning of a line says; None if it is not all there, so that the line must be read whole."""
    try:
        head = _HEAD.validate_json(text + "}")
    except ValueError:
        return None
    return head.item, head.sample, head.pair, head.category, head.kind


@lru_cache(maxsize=30_000)
def _known_tail(text: str) -> dict[Kind, tuple[Shape, Role | None]] | None:
    """What the end of a line says, as labels of either kind of item; None as for a beginning."""
    try:
        tail = _TAIL.validate_json('{"status": ' + text)
    except ValueError:
        return None
    if _fault(tail):
        return None
    labels = _labels(tail)
    outcomes = {kind: Outcome("", "", "", kind, 0, **labels) for kind in get_args(Kind)}
    return {kind: (line.shape, line.role) for kind, one in outcomes.items() for line in [line_of(one)]}
