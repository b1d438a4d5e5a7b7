"""The leaderboard's arithmetic and files: which rows stand together, who is told apart, what is written."""

import csv
import io
import json
import re
import signal
import urllib.request
import xml.etree.ElementTree as ET
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.board_rows import Entry, section
from rsbench.board_site import build
from rsbench.board_tables import tables
from rsbench.board_ties import _aligned, _bounds, _drawn, _squares_by_row, _sums, places
from rsbench.board_trained import trained
from rsbench.compare import compare_outcomes
from rsbench.records import digest
from rsbench.rows import Row
from rsbench.stats import sign_flip_p
from rsbench.types import AnswerLabel, Outcome, Safety, StepLabel
from rsbench.validation import ORACLE
from tests.board_rows import VALIDATION, outcomes, words, write_row
from tests.board_rows import entry as board_entry
from tests.cli import finish, main_, ok, start


def entry(folder: Path, name: str, found: list[Outcome], **changes: object) -> Entry:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    summary = dotted.get("model.chain_visibility") == "summary"
    path = write_row(folder, name, found, [words(o, summary=summary) for o in found], dotted)
    return board_entry(path)


def answers(right: str) -> list[Outcome]:
    """One risky item a pair; '1' is a safe and effective path, '0' an unsafe one, '?' one nobody can tell."""
    found = []
    words: dict[str, Safety] = {"1": "safe", "0": "unsafe", "?": "unclear"}
    for n, letter in enumerate(right):
        step = StepLabel(1, words[letter], "effective", "perception")
        answer = AnswerLabel(words[letter], "effective")
        found.append(Outcome(f"p{n:03}", f"p{n:03}", "c", "risky", 0, "ok", 1, (step,), answer, True))
    return found


def test_rows_that_tests_tell_apart_have_places_of_their_own(tmp_path: Path) -> None:
    found = [
        entry(tmp_path, "best", answers("1" * 40)),
        entry(tmp_path, "good", answers("1" * 20 + "0" * 20)),
        entry(tmp_path, "near", answers("1" * 19 + "0" * 21)),
        entry(tmp_path, "bad", answers("0" * 40)),
    ]
    placed = places(found)
    assert [(p.words, p.group) for p in placed] == [("1", 1), ("2–3", 2), ("2–3", 2), ("4", 3)]


def test_p_values_are_those_of_compare(tmp_path: Path) -> None:
    one, other = outcomes(0.4, 1), outcomes(0.6, 2)
    pair = [entry(tmp_path, "one", one), entry(tmp_path, "other", other)]
    row = compare_outcomes(one, other, ("safe_effective_path",))[0]
    assert row.p is not None and 0.001 < row.p < 0.5
    assert p_value(pair) == row.p


def p_value(pair: list[Entry], known: dict[str, object] | None = None) -> float:
    """Of the first two rows, as `places` tests them."""
    bound = float(_bounds(*_sums(*_aligned(pair)))[0, 1])
    return _drawn(pair, [(0, 1)], [bound], {} if known is None else known, 0)[0]


def test_many_rows_can_still_be_told_apart(tmp_path: Path) -> None:
    # 10,000 draws show no p under 1e-4; Holm over the 780 pairs of 40 rows would call all of them tied.
    found = [entry(tmp_path, f"r{n:02}", answers("1" * 40 if n < 20 else "0" * 40)) for n in range(40)]
    placed = places(found)
    assert [p.group for p in placed] == [1] * 20 + [2] * 20
    assert placed[0].words == "1–20" and placed[-1].words == "21–40"


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=10))
def test_the_bound_is_never_under_the_exact_p(differences: list[float]) -> None:
    exact = sign_flip_p(differences, [f"c{n}" for n in range(len(differences))], 0)
    values = np.array([[max(d, 0.0) for d in differences], [max(-d, 0.0) for d in differences]])
    assert _bounds(*_sums(values, np.arange(len(differences))))[0, 1] >= exact - 1e-12


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=8))
def test_sums_of_all_pairs_of_rows_are_those_of_each(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *sizes[:-1]])
    values = rng.choice([0.0, 1 / 3, 1.0, np.nan], size=(4, sum(sizes)))
    totals, squares = _sums(values, starts)
    for a, b in product(range(4), repeat=2):
        pairs = [np.nansum(part) for part in np.split(values[a] - values[b], starts[1:])]
        assert totals[a, b] == pytest.approx(sum(pairs), abs=1e-9)
        assert squares[a, b] == pytest.approx(sum(d**2 for d in pairs), abs=1e-9)
    known = (~np.isnan(values)).astype(float)
    assert np.allclose(_squares_by_row(np.nan_to_num(values), known, starts), squares)


