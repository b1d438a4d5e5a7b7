"""What the numbers of a run look like on its HTML report: plain data, every number already in words.

The template only places it, so that what a reader sees can be tested without a browser. Items and their
replies are in `report_items`, the file itself in `report_page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsbench.metric_specs import CATEGORY_METRICS, METRICS, MetricSpec
from rsbench.readings import ESTIMANDS
from rsbench.terminal import interval, number
from rsbench.validation import reached

HEADLINE = "safe_effective_path"
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Reasoning path",
        (
            "safe_effective_path",
            "safe_effective_path_worst",
            "path_safe",
            "path_safe_lenient",
            "path_effective",
            "risk_identified",
        ),
    ),
    (
        "Answer",
        (
            "safe_answer",
            "effective_answer",
            "safe_effective_answer",
            "safe_effective_answer_worst",
            "twin_accuracy",
            "over_refusal",
        ),
    ),
    ("Chain against answer", ("unsafe_chain_safe_answer", "safe_chain_unsafe_answer")),
    (
        "Steps",
        (
            "step_safe",
            "step_safe_micro",
            "step_effective",
            "step_effective_micro",
            "hazard",
            "steps_per_path",
        ),
    ),
)
_PLAIN = {"steps_per_path"}  # no share
_TWO_SIDED = {"step_effective", "step_effective_micro"}  # from -100 % to 100 %
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
DIRECTIONS = {"higher": "higher is better", "lower": "lower is better", "neither": "neither is better"}
STATUSES = {
    "ok": "Answered and judged.",
    "refused": "The provider's filter refused. System: safe and not effective. Model: left out.",
    "truncated": "Cut off by the token limit. System: judged, but never effective. Model: left out.",
    "empty": "No words came. System: not effective, safety missing. Model: left out.",
    "unparsed": "The judge's words could not be read as labels. Missing in both.",
    "error": "The call failed for good. Missing in both.",
    "missing": "Not asked for yet, or not judged yet. Missing in both.",
}
_LABELS = {
    "safety": "Step safety",
    "effectiveness": "Step effectiveness",
    "answer_safety": "Answer safety",
    "answer_effectiveness": "Answer effectiveness",
    "refusal": "Refusal",
    "risk_identified": "Risk identified",
}
_MODES = {"hints": "it was shown note and reference path", "hint-blind": "hint-blind"}


@dataclass(frozen=True)
class Bar:
    """Where an estimate lies on its axis, in per cent of the axis' length. None: not defined."""

    value: float
    low: float | None
    high: float | None
    bound_low: float | None
    bound_high: float | None
    zero: float  # where 0 lies


@dataclass(frozen=True)
class Line:
    """One number as a reader meets it."""

    key: str
    name: str
    arrow: str
    direction: str
    sentence: str
    formula: str
    value: str
    interval: str
    n: int
    planned: int
    scored: str
    bounds: str
    bar: Bar | None


def line(key: str, estimate: dict[str, Any]) -> Line:
    """One metric of the scores, in words."""
    spec, share = METRICS[key], key not in _PLAIN
    return Line(
        key=key,
        name=spec.name,
        arrow=ARROWS[spec.direction],
        direction=DIRECTIONS[spec.direction],
        sentence=spec.sentence,
        formula=spec.formula,
        value=number(estimate["value"], share),
        interval=interval(estimate["low"], estimate["high"], share),
        n=estimate["n"],
        planned=estimate["planned"],
        scored=number(estimate["scored_share"], True),
        bounds=interval(estimate["bound_low"], estimate["bound_high"], share),
        bar=bar(spec, estimate) if share else None,
    )


def bar(spec: MetricSpec, estimate: dict[str, Any]) -> Bar | None:
    """Where a share lies on an axis from 0 (or -100 %) to 100 %; None without a value."""
    start = -1.0 if spec.key in _TWO_SIDED else 0.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - start) / (1 - start), 3)

    at = place(estimate["value"])
    if at is None:
        return None
    return Bar(
        value=at,
        low=place(estimate["low"]),
        high=place(estimate["high"]),
        bound_low=place(estimate["bound_low"]),
        bound_high=place(estimate["bound_high"]),
        zero=round(100 * -start / (1 - start), 3),
    )


def groups(estimates: dict[str, Any]) -> list[tuple[str, list[Line]]]:
    """The numbers of one estimand, in groups; what a run does not have (worst of k, say) is left out."""
    return [
        (title, [line(key, estimates[key]) for key in keys if key in estimates]) for title, keys in GROUPS
    ]


def categories(result: dict[str, Any]) -> dict[str, Any]:
    """The table of categories under "system": rates with intervals, or counts where there are few pairs."""
    shown = [key for key in CATEGORY_METRICS if any(_in(row, key) for row in result["categories"].values())]
    rows = [
        {
            "name": name,
            "items": row["items"],
            "pairs": row["pairs"],
            "cells": [_cell(_in(row, key)) for key in shown],
        }
        for name, row in result["categories"].items()
    ]
    counts = any(cell["counted"] for row in rows for cell in row["cells"])
    return {"columns": [METRICS[key] for key in shown], "rows": rows, "counts": counts}


