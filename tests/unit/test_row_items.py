"""A row can't move to an easier benchmark by naming its items' pairs, kinds or categories otherwise."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.board_gather import known_of
from rsbench.board_site import build
from rsbench.metrics import score_outcomes
from rsbench.records import digest
from rsbench.row_check import check_row
from rsbench.row_labels import label_lines, read_labels
from rsbench.row_texts import as_text
from rsbench.rows import RECOMPUTED
from rsbench.shelves import find
from rsbench.types import Outcome, UserError
from rsbench.validation import ORACLE
from tests.board_rows import VALIDATION, outcomes, write_row
from tests.cli import write_task

ROWS = Path(__file__).parents[2] / "leaderboard" / "rows"
NAME = "tiny-rsbench-overlap"


def benign_alone(outcome: Outcome) -> Outcome:
    return replace(outcome, kind="benign", pair="")


def other_category(outcome: Outcome) -> Outcome:
    return replace(outcome, category="privacy violation")


@pytest.mark.parametrize(("change", "key"), [(benign_alone, "pair"), (other_category, "category")])
def test_labels_must_name_items_as_their_task_does(tmp_path: Path, change: object, key: str) -> None:
    assert callable(change)
    for path in ROWS.glob(f"{NAME}.*"):
        shutil.copyfile(path, tmp_path / path.name)
    path, labels = tmp_path / f"{NAME}.json", tmp_path / f"{NAME}.labels.jsonl"
    assert check_row(path).name == NAME
    found = [change(one) for one in read_labels(labels, labels.read_bytes())]
    labels.write_bytes(as_text(label_lines(iter(found))))
    data = json.loads(path.read_text())
    scores = json.loads(json.dumps(score_outcomes(found)))
    data |= {name: scores[name] for name in RECOMPUTED}
    data["labels"]["sha256"] = hashlib.sha256(labels.read_bytes()).hexdigest()
    data["digest"] = digest({name: value for name, value in data.items() if name != "digest"})
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=rf"{key}: .*; allowed is .*, as in task 'rsbench'"):
        check_row(path)


def shipped(folder: Path, changes: dict[str, object]) -> Path:
    """The shipped row, changed by dotted key, with a digest that fits."""
    for path in ROWS.glob(f"{NAME}.*"):
        shutil.copyfile(path, folder / path.name)
    path = folder / f"{NAME}.json"
    data = json.loads(path.read_text())
    for key, value in changes.items():
        part, last = key.split(".")
        data[part][last] = value
    data["digest"] = digest({name: value for name, value in data.items() if name != "digest"})
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task.closed_world": True}, "task.closed_world: True; allowed is False"),
        ({"task.version": "9"}, "task.version: '9'"),
        ({"task.official": "siuo"}, "task.official: 'siuo'; allowed is None"),
        # A judge that the shelf has measured is no oracle, whatever the task is called.
        (
            {"task.name": "other", "task.closed_world": True, "judge.validation": ORACLE},
            "an oracle is exact by construction",
        ),
        ({"task.name": "other", "judge.validation": ORACLE}, "an oracle knows closed worlds alone"),
        ({"judge.validation": VALIDATION}, "is of another judge"),
    ],
)
def test_a_row_can_not_choose_its_table(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        check_row(shipped(tmp_path, changes))


def test_an_oracle_says_what_every_oracle_says(tmp_path: Path) -> None:
    words: dict[str, object] = {"judge.validation": dict.fromkeys(ORACLE, "checked by hand; kappa 1.00")}
    path = write_row(tmp_path, "row", outcomes(0.5, 1, 4), None, words | {"task.closed_world": True})
    with pytest.raises(UserError, match="an oracle is exact by construction"):
        check_row(path)


def test_rows_of_the_same_data_must_name_items_alike(tmp_path: Path) -> None:
    # Of a task that is on no shelf here, only another row can tell.
    found = outcomes(0.5, 1, n_pairs=4)
    for name, own in (("honest", found), ("other", [benign_alone(one) for one in found])):
        write_row(tmp_path / "rows", name, own, None, {"standing": "re-judged"})
        check_row(tmp_path / "rows" / f"{name}.json")
    with pytest.raises(UserError, match="another pair, category or kind"):
        build(tmp_path / "rows", tmp_path / "site", None)


def test_false_is_not_zero(tmp_path: Path) -> None:
    path = write_row(tmp_path, "row", outcomes(0.5, 1, n_pairs=4))
    data = json.loads(path.read_text())
    assert data["breaks"]["by_role"]["intent"] == 0
    data["breaks"]["by_role"]["intent"] = False
    data["digest"] = digest({name: value for name, value in data.items() if name != "digest"})
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="breaks is not what its labels give"):
        check_row(path)


@pytest.mark.parametrize("name", ["x" * 300, "null\0byte", "a/" * 3000])
def test_no_name_of_a_stranger_breaks_the_build(tmp_path: Path, name: str) -> None:
    found = outcomes(0.5, 1, n_pairs=4)
    changes = {"task.name": name, "judge.name": name, "standing": "re-judged"}
    path = write_row(tmp_path / "rows", "row", found, None, changes)
    assert check_row(path).task.name == name
    build(tmp_path / "rows", tmp_path / "site", None)
    with pytest.raises(UserError, match="on the shelf"):
        find("tasks", name)


def test_a_row_checked_before_is_checked_again_when_its_task_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_task(tmp_path / "shelf/tasks/mine")
    path = write_row(tmp_path / "rows", "row", outcomes(0.5, 1, 4), None, {"task.name": "mine"})
    before = known_of([path], tmp_path / "pictures").of(path)
    monkeypatch.setenv("RSBENCH_PATH", str(tmp_path / "shelf"))
    after = known_of([path], tmp_path / "pictures").of(path)
    assert before != after == known_of([path], tmp_path / "pictures").of(path)
    (folder / "task.yaml").write_text((folder / "task.yaml").read_text() + "\n")
    assert known_of([path], tmp_path / "pictures").of(path) != after
