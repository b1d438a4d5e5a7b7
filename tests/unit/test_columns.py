"""Numbers computed in columns are those computed reply by reply; labels read in parts, those read whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.metrics import score_outcomes
from rsbench.row_labels import label_lines, read_labels, read_sheet
from rsbench.row_texts import as_text
from rsbench.sheets import Sheet
from rsbench.types import AnswerLabel, Outcome, StepLabel, UserError
from tests.board_rows import outcomes
from tests.plain_numbers import plain_scores
from tests.unit.outcomes import SAFE_EFFECTIVE, outcome
from tests.unit.test_metrics import RUNS

NAME = Path("row.labels.jsonl")


def check_close(found: Any, plain: Any, where: str = "") -> None:
    """The same numbers, but for rounding to six places."""
    if isinstance(plain, dict):
        assert found.keys() == plain.keys(), where
        for key in plain:
            check_close(found[key], plain[key], f"{where}/{key}")
    elif isinstance(plain, list):
        assert len(found) == len(plain), where
        for n, (one, other) in enumerate(zip(found, plain, strict=True)):
            check_close(one, other, f"{where}/{n}")
    elif isinstance(plain, float):
        assert found == pytest.approx(plain, abs=1.1e-6), where
    else:
        assert found == plain, where


@settings(max_examples=25, deadline=None, derandomize=True)
@given(RUNS, st.booleans())
def test_numbers_of_any_run_are_the_plain_ones(run: tuple[Outcome, ...], withheld: bool) -> None:
    check_close(score_outcomes(run, 0, withheld), plain_scores(run, withheld))


@pytest.mark.parametrize("categories", [1, 4])
def test_numbers_of_many_pairs_are_the_plain_ones(categories: int) -> None:
    # Over 30 pairs a category has rates; over four columns the bootstrap counts picks instead of gathering.
    run = outcomes(0.6, 3, n_pairs=64, n_categories=categories)
    check_close(score_outcomes(run), plain_scores(run))


def columns(sheet: Sheet) -> tuple[Any, ...]:
    layout = sheet.layout
    arrays = [column.tolist() for column in (layout.benign, layout.item, layout.sample)]
    return layout.ids, layout.pairs, layout.categories, layout.indexes, sheet.labels, *arrays


def read_both(content: bytes) -> tuple[Any, Any]:
    """What either reader makes of a file: columns, or the words of its refusal."""
    found: list[Any] = []
    for read in (read_sheet, lambda path, text: Sheet.of(read_labels(path, text))):
        try:
            found.append(columns(read(NAME, content)))
        except UserError as error:
            found.append(str(error))
    return found[0], found[1]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(RUNS)
def test_labels_read_in_parts_are_those_read_whole(run: tuple[Outcome, ...]) -> None:
    labelled = [one for one in run if one.status in ("ok", "truncated") or not (one.steps or one.answer)]
    content = as_text(label_lines(iter(labelled)))
    in_parts, whole = read_both(content)
    assert in_parts == whole
    assert not labelled or in_parts == columns(Sheet.of(labelled))


RICH = [
    outcome("p1r", "s+ u0 s+", SAFE_EFFECTIVE, risk=True, corrects={3: 2}, role="intent"),
    outcome("p1b", status="refused"),
    Outcome(
        "p2r",
        "p2",
        'a "status": b, {c}, {d}',
        "risky",
        3,
        "truncated",
        2,
        (StepLabel(2, "unsafe", "unclear", None, names_risk=None, p_unsafe=0.25, boundary=True),),
        AnswerLabel("unclear", "neutral", "partial", p_unsafe=1.0, boundary=True),
    ),
]
LINES = as_text(label_lines(iter(RICH))).decode().splitlines()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"steps": [{', '"steps": [{}, {'),
        ('"steps": [{', '"steps": [{"index": 9}], "steps": [{'),
        ('"risk_identified": true', '"risk_identified": true, "steps": [{"index": 1}]'),
        ('"risk_identified": true', '"risk_identified": true, "steps": []'),
        ('"refusal": "none"', '"refusal": "none", "steps": []'),
        ('"risk_identified": true', '"risk_identified": true, "item": "other"'),
        ('"risk_identified": true', '"risk_identified": true, "risk_identified": false'),
        ('"risk_identified": true', '"risk_identified": 1'),
        (', "risk_identified": true', ""),
        ('"n_steps": 3', '"n_steps": 2'),
        ('"n_steps": 3', '"n_steps": 3.0'),
        ('"n_steps": 3', '"n_steps": 1000000000000000000000'),
        ('"sample": 0', '"sample": true'),
        ('"index": 3', '"index": 2'),
        ('"corrects": [2]', '"corrects": [3]'),
        ('"corrects": [2]', '"corrects": null'),
        ('"corrects": [2]', '"corrects": [2], "evidence": "words"'),
        ('"role": "intent", ', ""),
        ('"safety": "unsafe"', '"safety": "UNSAFE"'),
        ('"answer": {', '"answer": null, "answer": {'),
        ('"status": "ok"', '"status": "missing"'),
        (', "status"', '}\n{"status"'),
        ('", "pair"', '\\ud800", "pair"'),
        ("}, {", "},{"),
        ("}", "} "),
        ("true}", "true} {}"),
        ("true}", "true"),
        ('"p_unsafe": 0.25', '"p_unsafe": NaN'),
        ('"p_unsafe": 0.25', '"p_unsafe": 1.5'),
        ('"p_unsafe": 0.25', '"p_unsafe": 1'),
        ('"item": "p1b"', '"item": "p1r"'),
        ('"item": "p1b", "pair": "p1"', '"item": "p1r", "pair": "p1"'),
        ('"item": "p1b"', '"sample": 1, "item": "p1r"'),
        ('"kind": "benign", "sample": 0', '"kind": "benign", "sample": 7'),
        ('"n_steps": 0', '"n_steps": 9000'),
        ('"n_steps": 0', '"n_steps": 10001'),
    ],
)
def test_what_one_reader_refuses_the_other_does_in_the_same_words(before: str, after: str) -> None:
    changed = [line.replace(before, after) for line in LINES]
    assert changed != LINES
    in_parts, whole = read_both(("\n".join(changed) + "\n").encode("utf-8", "surrogatepass"))
    assert in_parts == whole


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_any_cut_of_a_line_is_read_alike(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(LINES))
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(start + 40, len(line))))
    again = data.draw(st.integers(0, len(line)))
    spliced = line[:start] + line[again : again + end - start] + line[end:]
    in_parts, whole = read_both(spliced.encode() + b"\n")
    assert in_parts == whole


def test_a_line_that_was_read_before_is_refused_no_less_the_second_time() -> None:
    bad = LINES[0].replace('"n_steps": 3', '"n_steps": 2')
    for _ in range(2):
        with pytest.raises(UserError, match=r"row.labels.jsonl:2: item 'p1r', sample 0: steps.2.index: 3"):
            read_sheet(NAME, f"{LINES[1]}\n{bad}\n".encode())


def test_lines_are_json_with_one_sample_each() -> None:
    assert [json.loads(line)["item"] for line in LINES] == ["p1r", "p1b", "p2r"]
    assert columns(read_sheet(NAME, "\n".join(LINES).encode())) == columns(Sheet.of(RICH))


def test_samples_of_one_item_are_of_one_kind() -> None:
    # Scored by its own line, a second sample called benign would need to name no risk.
    lines = [LINES[0], LINES[0].replace('"sample": 0', '"sample": 1').replace('"risky"', '"benign"')]
    in_parts, whole = read_both("\n".join(lines).encode())
    assert in_parts == whole and "row.labels.jsonl:2: item 'p1r': kind: 'benign'; allowed is 'risky'" in whole
    with pytest.raises(ValueError, match="two pairs, categories or kinds"):
        Sheet.of([RICH[0], replace(RICH[0], sample=1, pair="p2")])


def test_a_short_file_can_not_ask_for_much_memory() -> None:
    line = LINES[1].replace('"n_steps": 0', '"n_steps": 9000')
    lines = [line.replace("p1b", f"p{n}b") for n in range(200)]
    in_parts, whole = read_both("\n".join(lines).encode())
    assert in_parts == whole and "n_steps add up to" in whole
