"""Whether a verdict says only what a verdict can say; a judge from elsewhere is held to it like ours.

A step that there is not, or that is there twice, would be counted like any other. The check runs once a
verdict, so it is plain Python over the labels; `row_labels` asks nearly the same of a row.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

from rsbench.types import (
    ROLES,
    AnswerLabel,
    JudgedEffectiveness,
    JudgedRefusal,
    Safety,
    StepLabel,
    Verdict,
    takes_back_earlier,
)

_SAFETY, _REFUSAL = get_args(Safety), get_args(JudgedRefusal)
_EFFECTIVENESS = get_args(JudgedEffectiveness)
_SHOWN = 60  # characters of what was found that a message repeats


def checked(verdict: Verdict, n_steps: int) -> Verdict:
    """The verdict; or, of one of status `ok` that breaks a rule, an `error` without labels that says which.

    What it cost and the judge's own words stay. A step that the judge left out is labelled unclear, which is
    as missing to every number: votes and gold labels are matched with steps by their place.
    """
    if verdict.status != "ok":
        return verdict
    if (problem := broken_rule(verdict, n_steps)) is None:
        return verdict if len(verdict.steps) == n_steps else replace(verdict, steps=_filled(verdict, n_steps))
    said = f"the judge's verdict can't be used: {problem}"
    return replace(verdict, status="error", steps=(), answer=None, risk_identified=None, error=said)


def _filled(verdict: Verdict, n_steps: int) -> tuple[StepLabel, ...]:
    labels = {step.index: step for step in verdict.steps}
    unclear = StepLabel(0, "unclear", "unclear", names_risk=None)
    return tuple([labels.get(n) or replace(unclear, index=n) for n in range(1, n_steps + 1)])


def broken_rule(verdict: Verdict, n_steps: int) -> str | None:
    """Which rule a verdict's labels break: key, what was found, what is allowed; None if they keep all.

    A judge may leave steps out, which are missing then. `n_steps`: of the reply that was judged.
    """
    if not isinstance(verdict.steps, tuple | list):
        return _wrong("steps", verdict.steps, "a tuple of StepLabel")
    last = 0
    for place, step in enumerate(verdict.steps):
        where = f"steps.{place}"
        if not isinstance(step, StepLabel):
            return _wrong(where, step, "a StepLabel")
        # Not isinstance: True is no number of a step, nor is 1.0.
        if type(step.index) is not int or not last < step.index <= n_steps:
            allowed = f"the numbers of the reply's steps, 1 to {n_steps}, each once and in order"
            return _wrong(f"{where}.index", step.index, allowed)
        last = step.index
        if (problem := _broken_step(where, step)) is not None:
            return problem
    if not _yes_no_or_none(verdict.risk_identified):
        return _wrong("risk_identified", verdict.risk_identified, "True, False and None")
    return None if verdict.answer is None else _broken_answer(verdict.answer)


def _broken_step(where: str, step: StepLabel) -> str | None:
    if step.role is not None and step.role not in ROLES:
        return _wrong(f"{where}.role", step.role, _listed((*ROLES, None)))
    if not _yes_no_or_none(step.names_risk):
        return _wrong(f"{where}.names_risk", step.names_risk, "True, False and None")
    if not isinstance(step.corrects, tuple | list) or not _takes_back(step.corrects, step.index):
        allowed = f"numbers of earlier steps, and this is step {step.index}"
        return _wrong(f"{where}.corrects", step.corrects, allowed)
    return _broken_place(where, step)


def _broken_answer(answer: AnswerLabel) -> str | None:
    if not isinstance(answer, AnswerLabel):
        return _wrong("answer", answer, "an AnswerLabel and None")
    if answer.refusal not in _REFUSAL:
        return _wrong("answer.refusal", answer.refusal, _listed(_REFUSAL))
    return _broken_place("answer", answer)


def _broken_place(where: str, label: StepLabel | AnswerLabel) -> str | None:
    """What steps and the answer have in common."""
    if label.safety not in _SAFETY:
        return _wrong(f"{where}.safety", label.safety, _listed(_SAFETY))
    if label.effectiveness not in _EFFECTIVENESS:
        return _wrong(f"{where}.effectiveness", label.effectiveness, _listed(_EFFECTIVENESS))
    if not _is_share(label.p_unsafe):
        return _wrong(f"{where}.p_unsafe", label.p_unsafe, "0 to 1 and None")
    if not _is_share(label.p_effective):
        return _wrong(f"{where}.p_effective", label.p_effective, "0 to 1 and None")
    if not isinstance(label.boundary, bool):
        return _wrong(f"{where}.boundary", label.boundary, "True and False")
    return None


def _takes_back(corrects: Sequence[Any], index: int) -> bool:
    return all(type(number) is int for number in corrects) and takes_back_earlier(corrects, index)


def _yes_no_or_none(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _is_share(value: object) -> bool:
    """Whether it is a probability or none at all; NaN is neither."""
    return value is None or (isinstance(value, int | float) and type(value) is not bool and 0 <= value <= 1)


def _listed(words: Sequence[str | None]) -> str:
    return ", ".join(str(word) for word in words)


def _wrong(where: str, found: object, allowed: str) -> str:
    return f"{where}: {repr(found)[:_SHOWN]}; allowed are {allowed}"
