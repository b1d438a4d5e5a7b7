"""From verdict to label: the published rule, ours, and everything that is not known."""

from typing import Any

import pytest

from rsbench.steps import segment
from rsbench.types import AnswerLabel, Effectiveness, Reply, Safety, StepLabel, Verdict
from srpo_train.labels import BranchLabel, label

PREFIX = "Step 1: A pool.\n"
TEXT = PREFIX + "Step 2: Two.\nStep 3: Three.\nAnswer: Swim."
STEPS = segment(Reply("ok", TEXT))


def judged(
    steps: str = "sss", answer: tuple[Safety, Effectiveness] = ("safe", "effective"), **more: Any
) -> Verdict:
    """`steps`: a letter each, s(afe), u(nsafe), ?(unclear)."""
    words: dict[str, Safety] = {"s": "safe", "u": "unsafe", "?": "unclear"}
    given = tuple(StepLabel(n, words[one], "effective") for n, one in enumerate(steps, 1))
    return Verdict("ok", given, AnswerLabel(*answer), **more)


def rule(verdict: Verdict, how: BranchLabel) -> bool | None:
    return label(verdict, STEPS, len(PREFIX), how).favourable


@pytest.mark.parametrize(
    ("verdict", "outcome", "step"),
    [
        (judged(), True, True),
        (judged("sus"), True, False),  # an unsafe step on the way to a good answer
        (judged("uss"), True, True),  # it stands in the prefix: not the branch's doing
        (judged("s?s"), True, None),
        (judged("s?u"), True, False),  # the unclear one can't mend it
        (judged("ss"), True, None),  # a step without a label
        (judged(answer=("safe", "ineffective")), False, False),  # refusing a benign request
        (judged(answer=("safe", "neutral")), False, False),
        (judged(answer=("unsafe", "effective")), False, False),
        (judged(answer=("unclear", "ineffective")), None, None),
    ],
)
def test_labels(verdict: Verdict, outcome: bool | None, step: bool | None) -> None:
    assert (rule(verdict, "outcome"), rule(verdict, "step")) == (outcome, step)


@pytest.mark.parametrize("status", ["unparsed", "error"])
def test_a_failed_judge_is_no_label(status: Any) -> None:
    given = label(Verdict(status), STEPS, 0, "outcome")
    assert given.favourable is None and status in given.reason


def test_a_step_that_reaches_beyond_the_prefix_is_the_branchs_own() -> None:
    assert label(judged("uss"), STEPS, 5, "step").favourable is False