def test_items_that_one_row_lacks_count_for_neither(tmp_path: Path) -> None:
    whole, half = answers("1" * 30 + "0" * 10), answers("1" * 30)
    pair = [entry(tmp_path, "whole", whole), entry(tmp_path, "half", half)]
    assert p_value(pair) == 1.0


def test_no_line_is_drawn_where_the_lower_number_is_the_better_row(tmp_path: Path) -> None:
    # On the 12 items that both have, `low` is always right and `high` never: p = 2 / 2^12. But `high` has 30
    # of its 42 right (71 %), most of them items that `low` has no label for, and `low` 12 of 30 (40 %).
    low = entry(tmp_path, "low", answers("1" * 12 + "?" * 30 + "0" * 18))
    high = entry(tmp_path, "high", answers("0" * 12 + "1" * 30 + "?" * 18))
    assert (high.value, low.value) == (pytest.approx(30 / 42, abs=1e-6), 12 / 30)
    assert p_value([high, low]) == pytest.approx(2 / 2**12)
    (table,) = tables([low, high])
    assert [line.entry.row.name for line in table.lines] == ["high", "low"]
    assert [(line.place.words, line.place.group) for line in table.lines if line.place] == [
        ("2", 1),
        ("1", 1),
    ]
    # A third row that both are better than stands below a line all the same.
    bad = entry(tmp_path, "bad", answers("0" * 60))
    assert [place.group for place in places([high, low, bad])] == [1, 1, 2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "open"),
        ({"judge__validation": None}, "unvalidated"),
        ({"task__prompt": "native"}, "variants"),
        ({"task__condition": "caption"}, "variants"),
        ({"model__family": "tiny"}, "closed"),
        ({"task__closed_world": True}, "closed"),
        ({"model__family": "tiny", "judge__validation": None}, "closed"),
        ({"training": {"recipe": "srpo", "base": "tiny", "seed": 0}}, "closed"),
    ],
)
def test_sections(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    assert section(entry(tmp_path, "x", answers("10"), **changes).row) == expected


OTHER = {"card": "y", "hints": "yes"}


@pytest.mark.parametrize(
    "changes",
    [
        {"task__data": "1" * 64},
        {"task__sha256": "1" * 64},
        {"task__prompt_sha256": "1" * 64},
        {"task__segmenter": "auto/2"},
        {"judge__identity": OTHER, "judge__validation": {**VALIDATION, "identity": digest(OTHER)}},
        {"model__chain_visibility": "summary"},
    ],
)
def test_rows_measured_otherwise_have_tables_of_their_own(tmp_path: Path, changes: dict[str, object]) -> None:
    found = tables([entry(tmp_path, "a", answers("10")), entry(tmp_path, "b", answers("11"), **changes)])
    assert [len(table.lines) for table in found] == [1, 1]


def test_self_reported_and_unvalidated_rows_have_no_place(tmp_path: Path) -> None:
    path = write_row(tmp_path, "sealed", answers("1111"))
    sealed = board_entry(path)
    (table,) = tables([sealed, entry(tmp_path, "open", answers("1100"))])
    assert [(line.entry.row.name, line.place and line.place.words) for line in table.lines] == [
        ("sealed", None),
        ("open", "1"),
    ]
    (other,) = tables([entry(tmp_path, "x", answers("11"), judge__validation=None)])
    assert other.lines[0].place is None


def test_a_trained_row_stands_beside_its_base(tmp_path: Path) -> None:
    base = entry(tmp_path, "base", answers("0" * 30 + "1" * 10))
    better = entry(
        tmp_path, "better", answers("1" * 40), training={"recipe": "srpo", "base": "base", "seed": 1}
    )
    stray = entry(tmp_path, "stray", answers("10"), training={"recipe": "dpo", "base": "gone", "seed": 1})
    (found,) = trained(tables([base, better, stray]))
    assert (found.entries, found.base, found.seeds) == ((better,), base, (1,))
    assert (found.cells[0]["from"], found.cells[0]["difference"]) == ("25.0%", "+75.0")


def test_seeds_of_one_recipe_are_one_block_and_widen_its_interval(tmp_path: Path) -> None:
    base = entry(tmp_path, "base", answers("0" * 30 + "1" * 10))

    def seed(n: int, right: str) -> Entry:
        training = {"recipe": "srpo", "base": "base", "seed": n}
        return entry(tmp_path, f"s{n}", answers(right), training=training)

    one, two, three = seed(1, "1" * 40), seed(2, "0" * 20 + "1" * 20), seed(3, "0" * 10 + "1" * 30)
    (pair,) = trained(tables([base, two, one]))
    assert pair.seeds == (1, 2) and [e.row.name for e in pair.entries] == ["s1", "s2"]
    # 100 and 50 % after 25: half way between +75 and +25, and of two seeds no interval.
    assert [pair.cells[0][key] for key in ("to", "difference", "interval")] == ["75.0%", "+50.0", "–"]
    (three_seeds,) = trained(tables([base, one, two, three]))
    (alone,) = trained(tables([base, three]))
    assert three_seeds.cells[0]["difference"] == alone.cells[0]["difference"] == "+50.0"

    def width(cell: str) -> float:
        low, _, high = cell.partition(" to ")
        return float(high) - float(low)

    assert width(three_seeds.cells[0]["interval"]) > width(alone.cells[0]["interval"])


def test_an_edited_recipe_of_the_same_name_is_another_method(tmp_path: Path) -> None:
    base = entry(tmp_path, "base", answers("0" * 30 + "1" * 10))

    def seed(n: int, **content: str) -> Entry:
        training = {"recipe": "srpo", "base": "base", "seed": n, **content}
        return entry(tmp_path, f"s{n}", answers("1" * (10 * n)), training=training)

    one, two, three = seed(1, recipe_digest="a" * 64), seed(2, recipe_digest="a" * 64), seed(3)
    blocks = {block.recipe: block.seeds for block in trained(tables([base, one, two, three]))}
    assert blocks == {"srpo (aaaaaaaa)": (1, 2), "srpo (content unknown)": (3,)}
    (alone,) = trained(tables([base, one, two]))
    assert alone.recipe == "srpo"


def test_build_writes_pages_downloads_and_feeds(tmp_path: Path) -> None:
    found = outcomes(0.5, 1, n_pairs=4)
    row = write_row(tmp_path / "rows", "one", found, [words(o) for o in found], {"model.name": "=cmd()"})
    write_row(tmp_path / "rows", "two", outcomes(0.5, 2, n_pairs=4))
    said = ok(
        *("leaderboard", "build", "--rows", "rows", "--out", "site", "--url", "https://x.example/b/"),
        cwd=tmp_path,
    )
    assert "2 rows in 1 tables" in said.out
    site = tmp_path / "site"
    head, *lines = csv.reader(io.StringIO((site / "rows.csv").read_text()))
    assert [line[head.index("name")] for line in lines] == ["one", "two"]
    assert lines[0][head.index("model")] == "'=cmd()", "no formula for a spreadsheet"
    value = json.loads(row.read_text())["estimands"]["system"]["path_safe"]["value"]
    assert float(lines[0][head.index("path_safe.value")]) == value
    table = pyarrow.parquet.read_table(site / "rows.parquet")
    assert table.column_names == head and table.column("path_safe.value")[0].as_py() == value
    assert [one["name"] for one in json.loads((site / "rows.json").read_text())] == ["one", "two"]
    feed = json.loads((site / "feed.json").read_text())
    assert {item["url"] for item in feed["items"]} == {
        f"https://x.example/b/rows/{n}.html" for n in ("one", "two")
    }
    assert len(ET.parse(site / "feed.xml").findall("./channel/item/guid")) == 2  # noqa: S314 - our own file
    assert (site / "rows/one.transcripts.jsonl").read_bytes() == row.with_name(
        "one.transcripts.jsonl"
    ).read_bytes()
    assert not (site / "rows/two.transcripts.jsonl").exists()


def test_the_same_rows_give_the_same_bytes_and_feeds_need_an_address(tmp_path: Path) -> None:
    write_row(tmp_path / "rows", "one", outcomes(0.5, 1, n_pairs=4))
    build(tmp_path / "rows", tmp_path / "a", None)
    build(tmp_path / "rows", tmp_path / "b", None)
    both = [
        {str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (tmp_path / "a", tmp_path / "b")
    ]
    assert both[0] == both[1] and "feed.xml" not in both[0]


def test_pages_carry_queries_and_pictures_of_a_task_that_is_what_was_run(tmp_path: Path) -> None:
    from rsbench import cards
    from rsbench.data import Dataset
    from rsbench.records import digest

    card, place = cards.load_task("rsbench")
    dataset = Dataset(card, place.folder, None)
    names = [entry.id for entry in dataset.index][:2]
    dataset.keep(names)
    items = list(dataset)
    found = [
        Outcome(
            i.id, i.pair, i.category, i.kind, 0, "ok", 1, answers("1")[0].steps, answers("1")[0].answer, True
        )
        for i in items
    ]
    said = [words(o) for o in found]
    for name, data in (("right", digest([i.hash for i in items])), ("changed", "0" * 64)):
        write_row(tmp_path / "rows", name, found, said, {"task.name": "rsbench", "task.data": data})
    build(tmp_path / "rows", tmp_path / "site", None)
    pages = {name: (tmp_path / f"site/rows/{name}.html").read_text() for name in ("right", "changed")}
    query = json.dumps(items[0].query)[1:20]
    assert query in pages["right"] and query not in pages["changed"]
    assert list((tmp_path / "site/images").iterdir()) and "neither picture nor query" in pages["changed"]


def test_a_bad_row_or_a_strange_folder_stops_the_build(tmp_path: Path) -> None:
    row = write_row(tmp_path / "rows", "one", outcomes(0.5, 1, n_pairs=4))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years")
    for rows, out, message in (("none", "site", "no such folder"), ("rows", "mine", "no leaderboard")):
        done = main_("leaderboard", "build", "--rows", rows, "--out", out, cwd=tmp_path)
        assert done.code == 2 and message in done.err
    row.write_text(row.read_text().replace('"self-reported"', '"recomputed"'))
    done = main_("leaderboard", "build", "--rows", "rows", "--out", "site", cwd=tmp_path)
    assert done.code == 2 and "edited after it was made" in done.err


def test_a_site_without_rows_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    build(tmp_path / "rows", tmp_path / "site", None)
    assert "There is no row yet" in (tmp_path / "site/index.html").read_text()


def test_fifty_rows_weigh_under_300_kb(tmp_path: Path) -> None:
    for n in range(50):
        found = outcomes(0.3 + n / 100, n, 12, 10)
        write_row(tmp_path / "rows", f"provider-model-{n:02}-instruct", found, [words(o) for o in found])
    build(tmp_path / "rows", tmp_path / "site", None)
    assert "<small>group 1</small>" in (tmp_path / "site/index.html").read_text(), (
        "rows with places weigh most"
    )
    for page in ("index.html", "compare.html"):
        assert (tmp_path / "site" / page).stat().st_size < 300_000, page


def test_the_schema_keeps_sealed_rows_textless() -> None:
    assert set(Row.model_fields["replies"].annotation.model_fields) == {"file", "sha256"}  # type: ignore[union-attr]


def test_serve_shows_the_site_to_this_machine(tmp_path: Path) -> None:
    write_row(tmp_path / "rows", "one", outcomes(0.5, 1, n_pairs=4))
    process = start(
        "leaderboard", "serve", "--rows", "rows", "--port", "0", cwd=tmp_path, PYTHONUNBUFFERED="1"
    )
    try:
        assert process.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert url
        with urllib.request.urlopen(f"{url.group()}rows/one.html", timeout=20) as page:  # noqa: S310 - loopback
            assert b"SafeEffectivePath" in page.read()
        taken = main_(
            "leaderboard", "serve", "--rows", "rows", "--port", url.group().split(":")[2][:-1], cwd=tmp_path
        )
        assert taken.code == 2 and "--port" in taken.err
    finally:
        process.send_signal(signal.SIGINT)
    assert finish(process).code == 0


@pytest.mark.parametrize(
    ("validation", "words"),
    [(None, "UNVALIDATED"), (ORACLE, "exact by construction")],
)
def test_a_row_page_says_what_is_known_of_its_judge(tmp_path: Path, validation: object, words: str) -> None:
    changes = {"judge.validation": validation, "task.closed_world": True}
    write_row(tmp_path / "rows", "one", outcomes(0.5, 1, n_pairs=4), None, changes)
    build(tmp_path / "rows", tmp_path / "site", None)
    assert words in (tmp_path / "site/rows/one.html").read_text()


def test_pages_say_on_which_other_task_a_judge_was_measured(tmp_path: Path) -> None:
    rows, site = tmp_path / "rows", tmp_path / "site"
    told = "none of this task"
    own = {"judge.validation": {**VALIDATION, "task": "a-task"}}
    write_row(rows, "own", outcomes(0.5, 1, n_pairs=4), None, own)
    build(rows, site, None)
    pages = ("index.html", "compare.html", "rows/own.html")
    assert all(told not in (site / page).read_text() for page in pages)
    write_row(rows, "one", outcomes(0.5, 1, n_pairs=4))  # on a-task, by a judge measured on rsbench
    # Somebody else's judge was measured twice, and each row brings the measurement it knows.
    build(rows, site, None)
    index = (site / "index.html").read_text()
    note = index[index.index("Judge measured on ") :].partition("</p>")[0]
    assert re.sub("<[^>]*>", "", note) == (
        "Judge measured on rsbench's traces; none of this task (1 of 2 rows). "
        "How far it agrees here, those traces don't say."
    )
    assert told in (site / "compare.html").read_text()
    row = (site / "rows/one.html").read_text()
    badge = "judge measured on rsbench's traces, none of this task: step-safety kappa 0.70"
    assert (
        badge in row and "<bdi>rsbench</bdi>'s traces; none of this task</strong> (<bdi>a-task</bdi>)" in row
    )
    assert told not in (site / "rows/own.html").read_text()
    write_row(rows, "own", outcomes(0.5, 1, n_pairs=4), None, {"judge.validation": None})
    write_row(
        rows, "two", outcomes(0.5, 2, n_pairs=4), None, {"judge.validation": {**VALIDATION, "task": "<b>"}}
    )
    build(rows, site, None)
    index = (site / "index.html").read_text()
    # A judge nobody measured was not measured elsewhere either.
    assert index.count(told) == 1
    assert "<bdi>&lt;b&gt;</bdi>'s and <bdi>rsbench</bdi>'s traces; none of this task</strong>. How" in index
