"""CSV as spreadsheets and data frames read it: a stranger's words stay in their cell and are no formula."""

import csv
import io
from pathlib import Path

from rsbench.board_files import as_csv
from rsbench.board_rows import entry_of
from rsbench.exports.flat import cell, csv_bytes
from rsbench.exports.tables import Table
from rsbench.row_check import read_row
from tests.board_rows import outcomes, words, write_row

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
    head, line = read(as_csv([entry_of(path, *read_row(path))]))
    assert len(head) == len(line) and line[head.index("model")] == FORMULA
    assert as_csv([]) == b""


def test_lists_are_no_formula_either() -> None:
    assert cell([1, 2]) == "1 2" and cell(["=1", "2"]) == "'=1 2"
