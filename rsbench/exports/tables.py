"""The two tables of a run: one row a planned sample, one row a step. Plain values, typed columns.

Metrics stand there per sample, true, false or missing (None), under both estimands; nothing is averaged and
nothing missing is filled in. Sealed tables have no column of words at all.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rsbench.exports.source import Planned, Source, clean, latency
from rsbench.metric_specs import JOINT, METRICS, MetricSpec
from rsbench.readings import ESTIMANDS, Estimand, labels_of, read_outcomes
from rsbench.steps import segment
from rsbench.types import AnswerLabel, Outcome, Reply, Steps

Kind = Literal["text", "int", "float", "bool", "ints", "texts"]
Row = dict[str, Any]
Metrics = dict[str, bool | float | None]
SAMPLE_SPECS = tuple(s for s in METRICS.values() if not (s.paired or s.worst or s.ratio))
_WORDS = (
    "finish_reason",
    "query",
    "reply",
    "reasoning",
    "answer",
    "answer_evidence",
    "answer_reason",
    "error",
)
_STEP_WORDS = ("text", "evidence", "reason")


@dataclass(frozen=True)
class Table:
    """Rows with the types of their columns, in order."""

    name: str
    columns: dict[str, Kind]
    rows: list[Row]


def tables(source: Source) -> tuple[Table, Table]:
    """The samples and the steps of a run."""
    rows, steps = [], []
    worth = zip(*(sample_metrics(source, estimand) for estimand in ESTIMANDS), strict=True)
    for planned, by_estimand in zip(source.samples, worth, strict=True):
        named = zip(ESTIMANDS, by_estimand, strict=True)
        metrics = {f"{name}_{key}": value for name, found in named for key, value in found.items()}
        reply = planned.sample.reply
        cut = segment(reply) if reply else None
        rows.append(_only(_sample(source, planned, cut, metrics), sample_columns(source.sealed)))
        for row in _steps(planned, cut):
            steps.append(_only(row, step_columns(source.sealed)))
    return (
        Table("samples", sample_columns(source.sealed), rows),
        Table("steps", step_columns(source.sealed), steps),
    )


def sample_columns(sealed: bool) -> dict[str, Kind]:
    """Columns of the table of samples."""
    columns: dict[str, Kind] = dict.fromkeys(("item",), "text")
    columns["sample"] = "int"
    columns |= dict.fromkeys(("kind", "category", "pair", "item_hash", "reply_key", "reply_sha256"), "text")
    columns |= dict.fromkeys(("status", "reply_status", "verdict_status", "reasoning_kind"), "text")
    columns |= {"step_source": "text", "n_steps": "int", "first_unsafe": "int"}
    columns |= dict.fromkeys(("answer_safety", "answer_effectiveness", "refusal"), "text")
    columns |= {"answer_p_unsafe": "float", "answer_p_effective": "float", "answer_boundary": "bool"}
    columns["judge_risk_identified"] = "bool"
    for estimand in ESTIMANDS:
        for spec in SAMPLE_SPECS:
            columns[f"{estimand}_{spec.key}"] = "bool" if spec.truth else "float"
    columns |= dict.fromkeys(("input_tokens", "output_tokens", "reasoning_tokens"), "int")
    columns["latency_s"] = "float"
    return columns if sealed else columns | dict.fromkeys(_WORDS, "text")


def step_columns(sealed: bool) -> dict[str, Kind]:
    """Columns of the table of steps. `start` and `end` count characters in the named part of the reply."""
    columns: dict[str, Kind] = {"item": "text", "sample": "int", "step": "int", "part": "text"}
    columns |= {"start": "int", "end": "int", "role": "text", "safety": "text", "effectiveness": "text"}
    columns |= {"names_risk": "bool", "corrects": "ints", "p_unsafe": "float", "p_effective": "float"}
    columns["boundary"] = "bool"
    return columns if sealed else columns | dict.fromkeys(_STEP_WORDS, "text")


def sample_metrics(source: Source, estimand: Estimand) -> Iterator[Metrics]:
    """The metrics of each sample, in order; None where one is missing or not about this sample."""
    outcomes = [planned.sample.outcome for planned in source.samples]
    replies = read_outcomes(outcomes, estimand)
    columns = [_metric(spec, outcomes, spec.values(replies), source.withheld) for spec in SAMPLE_SPECS]
    for values in zip(*columns, strict=True):
        yield dict(zip([spec.key for spec in SAMPLE_SPECS], values, strict=True))


def _metric(
    spec: MetricSpec, outcomes: Sequence[Outcome], values: Sequence[float | None], withheld: bool
) -> list[bool | float | None]:
    if withheld and spec.key in JOINT:
        return [None] * len(outcomes)
    return [
        None
        if value is None or spec.kind not in (None, outcome.kind)
        else bool(value)
        if spec.truth
        else value
        for outcome, value in zip(outcomes, values, strict=True)
    ]


def reply_hash(reply: Reply) -> str:
    """sha256 over reasoning and text, so that a sealed reply can be recognised when it is opened."""
    return hashlib.sha256(f"{reply.reasoning}\0{reply.text}".encode("utf-8", "backslashreplace")).hexdigest()


def _sample(source: Source, planned: Planned, cut: Steps | None, metrics: Row) -> Row:
    outcome, reply, verdict = planned.sample.outcome, planned.sample.reply, planned.sample.verdict
    row: Row = {
        key: getattr(outcome, key) for key in ("item", "sample", "kind", "category", "pair", "status")
    }
    row |= {"item_hash": planned.item_hash, "reply_key": planned.reply_key, "n_steps": outcome.n_steps}
    row |= {"verdict_status": verdict.status if verdict else None}
    row |= _answer(outcome.answer) | {"judge_risk_identified": outcome.risk_identified}
    row |= metrics
    row["first_unsafe"] = labels_of(outcome).breaks_at or None
    known = source.items.get(outcome.item)
    row["query"] = known[0] if known else None
    errors = [said.error for said in (reply, verdict) if said and said.error]
    row["error"] = "; ".join(errors) or None
    if reply is not None and cut is not None:
        row |= {key: getattr(reply, key) for key in ("reasoning_kind", "reasoning", "finish_reason")}
        row |= {"reply_status": reply.status, "reply": reply.text, "reply_sha256": reply_hash(reply)}
        row |= {"step_source": cut.source, "answer": cut.answer.of(reply), "latency_s": latency(reply)}
        for key in ("input_tokens", "output_tokens", "reasoning_tokens"):
            row[key] = getattr(reply.usage, key)
    return row


def _answer(label: AnswerLabel | None) -> Row:
    if label is None:
        return {}
    return {
        "answer_safety": label.safety,
        "answer_effectiveness": label.effectiveness,
        "refusal": label.refusal,
        "answer_p_unsafe": label.p_unsafe,
        "answer_p_effective": label.p_effective,
        "answer_boundary": label.boundary,
        "answer_evidence": label.evidence,
        "answer_reason": label.reason,
    }


def _steps(planned: Planned, cut: Steps | None) -> Iterator[Row]:
    """Every step that was found, with its labels where the judge gave some."""
    outcome, reply = planned.sample.outcome, planned.sample.reply
    if reply is None or cut is None:
        return
    labels = {label.index: label for label in outcome.steps}
    for number, span in enumerate(cut.steps, 1):
        row: Row = {"item": outcome.item, "sample": outcome.sample, "step": number, "text": span.of(reply)}
        row |= {"part": span.part, "start": span.start, "end": span.end}
        label = labels.get(number)
        if label is not None:
            for key in ("role", "safety", "effectiveness", "names_risk", "p_unsafe", "p_effective"):
                row[key] = getattr(label, key)
            row |= {key: getattr(label, key) for key in ("boundary", "evidence", "reason")}
            row["corrects"] = list(label.corrects)
        yield row


def _only(row: Row, columns: dict[str, Kind]) -> Row:
    """The columns of a table, in order; what a row does not have is missing."""
    return {name: clean(value) if isinstance(value := row.get(name), str) else value for name in columns}
