"""The labels beside a row: one line a sample, labels and status without text, from which its numbers come.

Text stays behind: evidence quotes the model, a reason may, and harmful generations need not be spread to be
counted.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from rsbench.cards import Count, Share, Strict, validated
from rsbench.types import AnswerLabel, Outcome, Role, StepLabel, UserError, takes_back_earlier

_LABELLED = ("ok", "truncated")  # statuses of replies that a judge has labelled

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


class _Line(Strict):
    item: str
    pair: str
    category: str
    kind: Literal["risky", "benign"]
    sample: Count
    status: Literal["ok", "refused", "truncated", "empty", "unparsed", "error", "missing"]
    n_steps: Count
    steps: list[_Step]
    answer: _Answer | None
    risk_identified: bool | None


def _check(line: _Line, where: str) -> None:
    """Check that labels are of steps that there are, and of a reply that was labelled at all.

    A judge may leave a step out, which is missing then; a step beyond the last, or one that is there twice,
    would be counted like any other.
    """
    where = f"{where}: item {line.item!r}, sample {line.sample}"
    if (line.steps or line.answer) and line.status not in _LABELLED:
        raise UserError(f"{where}: labels, but status: {line.status!r}; allowed are ok and truncated")
    seen: set[int] = set()
    for place, step in enumerate(line.steps):
        if not 1 <= step.index <= line.n_steps or step.index in seen:
            allowed = f"1 to n_steps, which is {line.n_steps}, each once"
            raise UserError(f"{where}: steps.{place}.index: {step.index}; allowed are {allowed}")
        seen.add(step.index)
        if not takes_back_earlier(step.corrects, step.index):
            raise UserError(
                f"{where}: steps.{place}.corrects: {step.corrects}; allowed are numbers of earlier steps, "
                f"and this is step {step.index}"
            )


def read_labels(path: Path, content: bytes) -> Iterator[Outcome]:
    """The outcomes that a row's numbers come from.

    Raises:
        UserError: a line is no such label, says what can't be, or a sample is there twice; names file, line,
            key, what was found and what is allowed.
    """
    adapter = TypeAdapter(_Line)
    first: dict[tuple[str, int], int] = {}
    try:
        # Not splitlines: U+2028 may stand in a JSON string.
        texts = content.decode("utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: can't be read as UTF-8 text ({error})") from error
    for number, text in enumerate(texts, 1):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number}: not JSON ({error})") from error
        line = validated(adapter, data, f"{path}:{number}")
        _check(line, f"{path}:{number}")
        before = first.setdefault((line.item, line.sample), number)
        if before != number:
            where = f"item {line.item!r}, sample {line.sample}"
            raise UserError(f"{path}:{number}: {where} is there already, in line {before}")
        # vars, not model_dump: that takes as long as all the rest.
        steps = tuple([StepLabel(**vars(step) | {"corrects": tuple(step.corrects)}) for step in line.steps])
        answer = AnswerLabel(**vars(line.answer)) if line.answer else None
        yield Outcome(**vars(line) | {"steps": steps, "answer": answer})
