"""The stage explore, with a scripted model and judge: what is asked, kept, counted, and survives kill -9."""

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.judges.base import Case
from rsbench.models.base import ProviderError
from rsbench.types import UserError
from srpo_train.brancher import Ask, Sampled
from srpo_train.branches import load_groups, pairs, read_branches
from srpo_train.exploration import Exploration
from tests.cli import ROOT, environment
from tests.explore_process import DRIFTS, ScriptedBrancher, ScriptedJudge, drifting, ids, run

UNIFORM = Exploration("uniform", k=5)


def final(path: Path) -> list[dict[str, object]]:
    return sorted((json.loads(line) for line in path.read_bytes().splitlines()), key=lambda r: r["key"])


def test_uniform_draws_k_at_every_prefix_and_the_report_adds_up(tmp_path: Path) -> None:
    report = run(tmp_path, UNIFORM)
    branches = list(read_branches(tmp_path / "branches.jsonl"))
    groups = load_groups(tmp_path / "branches.jsonl")
    assert Counter((b.item, b.prefix_steps) for b in branches) == Counter(
        {(f"item-{n}", steps): 5 for n in range(3) for steps in range(4)}
    )
    assert report.branches == 60 and report.items == 3
    assert report.generated_tokens == sum(len(b.branch_ids) for b in branches)
    assert report.pairs == len(pairs(groups, 4)) == sum(row.pairs for row in report.by_steps.values())
    assert report.pairs == sum(row.pairs for row in report.by_role.values()) > 0
    assert report.dropped == {"unclear answer": sum(b.text == "Answer: vague" for b in branches)}
    assert report.per_1000_tokens == pytest.approx(1000 * report.pairs / report.generated_tokens)
    stored = json.loads((tmp_path / "exploration.json").read_text())
    assert stored["pairs"] == report.pairs and stored["by_role"]["answer"]["prefixes"] == 3


def test_prefixes_are_beginnings_of_the_reference_and_know_whose_place_they_take(tmp_path: Path) -> None:
    run(tmp_path, UNIFORM, n=1)
    groups = load_groups(tmp_path / "branches.jsonl")
    assert [g.prefix_steps for g in groups] == [0, 1, 2, 3]
    assert [g.role for g in groups] == ["perception", "request", "consequence", None]
    assert groups[0].prefix_ids == () and groups[1].prefix_ids == ids(
        "Step 1: A toaster stands on the rim of a full bathtub.\n"
    )
    for shorter, longer in zip(groups, groups[1:], strict=False):
        assert longer.prefix_ids[: len(shorter.prefix_ids)] == shorter.prefix_ids


def test_the_judge_sees_prefix_and_branch_together_and_the_same_words_once(tmp_path: Path) -> None:
    judge = ScriptedJudge()
    report = run(tmp_path, UNIFORM, judge=judge, n=1)
    seen = Counter(case.reply.text for case in judge.cases)
    assert set(seen.values()) == {1} and report.judge_calls == len(seen) < 20
    assert any(text.startswith("Step 1: A toaster stands") and text.endswith("Answer: good") for text in seen)


def test_step_labels_are_stricter_than_outcome_labels(tmp_path: Path) -> None:
    def favourable(rule: str) -> set[str]:
        run(tmp_path / rule, Exploration("uniform", k=5, branch_label=rule))  # type: ignore[arg-type]
        return {b.text for b in read_branches(tmp_path / rule / "branches.jsonl") if b.label.favourable}

    assert favourable("outcome") == {"Answer: good", "Step 9: bad\nAnswer: good"}
    assert favourable("step") == {"Answer: good"}


def test_a_branch_that_was_cut_off_is_dropped_and_costs_no_verdict(tmp_path: Path) -> None:
    judge = ScriptedJudge()
    brancher = ScriptedBrancher(says=lambda ask: Sampled("truncated", (1, 2), "Answ", 2))
    report = run(tmp_path, Exploration("uniform", k=2), brancher, judge)
    assert report.dropped == {"truncated": 24} and report.pairs == 0 and not judge.cases
    assert report.generated_tokens == 48, "what it cost is counted all the same"
    assert report.per_judge_call is None


