"""What a row may not say: labels of steps that are not there, words beside a seal, a chain not seen."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rsbench.board_site import build
from rsbench.metrics import score_outcomes
from rsbench.records import digest
from rsbench.row_check import check_row
from rsbench.row_labels import read_labels
from rsbench.types import UserError
from tests.board_rows import outcomes, words, write_row
from tests.cli import main_, ok

Line = dict[str, Any]


def relabelled(folder: Path, change: Callable[[Line], None]) -> Path:
    """A sealed row whose third line of labels was changed by hand, with every hash made to fit."""
    path = write_row(folder, "row", outcomes(0.5, 1, n_pairs=2))
    labels = path.with_name("row.labels.jsonl")
    lines = [json.loads(line) for line in labels.read_text().splitlines()]
    change(lines[2])
    labels.write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = json.loads(path.read_text())
    data["labels"]["sha256"] = hashlib.sha256(labels.read_bytes()).hexdigest()
    data["digest"] = digest({key: value for key, value in data.items() if key != "digest"})
    path.write_text(json.dumps(data))
    return path


def step(**changes: object) -> Callable[[Line], None]:
    """The second of three steps, changed."""
    return lambda line: line["steps"][1].update(changes)


def answer(**changes: object) -> Callable[[Line], None]:
    return lambda line: line["answer"].update(changes)


STEP = "item 'p1.risky', sample 0: steps.1"
ONCE = "allowed are 1 to n_steps, which is 3, each once"
LOW, HIGH = (f"Input should be {words} than or equal to" for words in ("greater", "less"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (step(index=0), f"{STEP}.index: 0; {ONCE}"),
        (step(index=4), f"{STEP}.index: 4; {ONCE}"),
        (step(index=-1), f"{STEP}.index: -1; {ONCE}"),
        (step(index=1), f"{STEP}.index: 1; {ONCE}"),  # two labels of one step: it would count twice
        (lambda line: line.update(n_steps=0), "steps.0.index: 1; allowed are 1 to n_steps, which is 0"),
        (
            lambda line: line.update(n_steps=-3),
            f"n_steps: {LOW} 0; found -3",
        ),
        (lambda line: line.update(sample=-1), f"sample: {LOW} 0; found -1"),
        (
            step(corrects=[2]),
            f"{STEP}.corrects: [2]; allowed are numbers of earlier steps, and this",
        ),
        (step(corrects=[0]), f"{STEP}.corrects: [0]; allowed"),
        (step(p_unsafe=1.01), f"steps.1.p_unsafe: {HIGH} 1; found 1.01"),
        (step(p_effective=-0.5), f"p_effective: {LOW} 0; found -0.5"),
        (step(p_unsafe=float("nan")), f"steps.1.p_unsafe: {HIGH} 1; found nan"),
        (
            answer(p_unsafe=float("inf")),
            f"answer.p_unsafe: {HIGH} 1; found inf",
        ),
        (answer(p_effective=2), f"answer.p_effective: {HIGH} 1; found 2"),
        (lambda line: line.update(status="refused"), "status: 'refused'; allowed are ok and truncated"),
        (
            lambda line: line.update(status="missing", steps=[]),
            "status: 'missing'; allowed are ok",
        ),
    ],
)
def test_labels_that_can_not_be_are_refused(
    tmp_path: Path, change: Callable[[Line], None], said: str
) -> None:
    path = relabelled(tmp_path, change)
    done = main_("check", "row", path, cwd=tmp_path)
    message = done.err.replace("\n", "")
    assert done.code == 2 and "Traceback" not in done.err
    assert "row.labels.jsonl:3:" in message and said in message.replace("  ", " "), done.err


def test_labels_at_the_ends_of_their_ranges_are_read(tmp_path: Path) -> None:
    def change(line: Line) -> None:
        line["steps"][1] |= {"p_unsafe": 0, "p_effective": 1.0, "corrects": [1]}
        line["steps"][2]["corrects"] = [1, 2]
        line["answer"]["p_unsafe"] = 1
        del line["steps"][0]  # a judge may leave a step out: it is missing, and the paths with it

    labels = relabelled(tmp_path, change).with_name("row.labels.jsonl")
    found = list(read_labels(labels, labels.read_bytes()))[2]
    assert [one.index for one in found.steps] == [2, 3] and found.steps[0].p_effective == 1.0
    assert score_outcomes([found])["estimands"]["system"]["path_safe"]["value"] in (None, 0.0)


@pytest.mark.parametrize(
    ("claim", "shown", "fits"),
    [
        ("full", "full", True),
        ("summary", "summary", True),
        ("full", "summary", False),  # a digest would stand among whole chains
        ("none", "full", False),
        ("summary", "full", False),
        ("none", "none", True),
        ("full", "none", False),
    ],
)
def test_a_row_claims_the_chain_that_its_transcripts_show(
    tmp_path: Path, claim: str, shown: str, fits: bool
) -> None:
    found = outcomes(0.5, 1, n_pairs=2)
    said = [words(o, summary=shown == "summary" and n == 1) for n, o in enumerate(found)]
    if shown == "none":
        found = [replace(o, n_steps=0, steps=()) for o in found]
        said = [line | {"text": "Yes"} for line in said]
    path = write_row(tmp_path, "row", found, said, {"model.chain_visibility": claim})
    done = main_("check", "row", path, cwd=tmp_path)
    if fits:
        assert done.code == 0, done.err
    else:
        message = done.err.replace("\n", " ")
        assert done.code == 2 and "Traceback" not in message
        assert f"row.json: model.chain_visibility: '{claim}'; allowed is '{shown}'" in message


def test_words_beside_a_sealed_row_are_found(tmp_path: Path) -> None:
    # They would be committed with it, and be public from then on.
    rows = tmp_path / "rows"
    path = write_row(rows, "row", outcomes(0.5, 1, n_pairs=2))
    check_row(path)
    write_row(rows, "open", found := outcomes(0.5, 2, n_pairs=2), [words(o) for o in found])
    beside = rows / "row.transcripts.jsonl"
    beside.write_text("{}\n")
    for command in (("check", "row", path), ("leaderboard", "build", "--rows", "rows", "--out", "site")):
        done = main_(*command, cwd=tmp_path)
        message = done.err.replace("\n", " ")
        assert done.code == 2 and "rows/row.transcripts.jsonl: lies beside a row" in message
        assert "move it" in message and not list((tmp_path / "site").rglob("row.transcripts.jsonl"))
    beside.unlink()
    ok("leaderboard", "build", "--rows", "rows", "--out", "site", cwd=tmp_path)
    assert (tmp_path / "site/rows/open.transcripts.jsonl").exists(), "an open row's words are published"


def test_words_put_beside_a_row_that_was_checked_before_are_found(tmp_path: Path) -> None:
    path = write_row(tmp_path / "rows", "row", outcomes(0.5, 1, n_pairs=2))
    command = ("leaderboard", "build", "--rows", "rows", "--out", "site")
    ok(*command, cwd=tmp_path, RSBENCH_CACHE=str(tmp_path / "cache"))
    path.with_name("row.transcripts.jsonl").write_text("{}\n")
    done = main_(*command, cwd=tmp_path, RSBENCH_CACHE=str(tmp_path / "cache"))
    assert done.code == 2 and "lies beside a row" in done.err.replace("\n", " ")


@pytest.mark.parametrize("name", ["a.values", "a.schema"])
def test_a_row_can_not_take_the_name_of_another_file(tmp_path: Path, name: str) -> None:
    # rows/a.values.html is a part of row a's comparison, and a.schema.json is passed over as no row.
    with pytest.raises(UserError, match=re.escape(f"name: '{name}'; allowed are names that do not end in")):
        check_row(write_row(tmp_path, name, outcomes(0.5, 1, n_pairs=2)))
    check_row(write_row(tmp_path, name.replace(".", "-"), outcomes(0.5, 1, n_pairs=2)))


def test_no_row_has_an_id_of_the_page(tmp_path: Path) -> None:
    names = ("filters", "count", "compare", "data", "definitions", "t1", "sec-main", "part-open", "index")
    for n, name in enumerate(names):
        write_row(tmp_path / "rows", name, outcomes(0.5, n, n_pairs=2))
    build(tmp_path / "rows", tmp_path / "site", None)
    index = (tmp_path / "site/index.html").read_text()
    ids = re.findall(r'\sid="([^"]*)"', index)
    assert len(ids) == len(set(ids)) and {*names} - {"index"} <= set(ids)
    for name in names:
        assert f'href="../index.html#row-{name}"' in (tmp_path / f"site/rows/{name}.html").read_text()
        assert f"row-{name}" in ids
