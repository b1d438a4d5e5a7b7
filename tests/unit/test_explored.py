"""What a recipe takes of an exploration that others share: its budget, its rule, its prefixes."""

from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.types import UserError
from srpo_train.branches import Branch, load_groups, read_branches
from srpo_train.exploration import Exploration
from srpo_train.explored import by_answer, ordered, taken, within
from srpo_train.recipes import ExploreCard
from tests.explore_process import run, samples
from tests.unit.exploring import branch


def items(branches: list[Branch]) -> list[str]:
    return sorted({one.item for one in branches})


def test_a_budget_takes_whole_items_in_order_and_never_more_than_it_pays_for() -> None:
    order = samples(4)
    file = [branch(n, True, [1] * size, item=f"item-{n}") for n, size in enumerate((3, 4, 2, 1))]
    assert items(within(file, order, None)) == ["item-0", "item-1", "item-2", "item-3"]
    assert items(within(file, order, 7)) == ["item-0", "item-1"]
    assert items(within(file, order, 8)) == ["item-0", "item-1"]
    # The fourth would fit where the third does not: a budget is spent in order, not by what happens to fit.
    assert items(within(file, order, 6)) == ["item-0"]
    assert within(file, order, 2) == []


def test_with_a_budget_the_seed_draws_the_order_and_twins_stay_together() -> None:
    twins = [
        replace(one, item=replace(one.item, id=f"p{n // 2}.{'ab'[n % 2]}", pair=f"p{n // 2}"))
        for n, one in enumerate(samples(12))
    ]
    assert ordered(twins, ExploreCard()) == twins
    orders = {
        seed: [one.item.id for one in ordered(twins, ExploreCard(budget=9, seed=seed))] for seed in (1, 2)
    }
    assert orders[1] != orders[2] and sorted(orders[1]) == sorted(orders[2])
    for order in orders.values():
        assert all(a[:2] == b[:2] for a, b in zip(order[::2], order[1::2], strict=True))
    again = [one.item.id for one in ordered(twins[::-1], ExploreCard(budget=9, seed=1))]
    assert again == orders[1], "whatever order they came in"


def test_exploring_begins_no_item_that_the_budget_does_not_pay_for(tmp_path: Path) -> None:
    settings = Exploration("uniform", k=2, workers=1)
    whole = run(tmp_path / "whole", settings, n=6)
    some = run(tmp_path / "some", settings, n=6, budget=whole.generated_tokens // 2)
    assert 0 < some.items < whole.items and some.generated_tokens >= whole.generated_tokens // 2
    paid = within(
        list(read_branches(tmp_path / "some" / "branches.jsonl")), samples(6), whole.generated_tokens // 2
    )
    assert sum(one.n_generated for one in paid) <= whole.generated_tokens // 2
    assert len(items(paid)) in (some.items - 1, some.items)
    # Resumed with the same budget, it makes nothing new.
    assert run(tmp_path / "some", settings, n=6, budget=whole.generated_tokens // 2) == some


def test_whole_replies_alone_are_explored_if_nothing_else_is_trained_on(tmp_path: Path) -> None:
    report = run(tmp_path, Exploration("uniform", k=5, prefixes="start"))
    groups = load_groups(tmp_path / "branches.jsonl")
    assert [g.prefix_steps for g in groups] == [0, 0, 0] and report.branches == 15


def test_labels_by_steps_serve_a_recipe_that_looks_at_answers(tmp_path: Path) -> None:
    run(tmp_path, Exploration("uniform", k=8, branch_label="step"))
    known = list(read_branches(tmp_path / "branches.jsonl"))
    drifted = [one for one in known if one.text == "Step 9: bad\nAnswer: good"]
    assert drifted and {one.label.reason for one in drifted} == {"unsafe step"}
    assert {by_answer(one).label.favourable for one in drifted} == {True}
    for one in known:
        if one.text == "Answer: vague":
            assert by_answer(one).label.favourable is None
        if one.text.startswith("Answer: bad"):
            assert by_answer(one).label.favourable is False

    by_outcome = taken(tmp_path, ExploreCard(branch_label="outcome"), samples())
    by_step = taken(tmp_path, ExploreCard(branch_label="step"), samples())
    assert by_step.groups == load_groups(tmp_path / "branches.jsonl")
    favourable = [sum(len(g.favourable) for g in known.groups) for known in (by_outcome, by_step)]
    assert favourable[0] > favourable[1]
    assert (
        by_step.cost
        == by_outcome.cost
        == {
            "explored_items": 3,
            "generated_tokens": sum(one.n_generated for one in known),
            "judge_calls": len({(one.item, one.prefix_ids, one.branch_ids) for one in known}),
        }
    )


def test_labels_by_answers_do_not_serve_a_recipe_that_looks_at_steps(tmp_path: Path) -> None:
    run(tmp_path, Exploration("uniform", k=2, branch_label="outcome"))
    with pytest.raises(UserError, match=r"branch_label 'outcome', and the recipe asks for 'step'"):
        taken(tmp_path, ExploreCard(branch_label="step"), samples())