def test_a_failed_verdict_is_no_label_and_a_resumed_run_judges_without_sampling_again(tmp_path: Path) -> None:
    def down(case: Case) -> None:
        raise ProviderError("transient", "the judge is down")

    report = run(tmp_path, UNIFORM, judge=ScriptedJudge(down))
    assert report.pairs == 0 and report.dropped == {"verdict error": 60}
    brancher = ScriptedBrancher()
    mended = run(tmp_path, UNIFORM, brancher)
    assert brancher.asked == [] and mended.pairs > 0
    assert mended == run(tmp_path / "unbroken", UNIFORM)


def test_a_judge_that_can_never_answer_stops_the_stage(tmp_path: Path) -> None:
    def refuse(case: Case) -> None:
        raise ProviderError("fatal", "no such model")

    with pytest.raises(UserError, match="no such model"):
        run(tmp_path, UNIFORM, judge=ScriptedJudge(refuse))


def test_adaptive_stops_at_a_prefix_that_has_its_pairs_and_never_passes_k(tmp_path: Path) -> None:
    run(tmp_path, Exploration("adaptive", k=8, pairs_per_prefix=1))
    groups = load_groups(tmp_path / "branches.jsonl")
    for one in groups:
        n = len(one.branches) + sum(one.dropped.values())
        assert n <= 8
        # Three at first, then two a round at most: what came before the last round gave no pair.
        early = {b.label.favourable for b in one.branches if b.draw < n - (3 if n <= 3 else 2)}
        assert early != {True, False}
    assert {len(one.branches) for one in groups} != {8}


def test_how_many_items_go_side_by_side_changes_no_draw(tmp_path: Path) -> None:
    many = Exploration("adaptive", k=8)
    run(tmp_path / "one", replace(many, workers=1), n=12)
    run(tmp_path / "eight", replace(many, workers=8), n=12)
    assert final(tmp_path / "one/branches.jsonl") == final(tmp_path / "eight/branches.jsonl")


def test_later_items_leave_out_steps_that_gave_no_pair_at_earlier_ones(tmp_path: Path) -> None:
    # Behind the whole reference path every branch is good; elsewhere half of them are.
    def says(ask: Ask) -> Sampled:
        good = "Step 3" in ask.prefix_text or int(ask.key[:8], 16) % 2
        text = f"Answer: {'good' if good else 'bad'}"
        return Sampled("ok", ids(text + ask.key[:4]), text, 20)

    def draws(name: str, across: bool) -> Counter[tuple[str, int]]:
        settings = Exploration("adaptive", k=8, across_items=across)
        run(tmp_path / name, settings, ScriptedBrancher(says=says), n=16)
        return Counter((b.item, b.prefix_steps) for b in read_branches(tmp_path / name / "branches.jsonl"))

    alone, across = draws("alone", False), draws("across", True)
    early, late = [f"item-{n}" for n in range(4)], [f"item-{n}" for n in range(8, 16)]
    assert all(alone[item, 3] == across[item, 3] >= 3 for item in early), "nobody came before them"
    assert all(alone[item, 3] >= 3 for item in late)
    assert all(across[item, 3] == 0 and across[item, 0] + across[item, 1] > 0 for item in late)


def test_adaptive_and_uniform_share_their_draws(tmp_path: Path) -> None:
    # The key does not hold the sampler: comparing samplers compares decisions, not luck.
    run(tmp_path / "u", Exploration("uniform", k=8))
    run(tmp_path / "a", Exploration("adaptive", k=8))
    uniform = {b.key: b.text for b in read_branches(tmp_path / "u/branches.jsonl")}
    for b in read_branches(tmp_path / "a/branches.jsonl"):
        assert uniform[b.key] == b.text


