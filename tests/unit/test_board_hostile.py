"""Rows written by somebody who wishes the board ill, or was careless: it is neither believed nor shown."""

import csv
import hashlib
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from pytest import MonkeyPatch

from rsbench.board_files import flat
from rsbench.board_gather import MANY
from rsbench.board_rows import Entry
from rsbench.board_site import build
from rsbench.board_tables import tables
from rsbench.board_trained import trained
from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.records import digest
from rsbench.row_check import check_row
from rsbench.types import AnswerLabel, Outcome, UserError
from rsbench.validation import ORACLE
from tests.board_rows import VALIDATION, outcomes, words, write_row
from tests.board_rows import entry as board_entry
from tests.cli import ROOT, main_, write_task


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


def test_a_build_runs_no_code_of_the_folder_it_is_called_in(tmp_path: Path) -> None:
    # A pull request's checkout: a Python process that begins there, as a worker does, imports from it.
    for n in range(MANY):
        write_row(tmp_path / "rows", f"row-{n}", outcomes(0.5, n, 4))
    mine = tmp_path / "multiprocessing"
    mine.mkdir()
    (mine / "__init__.py").write_text("open('ran', 'w').close(); raise SystemExit(1)")
    done = main_("leaderboard", "build", "--no-cache", "--rows", "rows", "--out", "site", cwd=tmp_path)
    assert (done.code, (tmp_path / "ran").exists()) == (0, False), done.err


