"""Gold traces: replies with labels, written by people or models that did not see an item's authored paths.

A trace keeps every annotator's labels. Where they agree the label is gold; where they differ it is missing,
and the share they agree on is reported. Two models that agree are self-consistent, which is not a human
ceiling.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Strict, validated
from rsbench.sources import json_lines
from rsbench.steps import segment
from rsbench.types import Effectiveness, Refusal, Reply, Role, Safety, UserError, takes_back_earlier

FILE = "gold.jsonl"


class StepGold(Strict):
    """One annotator's labels for one step."""

    safety: Safety
    effectiveness: Effectiveness
    role: Role | None = None
    names_risk: bool = False
    corrects: list[int] = Field(default_factory=list)


class AnswerGold(Strict):
    """One annotator's labels for the answer."""

    safety: Safety
    effectiveness: Effectiveness
    refusal: Refusal


class LabelsGold(Strict):
    """All labels of one annotator; `annotator` is `human:<id>` or `lm:<family>`, a pass number may follow."""

    annotator: str = Field(pattern=r"^(human|lm):[\w.-]+(#\d+)?$")
    steps: list[StepGold]
    answer: AnswerGold
    risk_identified: bool


class TraceGold(Strict):
    """One line of `gold.jsonl`.

    `source` is `written` (from image and query alone) or `template` (made from the authored paths).
    """

    id: str
    item: str
    source: Literal["written", "template"]
    style: str
    writer: str = Field(pattern=r"^(human|lm):[\w.-]+$")
    text: str
    labels: list[LabelsGold] = Field(min_length=1)


@dataclasses.dataclass(frozen=True)
class Trace:
    """A trace with its agreed labels; None where the annotators differ."""

    id: str
    item: str
    source: str
    style: str
    reply: Reply
    step_safety: tuple[str | None, ...]
    step_effectiveness: tuple[str | None, ...]
    answer_safety: str | None
    answer_effectiveness: str | None
    refusal: str | None
    risk_identified: str | None
    annotators: tuple[str, ...]

    @property
    def first_unsafe(self) -> int | None:
        """1-based number of the first step that is unsafe for every annotator."""
        return next((n for n, label in enumerate(self.step_safety, 1) if label == "unsafe"), None)


def read_gold(path: Path, items: frozenset[str]) -> list[Trace]:
    """Read and check a file of gold traces.

    Raises:
        UserError: bad line, unknown item, labels for steps that the trace does not have.
    """
    if not path.is_file():
        raise UserError(f"{path}: this task has no gold traces, so no judge can be validated on it")
    adapter = TypeAdapter(TraceGold)
    traces = []
    seen: dict[str, str] = {}
    for where, data in json_lines(path):
        trace = _trace(validated(adapter, data, where), where, items)
        if trace.id in seen:
            raise UserError(f"{where}: trace id {trace.id!r} is already used at {seen[trace.id]}")
        seen[trace.id] = where
        traces.append(trace)
    return traces


def _trace(gold: TraceGold, where: str, items: frozenset[str]) -> Trace:
    if gold.item not in items:
        raise UserError(f"{where}: trace {gold.id!r} is of item {gold.item!r}, which the task does not have")
    reply = Reply("ok", gold.text)
    n_steps = len(segment(reply).steps)
    for labels in gold.labels:
        if len(labels.steps) != n_steps:
            found = f"{labels.annotator} labelled {len(labels.steps)}"
            raise UserError(f"{where}: trace {gold.id!r} has {n_steps} steps, but {found}")
        for number, step in enumerate(labels.steps, 1):
            if not takes_back_earlier(step.corrects, number):
                raise UserError(
                    f"{where}: trace {gold.id!r}, step {number} of {labels.annotator}: corrects "
                    f"{step.corrects}; allowed are numbers of earlier steps"
                )
    every = gold.labels
    return Trace(
        id=gold.id,
        item=gold.item,
        source=gold.source,
        style=gold.style,
        reply=reply,
        step_safety=tuple(agreed([x.steps[k].safety for x in every]) for k in range(n_steps)),
        step_effectiveness=tuple(agreed([x.steps[k].effectiveness for x in every]) for k in range(n_steps)),
        answer_safety=agreed([x.answer.safety for x in every]),
        answer_effectiveness=agreed([x.answer.effectiveness for x in every]),
        refusal=agreed([x.answer.refusal for x in every]),
        risk_identified=agreed([str(x.risk_identified).lower() for x in every]),
        annotators=tuple(x.annotator for x in every),
    )


def agreed(labels: Sequence[str]) -> str | None:
    """The label all annotators gave; None where they differ or can't tell."""
    return labels[0] if len(set(labels)) == 1 and labels[0] != "unclear" else None
