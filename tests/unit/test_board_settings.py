"""Rows that were asked otherwise stand in one table, and the pages say in what they differ."""

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pyarrow.parquet

from rsbench.board_files import as_csv, as_parquet
from rsbench.board_rows import Entry, differing, settings
from rsbench.board_site import build
from rsbench.board_tables import tables
from rsbench.board_trained import trained
from tests.board_rows import entry as board_entry
from tests.board_rows import outcomes, words, write_row

WARM: dict[str, object] = {"max_tokens": 256, "temperature": 1.0, "top_p": None}
COLD: dict[str, object] = {"max_tokens": 2048, "temperature": 1.0, "top_p": None}


def entry(folder: Path, name: str, parameters: dict[str, object], samples: int = 1, **more: object) -> Entry:
    found = outcomes(0.5, 1, n_pairs=3)
    every = [replace(o, sample=n) for o in found for n in range(samples)]
    said = [words(o) | {"sample": o.sample} for o in every]
    path = write_row(folder, name, every, said, {"model.parameters": parameters, **more})
    return board_entry(path)


def test_what_rows_share_and_in_what_they_differ(tmp_path: Path) -> None:
    one, other = entry(tmp_path, "one", WARM), entry(tmp_path, "other", COLD, samples=3)
    assert settings(other.row) == {"max_tokens": "2048", "temperature": "1.0", "samples an item": "3"}
    (table,) = tables([one, other])
    assert table.settings == {"temperature": "1.0"}
    assert {line.entry.row.name: line.settings for line in table.lines} == {
        "one": {"max_tokens": "256", "samples an item": "1"},
        "other": {"max_tokens": "2048", "samples an item": "3"},
    }
    (same,) = tables([one, entry(tmp_path, "twin", WARM)])
    assert [line.settings for line in same.lines] == [{}, {}]
    assert same.settings == {"max_tokens": "256", "temperature": "1.0", "samples an item": "1"}


def test_what_was_not_given_differs_from_what_was(tmp_path: Path) -> None:
    one, other = entry(tmp_path, "one", WARM), entry(tmp_path, "other", {"max_tokens": 256})
    assert differing([one.row, other.row]) == {"temperature": ("1.0", "default")}


def test_of_imported_replies_no_parameters_are_known(tmp_path: Path) -> None:
    # The row of an import has the defaults of a run, with which nothing was asked.
    identity = {"provider": "import", "model": "m", "sha256": "0" * 64}
    found = entry(tmp_path, "imported", COLD, **{"model.identity": identity})
    unknown = dict.fromkeys(("max_tokens", "temperature", "top_p"), "unknown")
    assert settings(found.row) == {**unknown, "samples an item": "1"}


def test_a_trained_row_says_how_its_base_was_asked(tmp_path: Path) -> None:
    base = entry(tmp_path, "base", COLD)
    rows = [
        entry(tmp_path, f"s{n}", given, **{"training": {"recipe": "srpo", "base": "base", "seed": n}})
        for n, given in enumerate((WARM, COLD))
    ]
    (block,) = trained(tables([base, *rows]))
    assert block.settings == {"max_tokens": ("2048", "256", "2048")}
    (alike,) = trained(tables([base, rows[1]]))
    assert alike.settings == {}


def test_pages_say_it(tmp_path: Path) -> None:
    rows, hostile = tmp_path / "rows", {**COLD, "\u202e<b>": "x" * 1000}
    entry(rows, "one", WARM)
    entry(rows, "other", COLD, samples=3)
    entry(rows, "third", hostile)
    training = {"recipe": "srpo", "base": "other", "seed": 1}
    entry(rows, "more", WARM, **{"training": training})
    build(rows, tmp_path / "site", None)
    index = unescape((tmp_path / "site/index.html").read_text())
    line = {name: index.split(f'id="row-{name}"')[1].split("</tr>")[0] for name in ("one", "other", "third")}
    assert "max_tokens 256 · samples an item 1" in line["one"]
    assert "max_tokens 2048 · samples an item 3" in line["other"]
    assert "⟨U+202E⟩" in line["third"] and "\u202e" not in index and "x" * 301 not in index
    assert "temperature <bdi>1.0</bdi>" in index
    assert "max_tokens 2048 of the base, 256 of the trained" in index
    assert "samples an item 3 of the base, 1 of the trained" in index
    compare = (tmp_path / "site/compare.html").read_text()
    block = re.search(r'id="data">(.*?)</script>', compare)
    assert block and "\u202e" not in block[1]
    known = {row["name"]: row["settings"] for row in json.loads(block[1])["rows"]}
    assert (known["one"]["max_tokens"], known["other"]["samples an item"]) == ("256", "3")
    page = (tmp_path / "site/rows/other.html").read_text()
    assert "max_tokens 2048 · temperature 1.0 · samples an item 3" in page


def test_downloads_tell_apart_what_the_pages_tell_apart(tmp_path: Path) -> None:
    imported = {"model.identity": {"provider": "import", "model": "m", "sha256": "0" * 64}}
    entries = [
        entry(tmp_path, "one", WARM),
        entry(tmp_path, "other", {"max_tokens": 2048, "=cmd()": "-1"}, samples=3),
        entry(tmp_path, "imported", WARM, **imported),
    ]
    head, *lines = csv.reader(io.StringIO(as_csv(entries).decode()))
    # The second row alone brings a parameter: its column stands with the others, not after all numbers.
    names = ["=cmd()", "max_tokens", "samples an item", "temperature", "top_p"]
    begin = head.index("segmenter") + 1
    assert head[begin : begin + 6] == [*(f"parameter.{name}" for name in names), "judge"]
    assert {line[0]: line[begin : begin + 5] for line in lines} == {
        "one": ["", "256", "1", "1.0", ""],
        "other": ["'-1", "2048", "3", "", ""],
        "imported": ["", "unknown", "1", "unknown", "unknown"],
    }
    table = pyarrow.parquet.read_table(io.BytesIO(as_parquet(entries)))
    assert table.column_names == head
    assert table.column("parameter.temperature").to_pylist() == ["1.0", None, "unknown"]
    assert as_csv(entries[::-1]).split(b"\n")[0] == as_csv(entries).split(b"\n")[0]