def test_other_peoples_data_is_neither_fetched_nor_published(
    tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
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


def with_seed(folder: Path, name: str, seed: int, found: list[Outcome]) -> Entry:
    training = {"recipe": "srpo", "base": "base", "seed": seed}
    return made(folder, name, found, {"training": training})


def made(folder: Path, name: str, found: list[Outcome], changes: dict[str, object]) -> Entry:
    path = write_row(folder, name, found, [words(o) for o in found], changes)
    return board_entry(path)


def test_of_two_bases_of_one_name_the_better_is_beaten_or_not(tmp_path: Path) -> None:
    # Whoever adds a second, worse row of the base would else make every recipe look better.
    low, high = outcomes(0.2, 1), outcomes(0.8, 2)
    bases = [made(tmp_path, name, found, {"model.name": "base"}) for name, found in (("a", high), ("b", low))]
    (block,) = trained(tables([*bases, with_seed(tmp_path, "t", 1, outcomes(0.7, 3))]))
    assert block.base.row.name == "a"


def test_what_nobody_can_check_says_nothing_of_a_recipe(tmp_path: Path) -> None:
    training = {"recipe": "srpo", "base": "base", "seed": 9}
    claim = write_row(tmp_path, "claim", outcomes(0.99, 9), None, {"training": training})
    sealed = board_entry(claim)
    base = made(tmp_path, "base", outcomes(0.5, 1), {})
    true = with_seed(tmp_path, "true", 1, outcomes(0.55, 2))
    (block,) = trained(tables([base, true, sealed]))
    assert block.entries == (true,)
    assert trained(tables([base, sealed])) == []
    claim = write_row(tmp_path, "low", outcomes(0.1, 3), None, {"model.name": "base"})
    assert trained(tables([true, board_entry(claim)])) == [], "nor is it a base"
    nobody: dict[str, object] = {"judge.validation": None}
    again = made(tmp_path, "t", outcomes(0.9, 2), {**nobody, "training": {**training, "base": "b"}})
    assert trained(tables([made(tmp_path, "b", outcomes(0.5, 1), nobody), again])) == []


def test_a_small_p_is_not_printed_as_none_at_all(tmp_path: Path) -> None:
    base = made(tmp_path, "base", outcomes(0.05, 1), {})
    (block,) = trained(tables([base, with_seed(tmp_path, "t", 1, outcomes(0.95, 2))]))
    assert block.cells[0]["p"] == "< 0.001"


def test_a_seed_that_is_there_twice_was_not_drawn_twice(tmp_path: Path) -> None:
    base = made(tmp_path, "base", outcomes(0.3, 1), {})
    seeds = [with_seed(tmp_path, f"s{n}", n, outcomes(0.6, n)) for n in (4, 5, 6)]
    again = with_seed(tmp_path, "again", 6, outcomes(0.6, 7))
    known: dict[str, object] = {}
    assert trained(tables([base, *seeds]), known)[0].cells[0]["interval"] != "–"
    for three in ([*seeds, again], [*seeds[:1], *seeds[2:], again]):
        assert trained(tables([base, *three]), known)[0].cells[0]["interval"] == "–"


def test_the_difference_over_seeds_is_that_of_the_two_means_beside_it(tmp_path: Path) -> None:
    # Pairs that miss an item weigh less: the mean of pairs' means is not the mean over items.
    cut = [o for n, o in enumerate(outcomes(0.3, 2)) if n % 2 == 0 or n > 25]
    base = made(tmp_path, "base", cut, {})
    seeds = [with_seed(tmp_path, f"s{n}", n, outcomes(0.6, n)) for n in (4, 5, 6)]
    for cell in trained(tables([base, *seeds]))[0].cells:
        before, after = (float(cell[key].rstrip("%")) for key in ("from", "to"))
        assert cell["interval"] != "–"
        assert float(cell["difference"]) == pytest.approx(after - before, abs=0.11)  # each is rounded


def test_a_closed_world_judged_by_nobody_knows_what_has_no_places(tmp_path: Path) -> None:
    changes: dict[str, object] = {"task.closed_world": True, "judge.validation": None}
    (table,) = tables([made(tmp_path, name, outcomes(0.5, 1), changes) for name in ("a", "b")])
    assert [line.place for line in table.lines] == [None, None]


def test_names_are_no_formulas_and_break_no_feed(tmp_path: Path) -> None:
    for name, model in (
        ("wide", "\uff1dcmd()"),
        ("space", " =cmd()"),
        ("line", "\n=cmd()"),
        ("none", "x\uffff"),
    ):
        made(tmp_path / "rows", name, outcomes(0.5, 1, 2), {"model.name": model})
    build(tmp_path / "rows", tmp_path / "site", "https://x.example")
    head, *lines = csv.reader(io.StringIO((tmp_path / "site/rows.csv").read_text()))
    models = {line[head.index("name")]: line[head.index("model")] for line in lines}
    assert models["wide"] == "'\uff1dcmd()" and models["space"] == "' =cmd()" and models["line"][0] == "'"
    # U+FFFF may stand in JSON and not in XML: one such name and no reader opens the feed.
    assert len(ET.parse(tmp_path / "site/feed.xml").findall("./channel/item")) == 4  # noqa: S314


def test_a_judge_that_is_exact_by_construction_was_not_validated(tmp_path: Path) -> None:
    changes: dict[str, object] = {"judge.validation": ORACLE, "task.closed_world": True}
    assert flat(made(tmp_path, "o", outcomes(0.5, 1, 2), changes))["judge_validated"] == "no"
    assert flat(made(tmp_path, "v", outcomes(0.5, 1, 2), {}))["judge_validated"] == "yes"


def test_almost_all_is_not_all(tmp_path: Path) -> None:
    found = outcomes(0.5, 1, 150)
    found[0] = replace(found[0], risk_identified=None, steps=(), answer=None, status="unparsed")
    (table,) = tables([made(tmp_path, "row", found, {})])
    assert table.lines[0].scored == "99.7%", "rounded to whole per cent it would be 100"


def test_a_row_that_is_sealed_or_gone_leaves_nothing_in_the_site(tmp_path: Path) -> None:
    rows, site = tmp_path / "rows", tmp_path / "site"
    for name in ("sealed-later", "gone"):
        made(rows, name, outcomes(0.5, 1, 2), {})
    build(rows, site, None)
    assert len(list((site / "rows").iterdir())) == 8
    (site / "rows/mine.txt").write_text("no file of ours")
    for path in (*rows.glob("gone.*"), rows / "sealed-later.transcripts.jsonl"):
        path.unlink()
    write_row(rows, "sealed-later", outcomes(0.5, 1, 2))
    build(rows, site, None)
    assert {path.name for path in (site / "rows").iterdir()} == {
        *("sealed-later.html", "sealed-later.json", "sealed-later.labels.jsonl", "mine.txt")
    }


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        ({"x": 1}, "judge.validation"),
        ({**VALIDATION, "labels": {}}, "'safety' is missing"),
        ({**VALIDATION, "labelled_share": 1.2}, "labelled_share"),
        ({**VALIDATION, "identity": "0" * 64}, "of another judge"),
        (ORACLE, "knows closed worlds alone"),
    ],
)
def test_a_measurement_that_is_none_or_anothers_is_refused(
    validation: dict[str, object], said: str, tmp_path: Path
) -> None:
    path = write_row(tmp_path, "row", outcomes(0.5, 1, 4), None, {"judge.validation": validation})
    with pytest.raises(UserError, match=said):
        check_row(path)


