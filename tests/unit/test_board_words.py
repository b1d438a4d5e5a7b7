"""A stranger's words on pages and terminal: cut, hidden characters by number or gone, wherever they are."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.board_site import build
from rsbench.row_check import check_row
from rsbench.types import UserError
from rsbench.validation import ORACLE
from tests.board_rows import VALIDATION, outcomes, words, write_row
from tests.cli import main_
from tests.export_run import make_run

EVIL = "\u202eedom by people" + "y" * 1000
TRAINING = {"recipe": "srpo", "base": "base", "seed": 1}
FIELDS: dict[str, dict[str, object]] = {
    "model": {"model.name": EVIL, "model.family": EVIL, "model.identity": {"provider": "openai", EVIL: EVIL}},
    "parameters": {"model.parameters": {EVIL: EVIL}},
    "task": {"task.name": EVIL, "task.version": EVIL},
    "prompt": {"task.prompt": EVIL},
    "condition": {"task.condition": EVIL},
    "split": {"task.split": EVIL},
    "mode": {"judge.validation": {**VALIDATION, "mode": EVIL}},
    "gold": {"judge.validation": {**VALIDATION, "task": EVIL, "annotators": EVIL}},
    "counts": {"judge.validation": {**VALIDATION, "traces": EVIL, "steps": EVIL}},
    "oracle": {"judge.validation": dict.fromkeys(ORACLE, EVIL), "task.closed_world": True},
    "judge": {"judge.name": EVIL, "judge.validation": None, "judge.identity": {EVIL: EVIL}},
    "recipe": {"training": {**TRAINING, "recipe": EVIL}},
    "base": {"training": {**TRAINING, "base": EVIL}},
    "versions": {"versions": {"rsbench": EVIL, "commit": EVIL, EVIL: EVIL}},
    "category": {},
}


@pytest.mark.parametrize("field", FIELDS)
def test_words_of_a_row_are_refused_or_shown_for_what_they_are(field: str, tmp_path: Path) -> None:
    found = outcomes(0.5, 1, 4)
    write_row(tmp_path / "rows", "base", found, [words(o) for o in found])
    changes = FIELDS[field]
    if field == "category":  # of data of its own, or the row beside it would tell
        found, changes = [replace(o, category=EVIL) for o in found], {"task.data": "1" * 64}
    path = write_row(tmp_path / "rows", "evil", found, [words(o) for o in found], changes)
    try:
        check_row(path)
    except UserError:
        return  # it is not even believed
    build(tmp_path / "rows", tmp_path / "site", "https://x.example")
    pages = [*(tmp_path / "site").rglob("*.html"), tmp_path / "site/feed.xml"]
    for page in pages:
        html = re.sub(r"<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "\u202e" not in html and "y" * 301 not in html, page.name


def test_an_error_that_quotes_a_row_can_not_draw_on_the_terminal(tmp_path: Path) -> None:
    found = outcomes(0.5, 1, 2)
    changes: dict[str, object] = {"model.\x1b[2J\u202e": 1}
    path = write_row(tmp_path, "evil", found, [words(o) for o in found], changes)
    done = main_("check", "row", path, cwd=tmp_path)
    assert done.code == 2 and "\x1b" not in done.err and "\u202e" not in done.err


def test_a_run_of_a_stranger_can_not_either(tmp_path: Path) -> None:
    place = make_run(tmp_path) / "manifest.json"
    data = json.loads(place.read_text(encoding="utf-8"))
    data["identity"]["model"]["name"] = "a \x1b[2Jmodel \u202e"
    place.write_text(json.dumps(data), encoding="utf-8")
    done = main_("show", place.parent, cwd=tmp_path)
    assert "a [2Jmodel" in done.out and "\x1b" not in done.out and "\u202e" not in done.out