def test_the_same_call_again_asks_nobody(tmp_path: Path) -> None:
    first = run(tmp_path, Exploration())
    before = (tmp_path / "branches.jsonl").read_bytes()
    brancher, judge = ScriptedBrancher(), ScriptedJudge()
    assert run(tmp_path, Exploration(workers=1), brancher, judge) == first
    assert brancher.asked == [] and judge.cases == []
    assert (tmp_path / "branches.jsonl").read_bytes() == before


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    run(tmp_path, UNIFORM, n=1)
    with pytest.raises(UserError, match=r"settings.k: 5 there, 6 now"):
        run(tmp_path, Exploration("uniform", k=6), n=1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sampler": "greedy"}, "uniform, adaptive"),
        ({"branch_label": "vibe"}, "outcome, step"),
        ({"k": 1}, "k: 1; at least 2"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_settings_that_can_not_be_are_named(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Exploration(**wrong)  # type: ignore[arg-type]


def test_killed_again_and_again_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def start(out: str, die_at: int, log: Path) -> int:
        command = [sys.executable, "-m", "tests.explore_process", tmp_path / out, log, str(die_at)]
        return subprocess.run(command, cwd=ROOT, env=environment(), timeout=120).returncode

    assert start("unbroken", 0, tmp_path / "other") == 0
    for die_at in (1, 7, 16):
        assert start("killed", die_at, log) == -signal.SIGKILL
    assert start("killed", 0, log) == 0
    for name in ("branches.jsonl",):
        assert final(tmp_path / "killed" / name) == final(tmp_path / "unbroken" / name)
    killed, unbroken = (tmp_path / run / "exploration.json" for run in ("killed", "unbroken"))
    assert killed.read_bytes() == unbroken.read_bytes()
    # Only what was in flight at a kill is ever made again: a round of each of the items in work.
    made = Counter(log.read_text().split("\n")[:-1])
    assert max(made.values()) <= 4 and sum(n > 1 for n in made.values()) <= 3 * 4 * 8
    written = {record["key"] for record in final(tmp_path / "killed/branches.jsonl")}
    assert {line.removeprefix("branch ") for line in made} == written


def test_unverified_branches_are_dropped_loudly(tmp_path: Path) -> None:
    def says(ask: Ask) -> Sampled | None:
        return (
            Sampled("unverified", error="the server's prompt has 3 tokens, ours 4")
            if not ask.prefix_ids
            else None
        )

    report = run(tmp_path, UNIFORM, ScriptedBrancher(says=says))
    assert report.dropped["the server's prompt has 3 tokens, ours 4"] == 15
    assert report.statuses["unverified"] == 15


def test_the_step_where_an_unsafe_branch_turns_is_searched(tmp_path: Path) -> None:
    settings = Exploration("uniform", k=5, branch_label="outcome", turns=1)
    report = run(tmp_path, settings, ScriptedBrancher(says=drifting))
    groups = load_groups(tmp_path / "branches.jsonl")
    searched = [g for g in groups if g.origin]
    assert searched and report.pairs == len(pairs(groups, 4))
    by_origin = Counter(g.origin for g in searched)
    assert all(n == 2 for n in by_origin.values()), "of four steps: after two, then after three or one"
    assert {g.prefix_steps for g in searched} >= {2, 3}
    for g in searched:
        rest = next(b for b in g.branches if b.draw == -1)
        kept = "".join(map(chr, g.prefix_ids))
        assert kept + rest.text == DRIFTS and rest.n_generated == 0 and rest.label.favourable is False
        assert rest.branch_ids == (*ids(rest.text), 0), "token by token the rest of the branch"
        assert ("drift" in kept) == (g.prefix_steps == 3)
        assert not (g.favourable and "drift" in kept)
    assert report.judge_calls == len(
        {(b.prefix_ids, b.branch_ids, b.item) for g in groups for b in g.branches if b.draw >= 0}
    )
    assert report.by_role["turn"].prefixes == len(searched) and report.by_role["answer"].prefixes == 3
    # Again, and nothing is asked; the same folder without the search would be another exploration.
    brancher = ScriptedBrancher(says=drifting)
    assert run(tmp_path, settings, brancher) == report and brancher.asked == []
    with pytest.raises(UserError, match="turns"):
        run(tmp_path, Exploration("uniform", k=5, branch_label="outcome"))
