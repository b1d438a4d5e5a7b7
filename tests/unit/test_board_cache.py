"""Checked rows are remembered by content: what is the same is not checked again, all else never believed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsbench.board_cache import DAYS, Cache, row_key
from rsbench.board_site import Built, build
from rsbench.records import digest
from rsbench.types import UserError
from tests.board_rows import VALIDATION, outcomes, words, write_row
from tests.cli import ROOT, environment, ok


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Two open rows and a sealed one."""
    for n, name in enumerate(("one", "two")):
        found = outcomes(0.3 + 0.4 * n, n, n_pairs=15)
        write_row(tmp_path / "rows", name, found, [words(o) for o in found])
    write_row(tmp_path / "rows", "sealed", outcomes(0.5, 3, n_pairs=15))
    return tmp_path / "rows"


def built(rows: Path, site: str = "site") -> Built:
    return build(rows, rows.with_name(site), None, Cache(rows.with_name("cache")))


def content(site: Path) -> dict[str, bytes]:
    return {str(p.relative_to(site)): p.read_bytes() for p in site.rglob("*") if p.is_file()}


def forge(row: Path) -> None:
    """Other labels, with hash and digest made to fit: only computing the numbers again finds it out."""
    labels = row.with_name(f"{row.stem}.labels.jsonl")
    labels.write_text(labels.read_text().replace('"unsafe"', '"safe"'))
    data = json.loads(row.read_text())
    data["labels"]["sha256"] = hashlib.sha256(labels.read_bytes()).hexdigest()
    data["digest"] = digest({key: value for key, value in data.items() if key != "digest"})
    row.write_text(json.dumps(data))


def test_only_what_is_new_is_checked_and_the_site_is_the_same(rows: Path) -> None:
    assert built(rows).checked == 3
    write_row(rows, "four", outcomes(0.6, 4, n_pairs=15))
    assert built(rows).checked == 1
    build(rows, rows.with_name("fresh"), None)
    assert content(rows.with_name("site")) == content(rows.with_name("fresh"))


@pytest.mark.parametrize("forged", ["one", "sealed"])
def test_a_forged_row_is_refused_although_it_was_fine_before(rows: Path, forged: str) -> None:
    built(rows)
    forge(rows / f"{forged}.json")
    for _ in range(2):  # a failure is not remembered, either
        with pytest.raises(UserError, match="not what its labels give"):
            built(rows)


def test_a_judge_measured_anew_on_this_machine_is_another_key(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(rows)
    shelf = rows.with_name("shelf") / "judges" / "a-judge"
    shelf.mkdir(parents=True)
    (shelf / "judge.yaml").write_text("schema: 1\n")
    (shelf / "validation.json").write_text(
        json.dumps({"measurements": [{**VALIDATION, "labelled_share": 0.5}]})
    )
    monkeypatch.setenv("RSBENCH_PATH", str(rows.with_name("shelf")))
    with pytest.raises(UserError, match="not the measurement that the shelf has"):
        built(rows)


@pytest.mark.parametrize("name", ["one.json", "one.labels.jsonl", "one.transcripts.jsonl"])
def test_a_changed_byte_of_any_file_is_another_key(rows: Path, name: str) -> None:
    before = row_key(rows / "one.json", "")
    assert row_key(rows / "one.json", "another picture") != before
    (rows / name).write_bytes((rows / name).read_bytes() + b" ")
    assert row_key(rows / "one.json", "") != before
    (rows / name).unlink()
    assert row_key(rows / "one.json", "") != before


def test_damaged_and_foreign_files_are_checked_anew(rows: Path) -> None:
    built(rows)
    nothing = digest("", digest({}), None)  # neither its task, its items nor its judge are known here
    fresh, cache = content(rows.with_name("site")), rows.with_name("cache")
    one, two = (cache / row_key(rows / f"{name}.json", nothing) for name in ("one", "two"))
    whole = one.read_bytes()
    for wrong in (two.read_bytes(), whole[:-1], whole[:200] + b"!" + whole[201:], b"", b"checked, trust me"):
        one.write_bytes(wrong)
        assert built(rows).checked == 1
        assert one.read_bytes() == whole and content(rows.with_name("site")) == fresh


def test_replaced_rows_replace_their_downloads(rows: Path) -> None:
    built(rows)
    found = outcomes(0.9, 9, n_pairs=15)
    write_row(rows, "one", found, [words(o) for o in found])
    assert built(rows).checked == 1
    for name in ("one.json", "one.labels.jsonl", "one.transcripts.jsonl"):
        assert (rows.with_name("site") / "rows" / name).read_bytes() == (rows / name).read_bytes()


def test_any_change_of_code_or_template_is_another_key(tmp_path: Path) -> None:
    # A fix of a metric must not leave numbers of the old code on the board.
    hidden = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.npz")
    shutil.copytree(ROOT / "rsbench", tmp_path / "rsbench", ignore=hidden)
    shutil.copytree(ROOT / "leaderboard" / "templates", tmp_path / "leaderboard" / "templates")

    def code() -> str:
        command = [sys.executable, "-c", "from rsbench.board_cache import code; print(code())"]
        env = environment(PYTHONPATH=str(tmp_path))
        return subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    found = {code()}
    for place in ("rsbench/readings.py", "leaderboard/templates/row.js"):
        (tmp_path / place).write_text((tmp_path / place).read_text() + "\n")
        found.add(code())
    assert len(found) == 3


def test_the_command_says_what_it_did_not_check_and_can_be_told_to(rows: Path) -> None:
    folder = rows.parent
    arguments = ("leaderboard", "build", "--rows", "rows", "--out", "site")
    env = {"RSBENCH_CACHE": str(folder / "mine")}
    assert "before" not in ok(*arguments, cwd=folder, **env).out
    assert "3 checked before" in ok(*arguments, cwd=folder, **env).out
    kept = content(folder / "mine")
    assert "before" not in ok(*arguments, "--no-cache", cwd=folder, **env).out
    assert content(folder / "mine") == kept
    shutil.rmtree(folder / "mine")
    ok(*arguments, "--no-cache", cwd=folder, **env)
    assert not (folder / "mine").exists()


def test_a_folder_that_can_not_be_written_is_no_trouble_and_old_files_go(rows: Path) -> None:
    assert build(rows, rows.with_name("site"), None, Cache(Path(os.devnull))).checked == 3
    built(rows)
    old = next(rows.with_name("cache").iterdir())
    os.utime(old, (0, old.stat().st_mtime - (DAYS + 1) * 86_400))
    Cache(rows.with_name("cache")).tidy()
    assert not old.exists() and list(rows.with_name("cache").iterdir())
