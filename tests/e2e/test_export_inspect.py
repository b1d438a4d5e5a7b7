"""Inspect logs: the shape its readers ask for, the run's numbers, failures as errors and not as scores."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli import lines, scores
from tests.export_run import HOSTILE, export, make_broken_run, make_run

# What Inspect AI 0.3.285 asks for in a log of version 2, and the name by which its viewer finds one.
REQUIRED = {
    "eval": {"created", "task", "dataset", "model", "config"},
    "sample": {"id", "epoch", "input", "target"},
}
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\+00-00_[^_]+_[^_]+\.json")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("export"))


def log_of(run: Path, out: Path, *args: object) -> dict[str, Any]:
    export(run, "inspect", out, *args)
    (path,) = out.iterdir()
    assert NAME.fullmatch(path.name)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    log: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    return log


def test_the_log_has_the_shape_of_inspects(run: Path, tmp_path: Path) -> None:
    log = log_of(run, tmp_path / "out")
    assert (log["version"], log["status"]) == (2, "success") and "error" not in log
    assert log["eval"].keys() >= REQUIRED["eval"]
    assert [(s["id"], s["epoch"] - 1) for s in log["samples"]] == [
        (p["item"], p["sample"]) for p in lines(run / "plan.jsonl")
    ]
    for sample in log["samples"]:
        assert sample.keys() >= REQUIRED["sample"]
        assert [m["role"] for m in sample["messages"]] == ["user", "assistant"]
        assert sample["output"]["choices"][0]["stop_reason"] == "stop"
        assert sample["scores"]["system"]["answer"] in sample["output"]["completion"]


def test_results_are_the_runs_numbers(run: Path, tmp_path: Path) -> None:
    log = log_of(run, tmp_path / "out")
    found = {(s["scorer"], s["name"]): s["metrics"] for s in log["results"]["scores"]}
    for estimand, numbers in scores(run)["estimands"].items():
        for key, number in numbers.items():
            shown = found[estimand, key]
            assert (shown["value"]["value"] if "value" in shown else None) == number["value"]
    risky = next(s for s in log["samples"] if s["id"] == "p0.risky")["scores"]["system"]["value"]
    assert risky["over_refusal"] is None  # it is about benign items


def test_samples_are_counted_as_inspect_counts_them(run: Path, tmp_path: Path) -> None:
    log = log_of(run, tmp_path / "out")
    spec, results = log["eval"], log["results"]
    assert (spec["dataset"]["samples"], spec["config"]) == (6, {"epochs": 2, "epochs_reducer": ["mean"]})
    assert results["total_samples"] == results["completed_samples"] == len(log["samples"]) == 6 * 2
    found = {s["name"]: s for s in results["scores"] if s["scorer"] == "system"}
    counts = {key: (s.get("scored_samples"), s.get("reducer")) for key, s in found.items()}
    # Inspect reduces epochs before it counts; a pair is none of its samples.
    assert counts["safe_answer"] == (6, "mean") and counts["safe_effective_answer_worst"] == (6, None)
    assert counts["over_refusal"] == (3, "mean") and counts["twin_accuracy"] == (None, None)
    about = found["twin_accuracy"]["metadata"]
    assert (about["n"], about["planned"], about["unit"]) == (3, 3, "pair")


def test_hostile_words_are_data_and_sealed_ones_are_gone(run: Path, tmp_path: Path) -> None:
    log = log_of(run, tmp_path / "out")
    sample = next(s for s in log["samples"] if s["id"] == "p0.risky")
    assert sample["output"]["completion"] == HOSTILE.replace("\ud83d", "\ufffd")
    # The viewer shows explanations as Markdown: none of the model's or judge's words are in them.
    told = "\n".join(score["explanation"] for score in sample["scores"].values())
    assert "hacked" not in told and "step 1: " in told
    written = json.dumps(log_of(run, tmp_path / "sealed", "--sealed"))
    assert "hacked" not in written and "What of" not in written and "Consideration" not in written
    assert "evidence" not in written and '"reason"' not in written and "A good answer" not in written


def test_a_failure_is_an_error_and_no_score(tmp_path: Path) -> None:
    log = log_of(make_broken_run(tmp_path), tmp_path / "out")
    assert log["status"] == "error" and "incomplete" in log["error"]["message"]
    assert log["results"]["completed_samples"] == 5
    failed = next(s for s in log["samples"] if s["id"] == "p1.benign")
    assert "500" in failed["error"]["message"]
    assert {v for score in failed["scores"].values() for v in score["value"].values()} == {None}


@pytest.mark.parametrize("sealed", [(), ("--sealed",)])
def test_inspect_itself_reads_it(run: Path, tmp_path: Path, sealed: tuple[str, ...]) -> None:
    inspect_log = pytest.importorskip("inspect_ai.log")
    log_of(run, tmp_path / "out", *sealed)
    (info,) = inspect_log.list_eval_logs(str(tmp_path / "out"))
    log = inspect_log.read_eval_log(info)
    assert log.status == "success" and len(log.samples) == 12
    assert log.results.scores[0].metrics["value"].value == pytest.approx(
        scores(run)["estimands"]["system"]["safe_effective_path"]["value"]
    )
