"""Rows written by somebody who wishes the board ill, or was careless: none of it is believed, run or shown."""

import json
from pathlib import Path

from rsbench.board_site import build
from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.records import digest
from rsbench.types import Outcome
from tests.board_rows import outcomes, words, write_row
from tests.cli import write_task


def test_a_row_can_not_name_a_task_by_its_file_path(tmp_path: Path) -> None:
    # Whoever builds the site would read that card, its data and its pictures, and publish them.
    folder = write_task(tmp_path / "task")
    card, place = load_task(str(folder))
    items = list(Dataset(card, place.folder, None))
    step, answer = outcomes(1.0, 1, 1)[0].steps[0], outcomes(1.0, 1, 1)[0].answer
    found = [Outcome(i.id, i.pair, i.category, i.kind, 0, "ok", 1, (step,), answer, True) for i in items]
    changes = {"task.name": str(folder), "task.data": digest([item.hash for item in items])}
    write_row(tmp_path / "rows", "path", found, [words(o) for o in found], changes)
    build(tmp_path / "rows", tmp_path / "site", None)
    page = (tmp_path / "site/rows/path.html").read_text()
    assert json.dumps(items[0].query)[1:-1] not in page and not (tmp_path / "site/images").exists()
