"""What a recipe takes of an exploration that others share: its budget, its rule, its prefixes."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rsbench.types import UserError
from srpo_train.branches import Branch, load_groups, read_branches
from srpo_train.exploration import Exploration
from srpo_train.explored import by_answer, ordered, taken, within
from srpo_train.recipes import ExploreCard
from tests.explore_process import ScriptedBrancher, run, samples
from tests.unit.exploring import branch


def asks(settings: Exploration, **changes: Any) -> ExploreCard:
    """The card of a recipe that explores so."""
    same = {k: v for k, v in asdict(settings).items() if k in ExploreCard.model_fields}
    return ExploreCard(**same | {"hint_blind": not settings.hints} | changes)


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
    settings = Exploration("uniform", k=8, branch_label="step")
    run(tmp_path, settings)
    known = list(read_branches(tmp_path / "branches.jsonl"))
    drifted = [one for one in known if one.text == "Step 9: bad\nAnswer: good"]
    assert drifted and {one.label.reason for one in drifted} == {"unsafe step"}
    assert {by_answer(one).label.favourable for one in drifted} == {True}
    for one in known:
        if one.text == "Answer: vague":
            assert by_answer(one).label.favourable is None
        if one.text.startswith("Answer: bad"):
            assert by_answer(one).label.favourable is False

    by_outcome = taken(tmp_path, asks(settings, branch_label="outcome"), "all", samples())
    by_step = taken(tmp_path, asks(settings), "all", samples())
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
    settings = Exploration("uniform", k=2, branch_label="outcome")
    run(tmp_path, settings)
    with pytest.raises(UserError, match=r"branch_label: 'outcome' there, 'step' in the recipe"):
        taken(tmp_path, asks(settings, branch_label="step"), "all", samples())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": 3}, "settings.k: 2 there, 3 in the recipe"),
        ({"seed": 4}, "settings.seed: 0 there, 4 in the recipe"),
        ({"sampler": "adaptive"}, "settings.sampler: 'uniform' there, 'adaptive' in the recipe"),
        ({"temperature": 0.9}, "settings.temperature: 0.7 there, 0.9"),
        ({"turns": 2}, "settings.turns: 0 there, 2"),
        ({"hint_blind": True}, "settings.hints: True there, False"),
        ({"judge": "oracle"}, "judge.name: 'scripted' there, 'oracle' in the recipe"),
        ({"k": 3, "seed": 4}, "settings.k: 2 there, 3 in the recipe; settings.seed"),
    ],
)
def test_branches_that_were_made_otherwise_than_the_recipe_says_are_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    settings = Exploration("uniform", k=2)
    run(tmp_path, settings)
    with pytest.raises(UserError) as refused:
        taken(tmp_path, asks(settings, **changes), "all", samples())
    assert str(refused.value).startswith(f"{tmp_path / 'explore.json'}: ") and words in str(refused.value)


@pytest.mark.parametrize(
    ("judge", "model", "by", "same"),
    [
        ("llm", "openai/gpt-5-mini", "llm-openai/gpt-5-mini", True),
        ("llm", "openai/gpt-5-mini", "llm-openai/gpt-5", False),
        ("llm", "openai/gpt-5", "llm-openai/gpt-5-mini", False),
        ("llm", "openai/gpt-5", "llm-step-openai/gpt-5", False),
        ("llm", None, "llm-openai/gpt-5", True),
        ("openai/gpt-5", None, "llm-openai/gpt-5", True),
        ("openai/gpt-5", None, "llm-openai/gpt-5-mini", False),
        ("./mine.yaml", "openai/gpt-5", "mine-openai/gpt-5", True),
        ("./mine.yaml", "openai/gpt-5", "mine-openai/gpt-4", False),
        (None, "openai/gpt-5", "llm-openai/gpt-4", False),
        ("guard", "hf/a/guard", "guard", True),
        ("guard", "hf/a/other", "guard", False),
    ],
)
def test_the_model_behind_the_labelling_judge_is_the_recipe_s(
    judge: str | None, model: str | None, by: str, same: bool, tmp_path: Path
) -> None:
    settings = Exploration("uniform", k=2)
    run(tmp_path, settings)
    path = tmp_path / "explore.json"
    known = json.loads(path.read_text())
    known["judge"] |= {"name": by} | ({"model.model": "a/guard"} if by == "guard" else {})
    path.write_text(json.dumps(known))
    wanted = asks(settings, judge=judge, judge_model=model)
    if same:
        assert taken(tmp_path, wanted, "all", samples()).items == 3
        return
    with pytest.raises(UserError, match=f"judge.name: '{by}' there, "):
        taken(tmp_path, wanted, "all", samples())


def test_what_makes_no_difference_to_the_branches_is_no_reason_to_refuse_them(tmp_path: Path) -> None:
    settings = Exploration("uniform", k=2)
    run(tmp_path, settings)
    same = asks(
        settings,
        judge="scripted",
        workers=9,
        batch_size=1,
        first=2,
        min_chance=0.5,
        budget=10**6,
        across_items=False,
    )
    assert taken(tmp_path, same, "all", samples()).items == 3
    # Whole replies alone are another exploration: its tokens pay for more items.
    with pytest.raises(UserError, match="settings.prefixes: 'all' there, 'start' in the recipe"):
        taken(tmp_path, same, "start", samples())


def test_the_adaptive_sampler_s_own_settings_count_for_it(tmp_path: Path) -> None:
    settings = Exploration("adaptive", k=4)
    run(tmp_path, settings)
    assert taken(tmp_path, asks(settings), "all", samples()).items == 3
    with pytest.raises(UserError, match=r"settings.min_chance: 0\.1 there, 0\.5 in the recipe"):
        taken(tmp_path, asks(settings, min_chance=0.5), "all", samples())


def test_an_exploration_of_before_a_setting_was_there_did_as_was_done_then(tmp_path: Path) -> None:
    settings = Exploration("adaptive", k=4, across_items=False)
    run(tmp_path, settings)
    path = tmp_path / "explore.json"
    known = json.loads(path.read_text())
    for name in ("turns", "prefixes", "across_items"):
        del known["settings"][name]
    path.write_text(json.dumps(known))
    assert taken(tmp_path, asks(settings), "all", samples()).items == 3
    # Today's default is not what was done.
    with pytest.raises(
        UserError, match="across_items: False there, True in the recipe; settings.turns: 0 there, 1"
    ):
        taken(tmp_path, asks(settings, turns=1, across_items=True), "all", samples())
    del known["settings"]["k"]
    path.write_text(json.dumps(known))
    with pytest.raises(UserError, match="settings.k: None there, 4 in the recipe"):
        taken(tmp_path, asks(settings), "all", samples())


def test_an_exploration_that_was_stopped_is_refused_until_it_has_ended(tmp_path: Path) -> None:
    settings = Exploration("uniform", k=2)
    run(tmp_path, settings)
    whole = taken(tmp_path, asks(settings), "all", samples())
    (tmp_path / "exploration.json").unlink()  # as if it had been killed
    with pytest.raises(UserError, match=r"exploration\.json: not there, .* `--stage explore` goes on"):
        taken(tmp_path, asks(settings), "all", samples())
    run(tmp_path, settings)
    assert taken(tmp_path, asks(settings), "all", samples()) == whole


def test_exploring_further_has_not_ended_because_it_did_before(tmp_path: Path) -> None:
    settings = Exploration("uniform", k=2)
    run(tmp_path, settings, n=1)

    def breaks(_: object) -> None:
        raise UserError("killed")

    with pytest.raises(UserError, match="killed"):
        run(tmp_path, settings, ScriptedBrancher(note=breaks), n=2)
    with pytest.raises(UserError, match=r"exploration\.json: not there"):
        taken(tmp_path, asks(settings), "all", samples())


def test_what_is_taken_has_a_digest_of_the_records_whatever_their_order(tmp_path: Path) -> None:
    settings = Exploration("uniform", k=4)
    run(tmp_path, settings)
    file = tmp_path / "branches.jsonl"
    lines = file.read_text().splitlines(keepends=True)

    def digest() -> str:
        return taken(tmp_path, asks(settings), "all", samples()).digest

    before = digest()
    file.write_text("".join(reversed(lines)))
    assert digest() == before
    file.write_text("".join(lines[1:]))
    assert digest() != before


def test_branches_of_which_nobody_says_how_they_were_made_are_refused(tmp_path: Path) -> None:
    settings = Exploration("uniform", k=2)
    run(tmp_path, settings)
    (tmp_path / "explore.json").write_text("{}")
    with pytest.raises(UserError, match=r"explore\.json: can't be read"):
        taken(tmp_path, asks(settings), "all", samples())
    (tmp_path / "explore.json").unlink()
    with pytest.raises(UserError, match=r"explore\.json: not there"):
        taken(tmp_path, asks(settings), "all", samples())
