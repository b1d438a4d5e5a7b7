"""A verdict that says what no verdict can say ends as an error that names the rule, whoever gave it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from rsbench.judges.base import Case, Unkept
from rsbench.judges.shape import broken_rule, checked
from rsbench.types import AnswerLabel, StepLabel, Usage, Verdict
from tests.unit.judging import case

FIRST = StepLabel(1, "safe", "effective", "perception", names_risk=True, p_unsafe=0.0, p_effective=1)
SECOND = StepLabel(2, "unsafe", "neutral", None, names_risk=None, p_unsafe=0.7)
THIRD = StepLabel(3, "unclear", "unclear", "strategy", corrects=(1, 2), boundary=True)
ANSWER = AnswerLabel("safe", "effective", "partial", p_unsafe=0.25)
GOOD = Verdict("ok", (FIRST, SECOND, THIRD), ANSWER, True)
ORDER = "the numbers of the reply's steps, 1 to 3, each once and in order"
YES_NO = "True, False and None"


def step(at: int, **changes: Any) -> Verdict:
    steps = list(GOOD.steps)
    steps[at] = replace(steps[at], **changes)
    return replace(GOOD, steps=tuple(steps))


def answer(**changes: Any) -> Verdict:
    return replace(GOOD, answer=replace(ANSWER, **changes))


@pytest.mark.parametrize(
    "verdict",
    [
        GOOD,
        replace(GOOD, steps=list(GOOD.steps)),  # type: ignore[arg-type]
        answer(safety="unclear", effectiveness="unclear", refusal="unclear", p_unsafe=None),
        Verdict("unparsed", error="no JSON"),
        # Labels beside another status are read by nobody.
        replace(step(0, index=0), status="error", error="timeout"),
    ],
)
def test_what_a_verdict_can_say_is_left_alone(verdict: Verdict) -> None:
    assert checked(verdict, 3) is verdict


def test_a_step_that_a_judge_leaves_out_is_unclear() -> None:
    # By place, the label of step 2 would be read as that of step 1.
    found = checked(replace(GOOD, steps=(SECOND,)), 3)
    assert found.steps[1] is SECOND
    assert [(s.index, s.safety, s.effectiveness) for s in (found.steps[0], found.steps[2])] == [
        (1, "unclear", "unclear"),
        (3, "unclear", "unclear"),
    ]
    none = checked(replace(GOOD, steps=(), answer=None, risk_identified=None), 2)
    assert (none.status, [s.safety for s in none.steps]) == ("ok", ["unclear", "unclear"])


@pytest.mark.parametrize(
    ("verdict", "problem"),
    [
        (step(0, index=0), f"steps.0.index: 0; allowed are {ORDER}"),
        (step(0, index=-1), f"steps.0.index: -1; allowed are {ORDER}"),
        (step(2, index=4), f"steps.2.index: 4; allowed are {ORDER}"),
        (step(1, index=1), f"steps.1.index: 1; allowed are {ORDER}"),
        # Agreement with gold and a panel's votes go by place: out of order they would be of other steps.
        (replace(GOOD, steps=(SECOND, FIRST)), f"steps.1.index: 1; allowed are {ORDER}"),
        (step(0, index="1"), f"steps.0.index: '1'; allowed are {ORDER}"),
        (step(0, index=True), f"steps.0.index: True; allowed are {ORDER}"),
        (step(1, index=2.0), f"steps.1.index: 2.0; allowed are {ORDER}"),
        (step(0, corrects=(2,)), "steps.0.corrects: (2,); allowed are numbers of earlier steps, and this is"),
        (step(1, corrects=(2,)), "steps.1.corrects: (2,); allowed are numbers of earlier steps, and this is"),
        (step(2, corrects=(1, 0)), "steps.2.corrects: (1, 0); allowed are numbers of earlier steps, and"),
        (step(2, corrects=("1",)), "steps.2.corrects: ('1',); allowed are numbers of earlier steps, and"),
        (step(2, corrects=None), "steps.2.corrects: None; allowed are numbers of earlier steps, and this is"),
        (step(1, p_unsafe=1.01), "steps.1.p_unsafe: 1.01; allowed are 0 to 1 and None"),
        (step(1, p_unsafe=-0.01), "steps.1.p_unsafe: -0.01; allowed are 0 to 1 and None"),
        (step(1, p_effective=float("nan")), "steps.1.p_effective: nan; allowed are 0 to 1 and None"),
        (step(1, p_effective="0.5"), "steps.1.p_effective: '0.5'; allowed are 0 to 1 and None"),
        (step(1, p_unsafe=True), "steps.1.p_unsafe: True; allowed are 0 to 1 and None"),
        (answer(p_unsafe=70), "answer.p_unsafe: 70; allowed are 0 to 1 and None"),
        (step(1, safety="Safe"), "steps.1.safety: 'Safe'; allowed are safe, unsafe, unclear"),
        (step(1, safety=["safe"]), "steps.1.safety: ['safe']; allowed are safe, unsafe, unclear"),
        (answer(safety=None), "answer.safety: None; allowed are safe, unsafe, unclear"),
        (
            answer(effectiveness="good"),
            "answer.effectiveness: 'good'; allowed are effective, neutral, ineffective, unclear",
        ),
        (answer(refusal="yes"), "answer.refusal: 'yes'; allowed are none, partial, full, unclear"),
        (
            step(0, role="planning"),
            "steps.0.role: 'planning'; allowed are perception, request, synthesis, intent, consequence, "
            "strategy, None",
        ),
        (step(0, names_risk="yes"), f"steps.0.names_risk: 'yes'; allowed are {YES_NO}"),
        (step(0, boundary=None), "steps.0.boundary: None; allowed are True and False"),
        (replace(GOOD, risk_identified="no"), f"risk_identified: 'no'; allowed are {YES_NO}"),  # type: ignore[arg-type]
        (replace(GOOD, steps=None), "steps: None; allowed are a tuple of StepLabel"),  # type: ignore[arg-type]
        (replace(GOOD, steps=({"index": 1},)), "steps.0: {'index': 1}; allowed are a StepLabel"),  # type: ignore[arg-type]
        (replace(GOOD, answer="safe"), "answer: 'safe'; allowed are an AnswerLabel and None"),  # type: ignore[arg-type]
    ],
)
def test_which_rule_was_broken(verdict: Verdict, problem: str) -> None:
    found = broken_rule(verdict, 3)
    assert found is not None and found.startswith(problem)
    told = checked(verdict, 3)
    assert (told.status, told.steps, told.answer, told.risk_identified) == ("error", (), None, None)
    assert told.error == f"the judge's verdict can't be used: {found}"


def test_of_no_steps_none_can_be_labelled() -> None:
    assert broken_rule(replace(GOOD, steps=()), 0) is None
    assert "1 to 0" in (broken_rule(GOOD, 0) or "")


def test_a_message_repeats_little_of_what_was_found() -> None:
    assert len(broken_rule(step(0, role="x" * 10_000), 3) or "") < 200


def test_what_the_verdict_cost_is_kept() -> None:
    paid = replace(step(0, index=9), raw="{...}", attempts=2, usage=Usage(5, 6), latency_s=1.5)
    told = checked(paid, 3)
    assert (told.raw, told.attempts, told.usage, told.latency_s) == ("{...}", 2, Usage(5, 6), 1.5)


def test_a_vote_outside_a_run_is_checked_too() -> None:
    class Judge:
        name, account, needs_reference = "elsewhere", None, False

        def identity(self) -> dict[str, str]:
            return {}

        async def judge(self, asked: Case) -> Verdict:
            return replace(GOOD, steps=(FIRST, SECOND, THIRD))

        async def close(self) -> None: ...

    judge = Judge()
    vote = asyncio.run(Unkept().cast(judge, case(), 0, judge.judge))  # a reply of two steps
    assert vote.status == "error" and "steps.2.index: 3; allowed are" in vote.error
