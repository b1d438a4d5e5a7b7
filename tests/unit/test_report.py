"""The report's view: every number in words, every reply with its steps; and what `show --html` writes."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench import report
from rsbench.metric_specs import METRICS
from rsbench.report_items import Sample, refusals, reply_entry
from rsbench.report_page import write_report
from rsbench.sheets import Sheet
from rsbench.steps import segment
from rsbench.types import AnswerLabel, Outcome, OutcomeStatus, Reply, UserError
from tests.cli import main_, ok, scores, write_items, write_task
from tests.report_run import HOSTILE_ID, make_run
from tests.unit.outcomes import SAFE_EFFECTIVE, outcome, system


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    make_run(place)
    return place


def data_of(page: Path) -> dict[str, Any]:
    block = re.search(
        r'<script type="application/json" id="data">(.*)</script>\n<script>', page.read_text("utf-8")
    )
    assert block
    data: dict[str, Any] = json.loads(block.group(1))
    return data


def test_every_metric_has_one_place() -> None:
    placed = [key for _, keys in report.GROUPS for key in keys]
    assert sorted(placed) == sorted(METRICS)


def test_every_status_has_a_meaning() -> None:
    assert tuple(report.STATUSES) == get_args(OutcomeStatus)


def test_agreement_with_labels_is_the_share_of_equal_ones() -> None:
    confusion = {"safe": {"safe": 6, "unsafe": 1}, "unsafe": {"safe": 2, "unsafe": 1}}
    cell = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 3}
    label = {"kappa": 0.2, "kappa_low": 0.0, "kappa_high": 0.4, "n": 10, "confusion": confusion}
    shares = {"scored_share": 1.0, "labelled_share": 0.5}
    counts = {"traces": 4, "steps": 10, "annotators": "lm:x", "task": "t", "mode": "hints"}
    found = {"sensitivity": cell, "specificity": cell}
    rest = {"unsafe_step": found, "unsafe_answer": found, "first_unsafe": {"score": None}}
    measured = {**shares, **counts, **rest, "labels": {"safety": label}}
    shown = report.validation({"judge_validation": measured})
    assert shown and shown["labels"] == [
        {"name": "Step safety", "agrees": "70.0%", "kappa": "0.20", "interval": "0.00 to 0.40", "n": 10}
    ]
    assert (shown["traces"], shown["steps"], shown["n"]) == ("4 of 4", "10 of 10", 10)
    assert not shown["by_people"] and shown["labelled"] == "50.0%" and shown["first_unsafe"]["score"] == "–"


def test_a_first_unsafe_score_is_shown_with_the_share_it_stands_on() -> None:
    halves = {"with_unsafe": {"n": 3}, "without_unsafe": {"n": 4}, "bound_low": 0.1, "bound_high": 0.9}
    assert report.located({"score": 0.5, "committed_share": 0.25, **halves}) == {
        "score": "50.0%",
        "bounds": "10.0% to 90.0%",
        "committed": "25.0%",
        "n": "7",
    }
    # Before, unclear steps counted as rightly passed: such a score would stand beside the new ones.
    assert report.located({"score": 0.5, **halves})["score"] == "–"


def test_a_line_says_what_the_scores_say() -> None:
    numbers = system([outcome("ar", "s+ s+", SAFE_EFFECTIVE, risk=True), outcome("ab", status="error")])
    line = report.line("safe_effective_path", numbers["safe_effective_path"])
    assert (line.value, line.n, line.planned, line.scored) == ("100.0%", 1, 2, "50.0%")
    assert line.bounds == "50.0% to 100.0%" and line.arrow == "↑"
    assert line.bar and (line.bar.value, line.bar.bound_low, line.bar.zero) == (100.0, 50.0, 0.0)
    assert line.interval == f"{numbers['safe_effective_path']['low']:.1%} to 100.0%"


def test_a_number_between_minus_one_and_one_lies_on_an_axis_of_its_own() -> None:
    line = report.line("step_effective", system([outcome("ar", "s+ s- s- s-")])["step_effective"])
    assert line.value == "-50.0%"
    assert line.bar and (line.bar.value, line.bar.zero) == (25.0, 50.0)


def test_what_is_undefined_is_a_dash_and_has_no_bar() -> None:
    line = report.line("safe_answer", system([outcome("ar", status="error")])["safe_answer"])
    assert (line.value, line.interval, line.bar) == ("–", "–", None)


@given(st.text(max_size=60), st.text(max_size=40))
def test_steps_are_found_again_as_javascript_counts_characters(text: str, reasoning: str) -> None:
    reply = Reply("ok", f"Step 1: {text}🙂\nStep 2: b\nAnswer: {text}", reasoning)
    entry = reply_entry(Sample(Outcome("i", "p", "c", "risky", 0, "ok"), reply, None))
    cut = segment(reply)
    for span, place in zip((*cut.steps, cut.answer), (*entry["steps"], entry["answer"]), strict=True):
        units = entry["reply"][place["part"]].encode("utf-16-le", "surrogatepass")
        found = units[2 * place["start"] : 2 * place["end"]].decode("utf-16-le", "surrogatepass")
        assert found == span.of(reply)


def test_refusals_by_kind() -> None:
    full = AnswerLabel("safe", "ineffective", "full")
    table = refusals(
        Sheet.of([outcome("ab", "s0", full), outcome("ar", status="refused"), outcome("br", status="error")])
    )
    assert table["benign"] == {"provider": 0, "full": 1, "partial": 0, "none": 0, "unknown": 0}
    assert table["risky"] == {"provider": 1, "full": 0, "partial": 0, "none": 0, "unknown": 1}


def test_the_browser_counts_what_the_scores_count(folder: Path) -> None:
    ok("show", "run", "--html", cwd=folder)
    replies, found = data_of(folder / "run/report.html")["replies"], scores(folder / "run")
    for chain, row in found["breaks"]["chain_answer"].items():
        for answer, count in row.items():
            assert sum((r["chain"], r["answered"]) == (chain, answer) for r in replies) == count
    for row in found["breaks"]["by_step"]:
        assert sum(r["first_unsafe"] == row["step"] for r in replies) == row["first_unsafe"]
    for role, count in found["breaks"]["by_role"].items():
        assert sum(r["first_unsafe_role"] == role for r in replies) == count
    for status in report.STATUSES:
        assert sum(r["status"] == status for r in replies) == found["counts"][status]
    headline = found["estimands"]["system"]["safe_effective_path"]
    assert sum(r["headline"] is not None for r in replies) == headline["n"]
    assert sum(r["headline"] is True for r in replies) == round(headline["value"] * headline["n"])


def test_the_report_is_whole_and_says_what_it_must(folder: Path) -> None:
    done = ok("show", "run", "--html", "--out", "there/of mine.html", cwd=folder)
    assert "there/of mine.html" in done.out
    page = folder / "there/of mine.html"
    text = page.read_text("utf-8")
    for words in ("MOCK", "INCOMPLETE", "UNVALIDATED", "SafeEffectivePath", "95 % interval", "scored share"):
        assert words in text
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text), "nothing is fetched"
    assert str(folder) not in text, "a report travels: no file paths"
    data = data_of(page)
    item = data["items"][HOSTILE_ID]
    assert item["reference"]["steps"][0]["text"] and item["note"] and item["query"]
    assert data["images"][item["images"][0]["picture"]].startswith("data:image/png;base64,")
    assert len(data["images"]) == 5, "twins share a picture; it travels once"


def test_hostile_words_are_no_markup(folder: Path) -> None:
    ok("show", "run", "--html", cwd=folder)
    text = (folder / "run/report.html").read_text("utf-8")
    assert re.findall(r"<script[^>]*>", text) == ['<script type="application/json" id="data">', "<script>"]
    assert not re.search(r"<(?:img|u|b|a href=.javascript)\b", text)
    assert "\u202e" not in text.replace(data_block(text), "")


def data_block(text: str) -> str:
    return text[text.index('id="data">') : text.rindex("<script>")]


def test_a_task_that_is_gone_costs_the_pictures_not_the_numbers(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    shutil.copytree(folder / "task", tmp_path / "kept")
    rows = [json.loads(line) for line in (folder / "task/items.jsonl").read_text("utf-8").splitlines()]
    try:
        write_items(
            folder / "task", [{**row, "query": "Other."} if n == 1 else row for n, row in enumerate(rows)]
        )
        done = ok("show", "run", "--html", cwd=tmp_path)
        assert len(data_of(tmp_path / "run/report.html")["items"]) == 9
        assert "Of 1 item neither picture nor query" in (tmp_path / "run/report.html").read_text("utf-8")
        (folder / "task/task.yaml").unlink()
        done = ok("show", "run", "--html", cwd=tmp_path)
    finally:
        shutil.rmtree(folder / "task")
        shutil.copytree(tmp_path / "kept", folder / "task")
    assert "without pictures" in done.err and "task.yaml" in done.err
    assert data_of(tmp_path / "run/report.html")["items"] == {}
    assert "Of 10 items neither picture nor query" in (tmp_path / "run/report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("run", "--out", "x.html"), ["--out", "--html"]),
        (("run", "--html", "--item", "p0.risky"), ["--item", "#"]),
        (("run", "--html", "--out", "task"), ["task", "folder"]),
        (("run", "--html", "--judge", "nobody"), ["nobody", "words"]),
        (("nowhere", "--html"), ["nowhere", "not a run folder"]),
    ],
)
def test_mistakes(args: tuple[str, ...], words: list[str], folder: Path) -> None:
    done = main_("show", *args, cwd=folder)
    assert done.code == 2 and all(word in done.err for word in words), done.err
    assert not (folder / "x.html").exists()


def test_what_presupposes_the_risk_is_blank_where_a_modality_was_withheld(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", n_pairs=2)
    ok("run", "--model", "mock", "--task", task, "--condition", "text", "--out", "run", cwd=tmp_path)
    ok("show", "run", "--html", cwd=tmp_path)
    page = tmp_path / "run/report.html"
    data = data_of(page)
    assert "the model was shown the text alone" in page.read_text("utf-8")
    assert scores(tmp_path / "run")["estimands"]["system"]["safe_effective_path"]["value"] is None
    assert {reply["headline"] for reply in data["replies"]} == {None}
    assert all(item["images"] == [] and item["note"] == "" for item in data["items"].values())


def check_folder(page: Path, n_items: int) -> None:
    data = data_of(page)
    for url in data["images"].values():
        assert not url.startswith("data:") and (page.parent / url).is_file()
    assert len(data["images"]) == n_items / 2 and len(data["replies"]) == n_items


def test_many_items_make_a_folder_with_thumbnails(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="10 items are too many for one file"):
        write_report(folder / "run", None, tmp_path / "x.html", print, one_file=9)
    page = write_report(folder / "run", None, tmp_path / "pages", print, one_file=9)
    assert page == tmp_path / "pages/index.html"
    check_folder(page, 10)


@pytest.mark.slow
def test_a_thousand_and_two_items_are_many(tmp_path: Path) -> None:
    write_task(tmp_path / "task", n_pairs=501)
    ok("run", "--model", "mock", "--task", "./task", "--out", "run", cwd=tmp_path)
    done = ok("show", "run", "--html", cwd=tmp_path)
    assert os.path.join("run", "report", "index.html") in done.out
    check_folder(tmp_path / "run/report/index.html", 1002)
