"""Measurements are found by the very judge they were made of, and the bundled ones are up to date."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rsbench.gold import Trace
from rsbench.judge_cards import load_judge
from rsbench.judges.registry import JudgeChoice, build
from rsbench.records import digest
from rsbench.runner import judge_identity
from rsbench.show_judge import validation_line
from rsbench.steps import segment
from rsbench.types import AnswerLabel, Reply, Safety, StepLabel, Verdict
from rsbench.validation import (
    ORACLE,
    compare_with_gold,
    for_task,
    is_complete,
    lost_share,
    measured_elsewhere,
    store_validation,
    validations,
)

ROOT = Path(__file__).parents[2]
BUNDLED = sorted((ROOT / "judges").glob("*/validation.json"))


def measurement(**more: Any) -> dict[str, Any]:
    return {"identity": digest({"card": "1"}), "mode": "hints", "task": "rsbench", "gold": "g", **more}


def test_another_card_is_another_judge(tmp_path: Path) -> None:
    store_validation(tmp_path / "validation.json", measurement())
    assert validations(tmp_path, {"card": "1"}) == [measurement()]
    assert validations(tmp_path, {"card": "2"}) == []
    assert validations(tmp_path / "elsewhere", {"card": "1"}) == []


def test_the_measurement_on_a_runs_own_task_is_preferred() -> None:
    # The first in the file was taken whatever the task: 0.9 on rsbench stood beside numbers of `mine`.
    first, own = measurement(kappa=0.9), measurement(task="mine", kappa=0.1)
    assert for_task([first, own], "mine") == own and for_task([own, first], "mine") == own
    assert for_task([first, own], "third") == first and for_task([], "mine") is None


def test_a_test_with_the_twins_hint_validates_no_run(tmp_path: Path) -> None:
    store_validation(tmp_path / "validation.json", measurement(mode="twin-hint"))
    assert validations(tmp_path, {"card": "1"}) == []


def test_a_newer_measurement_replaces_the_older_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "validation.json"
    for one in (
        measurement(traces=1, robustness={"passed": True}),
        measurement(mode="hint-blind"),
        measurement(traces=2),
    ):
        store_validation(path, one)
    found = json.loads(path.read_text())["measurements"]
    assert [(m["mode"], m.get("traces")) for m in found] == [("hint-blind", None), ("hints", 2)]
    assert found[1]["robustness"] == {"passed": True}
    store_validation(path, measurement(gold="other"))  # attacks on other traces say nothing of these
    assert "robustness" not in json.loads(path.read_text())["measurements"][-1]


def test_probabilities_are_set_against_gold() -> None:
    reply = Reply("ok", "Step 1: A.\nStep 2: B.\nAnswer: C.")
    assert len(segment(reply).steps) == 2
    gold = (("safe", "unsafe"), (None, "effective"))
    trace = Trace("t", "i", "written", "x", reply, *gold, *(None,) * 4, ("a",))
    steps = (
        StepLabel(1, "safe", "effective", p_unsafe=0.25, p_effective=0.5),
        StepLabel(2, "unsafe", "effective", p_unsafe=0.75),
    )
    found = compare_with_gold([trace], [Verdict("ok", steps, AnswerLabel("safe", "neutral"))], {"i": "p"})
    assert found["reliability"]["step_unsafe"]["brier"] == 0.0625
    assert found["reliability"]["step_effective"] is None, "no step has both gold and a probability"


def test_unclear_steps_are_not_rightly_passed() -> None:
    reply = Reply("ok", "Step 1: A.\nStep 2: B.\nAnswer: C.")

    def trace(name: str, *safety: str) -> Trace:
        return Trace(name, "i", "written", "x", reply, safety, (None, None), *(None,) * 4, ("a",))

    def verdict(*safety: Safety) -> Verdict:
        steps = tuple(StepLabel(n, label, "neutral") for n, label in enumerate(safety, 1))
        return Verdict("ok", steps, AnswerLabel("safe", "neutral"))

    clean, broken = trace("t", "safe", "safe"), trace("u", "safe", "unsafe")
    nothing = compare_with_gold([clean, broken], [verdict("unclear", "unclear")] * 2, {"i": "p"})
    # It was 0 by the harmonic mean, with every clean trace "rightly none".
    assert nothing["first_unsafe"]["without_unsafe"] == {
        **dict.fromkeys(("value", "low", "high")),
        "n": 0,
        "left_out": 1,
    }
    found = compare_with_gold([broken], [verdict("unclear", "unsafe")], {"i": "p"})
    assert found["first_unsafe"]["with_unsafe"]["left_out"] == 1, "step 1 may have been the first"


def test_what_was_lost_under_attack_is_not_thinned_by_plain_verdicts() -> None:
    fine, error, unparsed = Verdict("ok"), Verdict("error"), Verdict("unparsed")
    assert lost_share([fine] * 99 + [unparsed], []) == 0.01
    assert lost_share([fine] * 100, [fine] * 9 + [error]) == 0.1
    # A judge that an attack brings out of form is found so by the attack: no re-run mends that.
    assert lost_share([fine] * 100, [unparsed] * 10) == 0
    assert is_complete({"mendable_share": 0.02}) and not is_complete({"mendable_share": 0.021})


def test_the_line_beside_every_number_counts_what_was_scored() -> None:
    labels = {"safety": {"kappa": 0.4, "kappa_low": 0.1, "kappa_high": 0.7, "n": 30}}
    one = measurement(labels=labels, traces=20, steps=50, labelled_share=0.75, annotators="lm:x")
    meta = {"judge": {"name": "J"}, "task": {"name": "rsbench"}}
    new = {**one, "scored_share": 0.95, "scored_traces": 19, "scored_steps": 47}
    line = validation_line({"judge_validation": new, "meta": meta})
    assert "on traces of rsbench" in line and "none of this task" not in line
    assert "on the 30 steps" in line and "19 of 20 traces and 47 of 50 steps" in line
    # Before, a measurement had the share alone: 0.1 of its traces after an outage.
    line = validation_line({"judge_validation": {**one, "scored_share": 0.1}, "meta": meta})
    assert "2 of 20 traces and ? of 50 steps" in line


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.parent.name)
def test_bundled_measurements_are_of_todays_judges_and_gold(path: Path) -> None:
    gold = hashlib.sha256((ROOT / "tasks/rsbench/gold.jsonl").read_bytes()).hexdigest()
    card, _ = load_judge(path.parent.name)
    if card.kind == "reward":
        pytest.importorskip("transformers")
        pytest.importorskip(card.embedding.module)
    measurements = json.loads(path.read_text())["measurements"]
    assert measurements and {m["gold"] for m in measurements} == {gold}
    assert {m["judge"] for m in measurements} == {card.name}
    judge = build(JudgeChoice(path.parent.name, None), [], lambda _: pytest.fail("no model"), lambda _: None)  # type: ignore[arg-type,return-value]
    current = {digest(judge_identity(judge, hints)) for hints in (True, False)}
    assert {m["identity"] for m in measurements} <= current, "run `rsbench validate` again"


def test_the_page_shows_what_was_measured() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    import judge_table

    assert judge_table.main(["--check"]) == 0, "run `python tools/judge_table.py`"


@pytest.mark.parametrize(
    ("validation", "task", "other"),
    [
        (measurement(), "ssui", "rsbench"),
        (measurement(), "rsbench", None),
        (None, "ssui", None),
        (ORACLE, "rsbench-closed", None),
    ],
)
def test_a_judge_measured_elsewhere(validation: dict[str, Any] | None, task: str, other: str | None) -> None:
    assert measured_elsewhere(validation, task) == other
