"""Rows written by somebody who wishes the board ill, or was careless: none of it is believed, run or shown."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from pytest import MonkeyPatch

from rsbench.board_site import build
from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.records import digest
from rsbench.row_check import check_row
from rsbench.types import UserError
from tests.board_rows import outcomes, words, write_row
from tests.cli import main_, write_task


def row_about(rows: Path, task: str, folder: Path) -> Path:
    """An open row about the items of the task in `folder`, which calls that task `task`."""
    card, place = load_task(str(folder))
    items = list(Dataset(card, place.folder, None))
    good = outcomes(1.0, 1, 1)[0]
    found = [replace(good, item=i.id, pair=i.pair, category=i.category, kind=i.kind) for i in items]
    changes = {"task.name": task, "task.data": digest([item.hash for item in items])}
    return write_row(rows, "row", found, [words(o) for o in found], changes)


def test_a_row_can_not_name_a_task_by_its_file_path(tmp_path: Path) -> None:
    # Whoever builds the site would read that card, its data and its pictures, and publish them.
    folder = write_task(tmp_path / "task")
    row_about(tmp_path / "rows", str(folder), folder)
    build(tmp_path / "rows", tmp_path / "site", None)
    assert not (tmp_path / "site/images").exists()
    assert "neither picture nor query" in (tmp_path / "site/rows/row.html").read_text()


def test_other_peoples_data_is_neither_fetched_nor_published(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    folder = write_task(tmp_path / "shelf/tasks/theirs")
    publisher = {"who": "Somebody", "url": "https://x.example", "license": "CC BY-NC 4.0"}
    data = json.loads((folder / "task.yaml").read_text())
    (folder / "task.yaml").write_text(
        json.dumps(data | {"data": {"file": "items.jsonl", "publisher": publisher}})
    )
    monkeypatch.setenv("RSBENCH_PATH", str(tmp_path / "shelf"))
    row_about(tmp_path / "rows", "theirs", folder)
    build(tmp_path / "rows", tmp_path / "site", None)
    assert not (tmp_path / "site/images").exists()
    (folder / "task.yaml").write_text(json.dumps(data))
    build(tmp_path / "rows", tmp_path / "site", None)
    assert list((tmp_path / "site/images").iterdir()), "one's own are shown"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (b"\xff", "labels.jsonl: can't be read as UTF-8"),
        (b"[" * 100_000, "labels.jsonl:5: not JSON"),
        (b"again", "labels.jsonl:5: item 'p0.risky', sample 0 is there already, in line 1"),
    ],
)
def test_labels_that_can_not_be_read_are_refused_without_a_traceback(
    tmp_path: Path, more: bytes, message: str
) -> None:
    path = write_row(tmp_path / "rows", "row", outcomes(0.5, 1, n_pairs=2))
    labels = path.with_name("row.labels.jsonl")
    whole = labels.read_bytes()
    labels.write_bytes(whole + (whole.splitlines()[0] if more == b"again" else more))
    known = json.loads(path.read_text())["labels"]
    seal(path, labels=known | {"sha256": hashlib.sha256(labels.read_bytes()).hexdigest()})
    for command in (("check", "row", path), ("leaderboard", "build", "--rows", "rows", "--out", "site")):
        done = main_(*command, cwd=tmp_path)
        assert done.code == 2 and message in done.err


def seal(path: Path, **changes: object) -> None:
    """Change a row, and make its digest fit."""
    data = json.loads(path.read_text()) | changes
    data["digest"] = digest({key: value for key, value in data.items() if key != "digest"})
    path.write_text(json.dumps(data))


def test_a_row_says_how_many_labels_it_has_and_a_day_that_there_is(tmp_path: Path) -> None:
    path = write_row(tmp_path / "rows", "row", outcomes(0.5, 1, n_pairs=2), changes={"labels.samples": 400})
    with pytest.raises(UserError, match=r"labels\.samples is 400, but its labels are 4"):
        check_row(path)
    # The schema's pattern lets it through, and the feeds would fall over it.
    path = write_row(tmp_path / "rows", "row", outcomes(0.5, 1, n_pairs=2), changes={"made": "2026-02-30"})
    with pytest.raises(UserError, match="made: '2026-02-30' is no day"):
        check_row(path)
