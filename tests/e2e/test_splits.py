"""Splits of a task: the default one is run, one for training only when named, and it never becomes a row."""

import json
import shutil
from pathlib import Path

import pytest

from rsbench.row_check import check_row
from rsbench.rows import make_row
from rsbench.store import RunFolder
from tests.cli import main_, ok, remote, scores, write_items, write_task
from tests.servers import FakeOpenAI
from tests.unit.tasks import complaint

SPLITS = {
    "validation": {"file": "items.jsonl"},
    "train": {"file": "train.jsonl", "trains": True},
    "other": {"file": "other.jsonl"},
}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Three pairs to validate on; two to train on; one of another split."""
    folder = write_task(tmp_path / "task", 6, splits=SPLITS, judge="overlap")
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    for name, part in (("train.jsonl", rows[6:10]), ("other.jsonl", rows[10:])):
        write_items(folder, part)
        shutil.move(folder / "items.jsonl", folder / name)
    write_items(folder, rows[:6])
    return folder


def run(task: Path, out: str, *more: object) -> list[object]:
    return ["run", "--model", "mock", "--judge", "mock", "--task", task, "--out", out, *more]


def test_the_default_split_is_run_and_a_training_split_only_when_named(task: Path, tmp_path: Path) -> None:
    ok(*run(task, "default"), cwd=tmp_path)
    assert scores(tmp_path / "default")["counts"]["planned"] == 6
    named = ok(*run(task, "train", "--split", "train"), cwd=tmp_path)
    assert scores(tmp_path / "train")["counts"]["planned"] == 4
    assert "for training" in named.err
    refused = main_(*run(task, "none", "--split", "exam"), cwd=tmp_path)
    assert refused.code == 2
    assert "validation, train, other" in refused.err
    assert not (tmp_path / "none").exists()


def test_another_split_does_not_resume_into_the_same_folder(task: Path, tmp_path: Path) -> None:
    ok(*run(task, "out"), cwd=tmp_path)
    refused = main_(*run(task, "out", "--split", "other"), cwd=tmp_path)
    assert refused.code == 2
    assert "task.split: was 'validation', now 'other'" in refused.err


def test_a_second_judge_sees_the_same_split(task: Path, tmp_path: Path) -> None:
    ok(*run(task, "out", "--split", "other"), cwd=tmp_path)
    ok("judge", "out", "--judge", "overlap", cwd=tmp_path)
    again = json.loads((tmp_path / "out" / "scores" / "overlap.json").read_text())
    assert again["counts"]["planned"] == 2


def test_a_row_names_its_split(task: Path, tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        ok(*remote(server.url, task, "out"), "--split", "other", cwd=tmp_path)
    row = check_row(make_row(RunFolder(tmp_path / "out"), None, tmp_path / "rows"))
    assert row.task.split == "other"
    assert "task-other" in row.name


def test_a_run_on_a_training_split_is_no_row(task: Path, tmp_path: Path) -> None:
    ok(*run(task, "train", "--split", "train"), cwd=tmp_path)
    refused = main_("leaderboard", "add", "train", "--out", "rows", cwd=tmp_path)
    assert refused.code == 2
    assert "split 'train' is for training" in refused.err
    assert not (tmp_path / "rows").exists()


def test_a_task_without_splits_has_none_in_its_identity(tmp_path: Path) -> None:
    # Runs made before there were splits must still resume.
    ok(*run(write_task(tmp_path / "plain"), "out"), cwd=tmp_path)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["identity"]["task"]) == {"name", "version", "sha256"}


def test_check_looks_at_every_split(task: Path, tmp_path: Path) -> None:
    done = ok("check", "task", task, cwd=tmp_path)
    assert "split validation: 6 items" in done.out
    assert "split train (trains): 4 items" in done.out
    shutil.copy(task / "items.jsonl", task / "train.jsonl")
    refused = main_("check", "task", task, cwd=tmp_path)
    assert refused.code == 2
    assert "is in the splits validation and train" in refused.err


def test_check_against_another_task_names_what_repeats(task: Path, tmp_path: Path) -> None:
    refused = main_("check", "task", task, "--against", task, cwd=tmp_path)
    assert refused.code == 2
    assert "p0.benign ~ p0.benign: same text (query, 1.00)" in refused.err


@pytest.mark.parametrize(
    "splits",
    [
        {"train": {"file": "items.jsonl", "trains": True}},
        {"validation": {"file": "elsewhere.jsonl"}},
        {"a": {"file": "items.jsonl"}, "b": {"file": "items.jsonl"}},
    ],
)
def test_a_card_must_say_which_split_is_run(splits: dict[str, object], tmp_path: Path) -> None:
    assert "data.file must be the file of exactly one split" in complaint(
        write_task(tmp_path / "task", splits=splits)
    )


def test_ssui_scores_its_validation_split_with_the_benchmarks_metrics(tmp_path: Path) -> None:
    run_ = ["run", "--task", "ssui", "--model", "mock", "--judge", "mock", "--limit", 20]
    ok(*run_, "--out", "out", cwd=tmp_path)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["identity"]["task"]["split"] == "validation"
    found = scores(tmp_path / "out")["estimands"]["system"]
    assert found["safe_effective_path"]["value"] is not None
    assert found["twin_accuracy"]["n"] == 10
    ok(*run_, "--split", "train", "--out", "train", cwd=tmp_path)
    refused = main_("leaderboard", "add", "train", cwd=tmp_path)
    assert refused.code == 2
    assert "for training" in refused.err
