"""Every Eval Ever records: valid by the project's own schemas, linked as it asks, never a made-up zero."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli import lines, main_, ok, remote, scores, usual, write_items, write_task
from tests.export_run import HOSTILE, export, make_broken_run, make_run
from tests.servers import FakeOpenAI

SCHEMAS = Path(__file__).parents[1] / "fixtures/eee"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("export"))


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def exported(run: Path, out: Path, *args: object) -> tuple[dict[str, Any], list[dict[str, Any]], Path]:
    """The aggregate record, the samples' records, and the aggregate's file; all valid by the schemas."""
    export(run, "eee", out, *args)
    (samples,) = out.rglob("*_samples.jsonl")
    aggregate = samples.with_name(samples.name.replace("_samples.jsonl", ".json"))
    record = json.loads(aggregate.read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    jsonschema.Draft7Validator(schema("eval")).validate(record)
    validator = jsonschema.Draft7Validator(schema("instance_level_eval"))
    for row in rows:
        validator.validate(row)
    return record, rows, aggregate


@pytest.mark.parametrize("sealed", [(), ("--sealed",)])
def test_records_are_valid_and_linked(run: Path, tmp_path: Path, sealed: tuple[str, ...]) -> None:
    record, rows, path = exported(run, tmp_path / "out", *sealed)
    link = record["detailed_evaluation_results"]
    beside = tmp_path / "out" / link["file_path"]
    assert beside.parent == path.parent and link["total_rows"] == len(rows)
    assert hashlib.sha256(beside.read_bytes()).hexdigest() == link["checksum"]
    known = {result["evaluation_result_id"] for result in record["evaluation_results"]}
    assert {row["evaluation_result_id"] for row in rows} <= known
    assert {row["evaluation_id"] for row in rows} == {record["evaluation_id"]}
    assert {row["model_id"] for row in rows} == {record["model_info"]["id"]} == {"openai/gpt-under-test"}


def test_numbers_are_the_runs_numbers(run: Path, tmp_path: Path) -> None:
    record, rows, _ = exported(run, tmp_path / "out")
    found = {r["evaluation_result_id"]: r for r in record["evaluation_results"]}
    for estimand, numbers in scores(run)["estimands"].items():
        for key, number in numbers.items():
            if number["value"] is None:
                assert f"{estimand}.{key}" not in found
                continue
            details, config = (
                found[f"{estimand}.{key}"][part] for part in ("score_details", "metric_config")
            )
            assert details["score"] == number["value"]
            assert config["min_score"] <= details["score"] <= float(config["max_score"])
            assert config["lower_is_better"] == (number["direction"] == "lower")
    mine = [r for r in rows if r["evaluation_result_id"] == "system.safe_answer"]
    mean = sum(r["evaluation"]["score"] for r in mine) / len(mine)
    assert mean == pytest.approx(found["system.safe_answer"]["score_details"]["score"])
    refused = [r["evaluation"] for r in rows if r["evaluation_result_id"] == "system.over_refusal"]
    assert {(r["score"], r["is_correct"]) for r in refused} == {(0.0, True)}  # lower is better


def test_hostile_words_are_data_and_sealed_ones_are_gone(run: Path, tmp_path: Path) -> None:
    _, rows, _ = exported(run, tmp_path / "out")
    said = {r["output"]["raw"][0] for r in rows if r["sample_id"].startswith("p0.risky#")}
    assert said == {HOSTILE.replace("\ud83d", "\ufffd")}
    _, sealed, path = exported(run, tmp_path / "sealed", "--sealed")
    written = "".join(p.read_text() for p in path.parent.iterdir())
    assert "window.hacked" not in written and "What of" not in written and "Consideration" not in written
    assert "A good answer" not in written
    assert all(r["output"]["raw"][0].startswith("sha256:") for r in sealed)


def test_twins_that_differ_in_the_picture_alone_are_two_samples(tmp_path: Path) -> None:
    """One query, no reference answer, two pictures: the hash joined them, as if they were one."""
    task = write_task(tmp_path / "task", n_pairs=2)
    items = lines(task / "items.jsonl")
    for item in items:
        item |= {"query": "What of [p0.risky] here?", "swap": "image"}
        del item["reference"], item["contrast"]
    items[1]["images"] = items[2]["images"]
    write_items(task, items[:2])
    with FakeOpenAI(usual) as server:
        ok(*remote(server.url, task, "run"), cwd=tmp_path)
    _, rows, _ = exported(tmp_path / "run", tmp_path / "out")
    assert len({row["sample_id"] for row in rows}) == len({row["sample_hash"] for row in rows}) == 2
    assert {row["input"]["raw"] for row in rows} == {"What of [p0.risky] here?"}


def test_a_missing_label_is_left_out(tmp_path: Path) -> None:
    """Two per cent of failures pass as complete; the failed sample has no record, rather than a zero."""
    run = make_run(tmp_path)
    plan = lines(run / "plan.jsonl")
    verdicts = lines(run / "verdicts.jsonl")
    victim = verdicts[0]
    for label in (*victim["steps"], victim["answer"]):
        label["safety"] = "unclear"
    (run / "verdicts.jsonl").write_text("".join(json.dumps(v) + "\n" for v in verdicts), encoding="utf-8")
    _, rows, _ = exported(run, tmp_path / "out")
    mine = [r for r in rows if r["evaluation_result_id"] == "system.safe_answer"]
    assert len(mine) == len(plan) - 1
    assert f"{victim['item']}#{victim['sample']}" not in {r["sample_id"] for r in mine}


def test_runs_that_measure_nothing_are_refused(tmp_path: Path) -> None:
    broken = make_broken_run(tmp_path / "broken")
    done = main_("export", broken, "--format", "eee", "--out", "out", cwd=tmp_path)
    assert done.code == 2 and "incomplete" in done.err
    task = write_task(tmp_path / "task")
    ok("run", "--model", "mock", "--task", task, "--judge", "mock", "--out", "mocked", cwd=tmp_path)
    done = main_("export", "mocked", "--format", "eee", "--out", "out", cwd=tmp_path)
    assert done.code == 2 and "mock" in done.err
    assert not (tmp_path / "out").exists()


def test_the_model_can_be_named_and_stays_in_the_folder(run: Path, tmp_path: Path) -> None:
    record, _, path = exported(run, tmp_path / "out", "--model-id", "Lab/Model-7B", "--organization", "Lab")
    assert record["model_info"]["id"] == "Lab/Model-7B" and path.parent.name == "Model-7B"
    assert record["source_metadata"]["source_organization_name"] == "Lab"
    for bad in ("../../etc", "a/../b", "name", "/a/b"):
        done = main_("export", run, "--format", "eee", "--out", "o", "--model-id", bad, cwd=tmp_path)
        assert done.code == 2 and "OWNER/NAME" in done.err


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the package every-eval-ever needs Python 3.12")
def test_the_projects_own_validator_agrees(run: Path, tmp_path: Path) -> None:
    core = pytest.importorskip("every_eval_ever.validator.validate")
    _, _, path = exported(run, tmp_path / "out")
    assert core.main([str(p) for p in path.parent.iterdir()]) == 0
