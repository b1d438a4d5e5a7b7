"""`--dry-run`: what it says a training would take, beside what the published ones took."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("trl")

from srpo_train.estimate import text  # noqa: E402
from srpo_train.job import Job  # noqa: E402
from srpo_train.recipes import changed, load_recipe  # noqa: E402
from tests.cli import ROOT  # noqa: E402


def said(name: str, *stages: str) -> str:
    card, found = load_recipe(name)
    job = Job(changed(card, "test", seed=1), found, "tiny", Path("unused"), print)
    return text(job, stages or ("explore", "optimise", "run"))


@pytest.mark.parametrize(
    ("name", "unit"), [("sft", "questions"), ("dpo", "pairs"), ("kto", "replies"), ("grpo", "questions")]
)
def test_a_dry_run_counts_as_the_trainers_do(name: str, unit: str) -> None:
    lines = [json.loads(line) for line in (ROOT / "docs" / "comparison.jsonl").open(encoding="utf-8")]
    (took,) = [one for one in lines if (one["what"], one["name"]) == ("run", f"{name}-seed-1")]
    lead = re.search(rf"up to (\d+) {unit}, (\d+) steps of \d+ {unit}, about ([\d,]+) tokens", said(name))
    assert lead is not None, said(name)
    steps, tokens = int(lead[2]), int(lead[3].replace(",", ""))
    # grpo's took 23 steps of 8 replies each; it was told 252.
    assert steps == pytest.approx(took["steps"], rel=0.1)
    assert tokens == pytest.approx(took["tokens_a_question"], rel=0.1)


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_a_dry_run_of_replies_says_what_exploring_takes(name: str) -> None:
    assert "explore: 40,000 generated tokens, about 43 items with 435 branches, as many judge calls" in said(
        name
    )
    assert "explore:" not in said(name, "optimise")


def test_a_dry_run_of_grpo_says_how_many_replies_a_judge_is_asked_about() -> None:
    steps = re.search(r"(\d+) steps of 1 questions", said("grpo"))
    assert steps is not None
    assert f"reward: up to {8 * int(steps[1])} replies, as many judge calls at most" in said("grpo")
    assert "reward:" not in said("grpo", "run")


def test_a_dry_run_of_branches_does_not_promise_more_than_it_knows() -> None:
    # Rows are shorter where a prefix has no pair, so there are more steps; adaptive exploring stops early.
    assert re.search(r"at least \d+ steps of 2 questions, at most [\d,]+ tokens a row", said("step-dpo"))
    assert re.search(r"at least \d+ items", said("srpo")) and "up to 360 questions" in said("srpo")
