"""CSV as spreadsheets and data frames read it: a stranger's words stay in their cell and are no formula."""

import csv
import io
from pathlib import Path

from rsbench.board_files import as_csv
from rsbench.exports.flat import cell, csv_bytes
from rsbench.exports.tables import Table
from rsbench.records import digest
from tests.board_rows import JUDGE, outcomes, words, write_row
from tests.board_rows import entry as board_entry

FORMULA = "hello\r=cmd|' /C calc'!A0"


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def test_a_lone_carriage_return_ends_no_row() -> None:
    rows = [{"item": "a", "reply": FORMULA}, {"item": "b", "reply": "x\r\n\ny"}, {"item": "c", "reply": "z"}]
    found = csv_bytes(Table("samples", {"item": "text", "reply": "text"}, rows))
    assert read(found) == [["item", "reply"], ["a", FORMULA], ["b", "x\r\n\ny"], ["c", "z"]]
    assert found.endswith(b'"\nc,z\n') and found.startswith(b"item,reply\na,"), "lines end as before"


def test_the_boards_table_holds_a_row_a_line(tmp_path: Path) -> None:
    found = outcomes(0.5, 1)
    path = write_row(tmp_path, "evil", found, [words(o) for o in found], {"model.name": FORMULA})
    head, line = read(as_csv([board_entry(path)]))
    assert len(head) == len(line) and line[head.index("model")] == FORMULA
    assert as_csv([]) == b""


def test_rows_of_other_splits_and_judges_are_told_apart(tmp_path: Path) -> None:
    # One name, and yet neither one task's items nor one judge: who averages such rows has to see it.
    found, blind = outcomes(0.5, 1, 4), {"card": "x", "hints": "no"}
    changes: dict[str, dict[str, object]] = {
        "one": {},
        "other": {"task.split": "test"},
        "blind": {"judge.identity": blind, "judge.validation": None},
    }
    paths = [
        write_row(tmp_path, name, found, [words(o) for o in found], own) for name, own in changes.items()
    ]
    head, *lines = read(as_csv([board_entry(path) for path in paths]))
    one, other, last = (dict(zip(head, line, strict=True)) for line in lines)
    assert (one["split"], other["split"]) == ("", "test")
    assert (one["hints"], last["hints"]) == ("yes", "no")
    assert one["judge_identity"] == other["judge_identity"] == digest(JUDGE)
    assert last["judge_identity"] == digest(blind)


def test_lists_are_no_formula_either() -> None:
    assert cell([1, 2]) == "1 2" and cell(["=1", "2"]) == "'=1 2"