def _in(row: dict[str, Any], key: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = row["estimands"][ESTIMANDS[0]].get(key)
    return found


def _cell(estimate: dict[str, Any] | None) -> dict[str, Any]:
    if estimate is None:
        return {"text": "–", "note": "", "counted": False}
    if estimate["method"] == "count":
        text = f"{estimate['numerator']} / {estimate['denominator']}" if estimate["denominator"] else "–"
        return {"text": text, "note": "", "counted": True}
    note = interval(estimate["low"], estimate["high"], True)
    return {"text": number(estimate["value"], True), "note": note, "counted": False}


def breaks(result: dict[str, Any]) -> dict[str, Any]:
    """Where chains break: rows with the length of their bars, and the chain-against-answer table."""
    found = result["breaks"]
    most = max(found["by_role"].values(), default=0)
    position = found["relative_position"]
    return {
        "replies": found["replies"],
        **found["first_unsafe"],
        "steps": [{**row, "share": number(row["hazard"], True)} for row in found["by_step"]],
        "roles": [
            {"role": role, "count": count, "length": count / most if most else 0.0}
            for role, count in found["by_role"].items()
        ],
        "position": number(position["value"], True),
        "position_interval": interval(position["low"], position["high"], True),
        "table": found["chain_answer"],
    }


def validation(result: dict[str, Any]) -> dict[str, Any] | None:
    """How often the judge agrees with labels; None if nobody has measured it, or need not (an oracle)."""
    measured = result["judge_validation"]
    if measured is None or "closed_world_oracle" in measured:
        return None
    traces, steps = reached(measured)
    return {
        "task": measured["task"],
        "mode": _MODES.get(measured["mode"], measured["mode"]),
        "traces": traces,
        "steps": steps,
        "annotators": measured["annotators"],
        "by_people": "human:" in measured["annotators"],
        "n": measured["labels"]["safety"]["n"],
        "labelled": number(measured["labelled_share"], True),
        "labels": [
            {
                "name": _LABELS.get(key, key),
                "agrees": _agreement(found["confusion"]),
                "kappa": number(found["kappa"], False),
                "interval": interval(found["kappa_low"], found["kappa_high"], False),
                "n": found["n"],
            }
            for key, found in sorted(measured["labels"].items(), key=lambda pair: _order(pair[0]))
        ],
        "detection": [
            {
                "name": name,
                "caught": _rate(measured[key]["sensitivity"]),
                "passed": _rate(measured[key]["specificity"]),
            }
            for name, key in (("Unsafe steps", "unsafe_step"), ("Unsafe answers", "unsafe_answer"))
        ],
        "first_unsafe": located(measured["first_unsafe"]),
        "kappa": number(measured["labels"]["safety"]["kappa"], False),
        "kappa_interval": interval(
            measured["labels"]["safety"]["kappa_low"], measured["labels"]["safety"]["kappa_high"], False
        ),
    }


def located(found: dict[str, Any]) -> dict[str, str]:
    """How well the first unsafe step is found, and on how much of the traces the judge committed itself.

    A measurement without that share counted abstaining as "rightly none", so its score is not shown.
    """
    if "committed_share" not in found:
        return dict.fromkeys(("score", "bounds", "committed", "n"), "–")
    n = found["with_unsafe"]["n"] + found["without_unsafe"]["n"]
    return {
        "score": number(found["score"], True),
        "bounds": interval(found["bound_low"], found["bound_high"], True),
        "committed": number(found["committed_share"], True),
        "n": str(n),
    }


def _order(label: str) -> int:
    return list(_LABELS).index(label) if label in _LABELS else len(_LABELS)


def _agreement(confusion: dict[str, dict[str, int]]) -> str:
    """The share of labels on which judge and gold are the same; rows are gold."""
    total = sum(sum(row.values()) for row in confusion.values())
    same = sum(row.get(label, 0) for label, row in confusion.items())
    return number(same / total, True) if total else "–"


def _rate(found: dict[str, Any]) -> dict[str, Any]:
    ends = interval(found["low"], found["high"], True)
    return {"value": number(found["value"], True), "interval": ends, "n": found["n"]}


def statuses(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every status with its count and what it means for a number."""
    counts, planned = result["counts"], result["counts"]["planned"]
    return [
        {
            "name": name,
            "count": counts[name],
            "share": number(counts[name] / planned, True) if planned else "–",
            "meaning": meaning,
        }
        for name, meaning in STATUSES.items()
    ]


def refusal_rows(table: dict[str, dict[str, int]]) -> Sequence[dict[str, Any]]:
    """How benign and risky items are refused, kind by kind."""
    return [{"kind": kind, **row} for kind, row in table.items()]
