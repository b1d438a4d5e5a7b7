"""Rows written by somebody who wishes the board ill, or was careless: none of it is believed, run or shown."""

import json
from dataclasses import replace
from pathlib import Path

from pytest import MonkeyPatch

from rsbench.board_site import build
from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.records import digest
from tests.board_rows import outcomes, words, write_row
from tests.cli import write_task


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
