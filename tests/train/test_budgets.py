"""Tokens that a training may learn from, turned into steps: by hand."""

import pytest

pytest.importorskip("torch")

from srpo_train.recipes import OptimiseCard  # noqa: E402
from srpo_train.training import questions_seen, within_budget  # noqa: E402


def test_an_epochs_last_step_takes_what_is_left() -> None:
    # 3 questions, 2 a step: 2 + 1 an epoch.
    assert [questions_seen(steps, 3, 2) for steps in range(6)] == [0, 2, 3, 5, 6, 8]
    assert questions_seen(4, 10, 2) == 8 and questions_seen(5, 10, 2) == 10
    assert questions_seen(5, 1, 4) == 5, "one question, however large the step"


def steps(budget: int | None, tokens: list[int], batch: int, accumulate: int = 1) -> int | None:
    card = OptimiseCard(budget=budget, batch=batch, accumulate=accumulate)
    return within_budget(card, tokens).max_steps


def test_the_steps_come_as_near_to_the_budget_as_steps_can() -> None:
    assert steps(1000, [100] * 100, 2) == 5
    assert steps(1000, [100] * 100, 2, 2) == 2  # 8 or 12 questions for 10: the first of two that are as near
    assert steps(1100, [100] * 100, 2, 2) == 3
    # 3 questions of 1,000: 10 are paid for. Steps of 2 see 2, 3, 5, 6, 8, 9, 11: the sixth is one short, the
    # seventh one too many. Full steps alone would have stopped after the fifth, with 8.
    assert steps(10_000, [1000] * 3, 2) == 6
    assert steps(10_000, [500, 1000, 1500], 2) == 6, "by the mean"
    assert steps(1, [1000], 2) == 1, "at least one"
    assert steps(None, [1000], 2) is None