def test_the_measurement_of_a_judge_on_the_shelf_is_the_shelfs(tmp_path: Path) -> None:
    row = json.loads((ROOT / "leaderboard" / "rows" / "tiny-rsbench-overlap.json").read_text())
    judge = row["judge"]
    changes = {"judge.name": "overlap", "judge.identity": judge["identity"]}
    good = write_row(
        tmp_path, "good", outcomes(0.5, 1, 4), None, {**changes, "judge.validation": judge["validation"]}
    )
    check_row(good)
    better = {**judge["validation"], "labelled_share": 0.99}
    bad = write_row(tmp_path, "bad", outcomes(0.5, 1, 4), None, {**changes, "judge.validation": better})
    with pytest.raises(UserError, match="is not the measurement"):
        check_row(bad)


def test_a_rows_measurement_is_one_of_those_that_the_shelf_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf/judges/a-judge"
    shelf.mkdir(parents=True)
    (shelf / "judge.yaml").write_text("schema: 1\n")
    here, elsewhere = {**VALIDATION, "task": "a-task"}, {**VALIDATION, "labelled_share": 0.5}
    own, foreign, made_up = (
        write_row(tmp_path / name, "row", outcomes(0.5, 1, 4), None, {"judge.validation": said})
        for name, said in (("own", here), ("foreign", elsewhere), ("made_up", {**here, "traces": 9}))
    )
    monkeypatch.setenv("RSBENCH_PATH", str(tmp_path / "shelf"))
    # A row made before its judge was measured on the row's own task stays a row; its page says on which.
    for measured, fine in (([elsewhere, here], (own, foreign)), ([elsewhere], (foreign,))):
        (shelf / "validation.json").write_text(json.dumps({"measurements": measured}))
        for row in (own, foreign, made_up):
            if row in fine:
                check_row(row)
                continue
            with pytest.raises(UserError, match="is not the measurement"):
                check_row(row)


def test_a_row_can_not_have_a_judges_folder_read_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "judge.yaml").write_text("schema: 1\n")
    (tmp_path / "validation.json").write_text("not JSON")
    check_row(write_row(tmp_path, "row", outcomes(0.5, 1, 4), None, {"judge.name": str(tmp_path)}))


def test_a_row_that_left_out_its_worst_items_is_found_beside_others_of_its_data(tmp_path: Path) -> None:
    found = outcomes(0.5, 1, 6)
    write_row(tmp_path / "rows", "whole", found)
    write_row(tmp_path / "rows", "fewer", found[2:])
    with pytest.raises(UserError, match=r"fewer\.json and .*|whole\.json and .*fewer\.json"):
        build(tmp_path / "rows", tmp_path / "site", None)


def test_the_row_of_a_guard_is_built(tmp_path: Path) -> None:
    # Guards say nothing of refusal; one such row once stopped every build.
    found = [replace(o, answer=AnswerLabel("safe", "unclear", "unclear")) for o in outcomes(0.5, 1)]
    write_row(tmp_path / "rows", "guard", found, [words(o) for o in found])
    build(tmp_path / "rows", tmp_path / "site", None)
    html = (tmp_path / "site/rows/guard.html").read_text()
    assert '<th scope="row">no label</th><td class="n">20</td><td class="n">20</td>' in html
