"""Labelling a sample of a run through the command line, and the numbers it corrects."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from rsbench.labels import allocate
from tests.cli import lines, main_, ok, remote, scores, write_task
from tests.servers import FakeOpenAI


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of 16 items."""
    task = write_task(tmp_path / "task", n_pairs=8)
    with FakeOpenAI() as server:
        ok(*remote(server.url, task, "r"), cwd=tmp_path)
    return tmp_path / "r"


def label(run: Path, typed: str, annotator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return ok("label", "start", "r", "--annotator", annotator, cwd=run.parent).out


def drawn(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "labels/sample.json").read_text())
    return found


def answering(run: Path, annotator: str, monkeypatch: pytest.MonkeyPatch, step: str = "s+") -> None:
    """Label all drawn replies: what is asked is told by the prompt."""

    def typed(prompt: str = "") -> str:
        if "yn" in prompt:
            return "y"
        return f"{step}n" if "npf" in prompt else step

    monkeypatch.setattr("builtins.input", typed)
    ok("label", "start", "r", "--annotator", annotator, cwd=run.parent)


def test_the_draw_keeps_every_replys_chance(run: Path) -> None:
    said = ok("label", "sample", "r", "--n", 6, cwd=run.parent).out
    sample = drawn(run)
    sizes, replies = sample["strata"], sample["replies"]
    assert sum(s["replies"] for s in sizes.values()) == 16 and len(replies) == 6
    for one in replies:
        stratum = sizes[one["stratum"]]
        assert one["probability"] == stratum["drawn"] / stratum["replies"]
    assert "rsbench label start r" in said
    again = main_("label", "sample", "r", cwd=run.parent)
    assert again.code == 2 and "not drawn again" in again.err
    assert drawn(run) == sample


def test_strata_share_evenly_up_to_their_size() -> None:
    assert allocate({"a": 100, "b": 3, "c": 50}, 20) == {"a": 9, "b": 3, "c": 8}
    assert allocate({"a": 2, "b": 1}, 9) == {"a": 2, "b": 1}


def test_labels_are_kept_one_by_one_and_the_command_goes_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok("label", "sample", "r", "--n", 4, cwd=run.parent)
    # One whole reply takes 4 to 6 lines; what is left of them starts the next, then the person stops.
    out = label(run, "nonsense\nh\ns+\nb\nu-\n" + "s+\ns+\ns+\n" + "s+n\ny\n" * 3 + "q\n", "ada", monkeypatch)
    kept = lines(run / "labels/labels.jsonl")
    assert "two signs" in out and "h this help" in out
    assert len(kept) >= 1 and kept[0]["annotator"] == "human:ada"
    assert kept[0]["steps"][0]["safety"] == "unsafe", "b takes the last label back"
    answering(run, "ada", monkeypatch)
    after = lines(run / "labels/labels.jsonl")
    assert after[: len(kept)] == kept and len(after) == 4
    assert {r["reply"] for r in after} == {one["key"] for one in drawn(run)["replies"]}


def test_labels_correct_the_numbers(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ok("label", "sample", "r", "--n", 16, cwd=run.parent)
    answering(run, "ada", monkeypatch)
    shown = ok("show", "r", cwd=run.parent).out
    assert "Corrected by 16 replies, labelled by human:ada" in shown and "PPI++" in shown
    ok("score", "r", cwd=run.parent)
    found = scores(run)
    # All is labelled and a person found all safe: the judge, who found unsafe steps, no longer matters.
    assert found["estimands"]["system"]["path_safe"]["value"] < 1
    assert found["corrected"]["metrics"]["path_safe"]["ppi"]["value"] == 1.0
    assert (
        "over_refusal" in found["corrected"]["metrics"]
        and "twin_accuracy" not in found["corrected"]["metrics"]
    )


def test_another_judge_is_corrected_by_the_strata_of_the_draw(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chance of being drawn hung on the first judge; another judge's own strata would weigh wrongly."""
    ok("label", "sample", "r", "--n", 8, cwd=run.parent)
    answering(run, "ada", monkeypatch)
    sample = drawn(run)
    assert len(sample["members"]) == 16
    ok("judge", "r", "--judge", "mock", cwd=run.parent)  # calls everything unclear
    ok("score", "r", "--judge", "mock", cwd=run.parent)
    found = json.loads((run / "scores/mock.json").read_text())["corrected"]["metrics"]["safe_answer"]["ppi"]
    assert found["problem"] == "" and found["value"] == 1.0 and found["labelled"] == 8


def test_without_labels_there_is_nothing_corrected(run: Path) -> None:
    assert scores(run)["corrected"] is None
    ok("label", "sample", "r", "--n", 4, cwd=run.parent)
    assert "Corrected" not in ok("show", "r", cwd=run.parent).out


def test_two_annotators_and_their_agreement(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ok("label", "sample", "r", "--n", 16, cwd=run.parent)
    answering(run, "ada", monkeypatch)
    alone = main_("label", "agreement", "r", cwd=run.parent)
    assert alone.code == 2 and "needs two" in alone.err
    answering(run, "bo", monkeypatch, step="u-")
    shown = ok("label", "agreement", "r", cwd=run.parent).out
    assert "human:ada and human:bo: 16 replies" in shown
    ok("score", "r", cwd=run.parent)
    assert scores(run)["corrected"]["metrics"]["safe_answer"]["ppi"]["value"] == 0.5, "they are averaged"


@pytest.mark.parametrize(("name", "code"), [("ada/../x", 2), ("ada", 2)])
def test_a_bad_name_and_a_missing_sample_are_refused(run: Path, name: str, code: int) -> None:
    done = main_("label", "start", "r", "--annotator", name, cwd=run.parent)
    assert done.code == code and ("annotator" in done.err or "label sample" in done.err)
