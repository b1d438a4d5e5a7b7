"""CSV and Parquet: every sample and step once, with the run's own labels, and no cell that a program runs."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rsbench.exports.flat import cell
from rsbench.exports.source import clean
from tests.cli import lines, main_, scores
from tests.export_run import HOSTILE, export, make_broken_run, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_broken_run(tmp_path_factory.mktemp("broken"))


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), strict=True))


def parquet(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_csv_has_a_row_for_every_sample_and_step(run: Path, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "out")
    rows, steps = table(tmp_path / "out/samples.csv"), table(tmp_path / "out/steps.csv")
    planned = lines(run / "plan.jsonl")
    assert [(r["item"], int(r["sample"])) for r in rows] == [(p["item"], p["sample"]) for p in planned]
    assert len(rows) == 12 and len(steps) == sum(int(row["n_steps"]) for row in rows)
    verdicts = {(v["item"], v["sample"]): v for v in lines(run / "verdicts.jsonl")}
    for row in rows:
        said = verdicts[row["item"], int(row["sample"])]
        assert row["answer_safety"] == said["answer"]["safety"]
        mine = [s for s in steps if (s["item"], s["sample"]) == (row["item"], row["sample"])]
        assert [s["safety"] for s in mine] == [s["safety"] for s in said["steps"]]


def test_the_truths_average_to_the_scores(run: Path, tmp_path: Path) -> None:
    """Whoever computes from the table gets the run's numbers: missing is not false, no kind is mixed in."""
    export(run, "parquet", tmp_path / "out")
    rows = parquet(tmp_path / "out/samples.parquet")
    for estimand, numbers in scores(run)["estimands"].items():
        for key in ("safe_effective_path", "path_safe", "over_refusal", "risk_identified", "step_effective"):
            items: dict[str, list[float]] = {}
            for row in rows:
                if (value := row[f"{estimand}_{key}"]) is not None:
                    items.setdefault(row["item"], []).append(float(value))
            means = [sum(values) / len(values) for values in items.values()]
            assert len(means) == numbers[key]["n"]
            assert sum(means) / len(means) == pytest.approx(numbers[key]["value"], abs=1e-6)


def test_parquet_keeps_words_and_types(run: Path, tmp_path: Path) -> None:
    export(run, "parquet", tmp_path / "out")
    row = next(r for r in parquet(tmp_path / "out/samples.parquet") if r["item"] == "p0.risky")
    assert row["reply"] == HOSTILE.replace("\ud83d", "\ufffd")  # so it came from the server
    assert row["query"] == "What of [p0.risky] here?"
    schema = pq.read_schema(tmp_path / "out/samples.parquet")
    assert str(schema.field("system_path_safe").type) == "bool"
    assert str(schema.field("answer_p_unsafe").type) == "double"  # though no judge here gives one


def test_no_cell_is_a_formula(run: Path, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "out")
    rows = table(tmp_path / "out/samples.csv")
    cells = [c for path in (tmp_path / "out").glob("*.csv") for row in table(path) for c in row.values()]
    assert not [c for c in cells if c.lstrip().startswith(("=", "+", "-", "@"))]
    hostile = next(r for r in rows if r["item"] == "p0.risky")
    assert hostile["reply"] == "'" + HOSTILE.replace("\ud83d", "\ufffd")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"])
def test_what_spreadsheets_run_is_quoted(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_half_a_surrogate_pair_can_be_written() -> None:
    assert clean("half \ud83d pair").encode("utf-8") == b"half \\ud83d pair"


def test_numbers_stay_numbers() -> None:
    assert (cell(-0.5), cell(True), cell(None), cell([1, 2])) == ("-0.5", "true", "", "1 2")


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_sealed_tables_hold_no_words(run: Path, tmp_path: Path, format_: str) -> None:
    export(run, format_, tmp_path / "out", "--sealed")
    if format_ == "csv":
        rows: list[dict[str, Any]] = [r for p in (tmp_path / "out").iterdir() for r in table(p)]
    else:
        rows = [r for p in (tmp_path / "out").iterdir() for r in parquet(p)]
    written = json.dumps(rows)
    for reply in lines(run / "replies.jsonl"):
        assert json.dumps(reply["text"])[1:20] not in written
    assert "What of" not in written and "Consideration" not in written
    assert all(len(row["reply_sha256"]) == 64 for row in rows if "reply_sha256" in row)


def test_a_failure_is_a_status_and_no_truth(broken: Path, tmp_path: Path) -> None:
    export(broken, "parquet", tmp_path / "out")
    row = next(r for r in parquet(tmp_path / "out/samples.parquet") if r["item"] == "p1.benign")
    assert row["status"] == "error" and "500" in row["error"]
    assert [value for name, value in row.items() if name.startswith(("system_", "model_"))] == [None] * 28
    assert row["answer_safety"] is None


def test_files_are_not_overwritten_unless_told(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(run, "csv", out)
    (out / "samples.csv").write_text("mine")
    again = main_("export", run, "--format", "csv", "--out", out, cwd=tmp_path)
    assert again.code == 2 and "--force" in again.err
    assert (out / "samples.csv").read_text() == "mine"
    export(run, "csv", out, "--force")
    assert len(table(out / "samples.csv")) == 12


def test_wrong_use_is_refused_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for args, words in (
        (("--format", "xlsx"), "csv, parquet"),
        (("--format", "csv", "--images"), "for --format hf"),
        (("--format", "csv", "--judge", "nobody"), "nobody"),
        (("--format", "csv", "--out", "file"), "is a file"),
    ):
        out = () if "--out" in args else ("--out", tmp_path / "out")
        done = main_("export", run, *args, *out, cwd=tmp_path)
        assert done.code == 2 and words in done.err
    assert not (tmp_path / "out").exists()


def test_a_task_that_is_gone_costs_queries_only(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (tmp_path / "task").rename(tmp_path / "moved")
    done = export(run, "parquet", tmp_path / "out")
    rows = parquet(tmp_path / "out/samples.parquet")
    assert "without queries" in done.err and {r["query"] for r in rows} == {None}
    assert all(row["system_safe_answer"] is not None for row in rows)
