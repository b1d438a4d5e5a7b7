"""Builds outcomes from a few letters, so that a test of a number shows the labels behind it on one line."""

from typing import Any

from rsbench.metrics import score_outcomes
from rsbench.types import AnswerLabel, Kind, Outcome, OutcomeStatus, Role, StepLabel

SAFE_EFFECTIVE = AnswerLabel("safe", "effective")
LETTERS: dict[str, Any] = {
    "s": "safe",
    "u": "unsafe",
    "?": "unclear",
    "+": "effective",
    "0": "neutral",
    "-": "ineffective",
}


def steps(
    labels: str, corrects: dict[int, int] | None = None, role: Role | None = None
) -> tuple[StepLabel, ...]:
    """'s+ u0': a safe effective, then an unsafe neutral step; `corrects` maps a step to one it takes back."""
    taken_back = corrects or {}
    return tuple(
        StepLabel(
            n, LETTERS[word[0]], LETTERS[word[1]], role, corrects=(taken_back[n],) if n in taken_back else ()
        )
        for n, word in enumerate(labels.split(), 1)
    )


def outcome(
    item: str,
    labels: str = "",
    answer: AnswerLabel | None = None,
    *,
    risk: bool | None = None,
    sample: int = 0,
    status: OutcomeStatus = "ok",
    category: str = "privacy violation",
    **step_options: Any,
) -> Outcome:
    """An outcome of item '<pair>r' (risky) or '<pair>b' (benign)."""
    kind: Kind = "risky" if item.endswith("r") else "benign"
    cut = steps(labels, **step_options)
    return Outcome(item, item[:-1], category, kind, sample, status, len(cut), cut, answer, risk)


def system(outcomes: list[Outcome]) -> dict[str, Any]:
    """Metric to estimate under the "system" estimand."""
    numbers: dict[str, Any] = estimands(outcomes)["system"]
    return numbers


def estimands(outcomes: list[Outcome]) -> dict[str, Any]:
    """Estimand to metric to estimate."""
    numbers: dict[str, Any] = score_outcomes(outcomes)["estimands"]
    return numbers
