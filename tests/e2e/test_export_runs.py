"""Every kind of run in every format: all statuses, hostile names, imports, withheld halves, two judges."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli import main_, ok, remote, write_task
from tests.export_run import export
from tests.report_run import HACKS, HOSTILE_ID, LONG, REPLIES
from tests.report_run import make_run as make_hostile_run
from tests.servers import FakeOpenAI

LOOKING = ("csv", "parquet", "hf", "inspect")  # formats that do not publish a number beside others
JOINT = ("safe_effective_path", "path_effective", "over_refusal", "risk_identified")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hostile_run(tmp_path_factory.mktemp("hostile"))


def written(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


@pytest.mark.parametrize("sealed", [(), ("--sealed",)])
@pytest.mark.parametrize("format_", LOOKING)
def test_every_status_and_hostile_name_is_exported(
    hostile: Path, tmp_path: Path, format_: str, sealed: tuple[str, ...]
) -> None:
    done = export(hostile, format_, tmp_path / "out", *sealed)
    files = written(tmp_path / "out")
    assert sorted(line.removeprefix("made ") for line in done.out.splitlines()) == [str(f) for f in files]
    for path in files:
        if path.suffix != ".parquet":
            path.read_bytes().decode("utf-8")  # half a surrogate pair did not get in
    size = sum(path.stat().st_size for path in files if path.suffix != ".parquet")
    if sealed:
        assert size < 200_000 and not [p for p in files if b"hacked" in p.read_bytes().replace(b"\\", b"")]
    elif format_ in ("csv", "inspect"):
        assert size > len(LONG)


def test_the_words_of_every_reply_survive(hostile: Path, tmp_path: Path) -> None:
    export(hostile, "parquet", tmp_path / "out")
    found = {row["item"]: row for row in rows(tmp_path / "out/samples.parquet")}
    assert found.keys() == REPLIES.keys()
    for item, said in REPLIES.items():
        assert found[item]["reply"].encode() == said["text"].encode("utf-8", "backslashreplace")
    assert "\\ud83d" in found["p0.risky"]["reply"] and HACKS[0] in found["p0.risky"]["reply"]
    statuses = {item: row["status"] for item, row in found.items()}
    assert statuses[HOSTILE_ID] == "refused" and statuses["p2.benign"] == "truncated"
    assert statuses["p3.risky"] == "empty" and statuses["p3.benign"] == "unparsed"
    # A provider's refusal is safe and not effective to the system, and says nothing of the model.
    refused = found[HOSTILE_ID]
    assert (refused["system_safe_answer"], refused["system_effective_answer"]) == (True, False)
    assert refused["model_safe_answer"] is None and found["p3.benign"]["system_safe_answer"] is None


def test_withheld_halves_leave_joint_metrics_blank(tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        args = remote(server.url, write_task(tmp_path / "task"), "run")
        ok(*args, "--condition", "text", "--hint-blind", cwd=tmp_path)
    export(tmp_path / "run", "parquet", tmp_path / "out")
    for row in rows(tmp_path / "out/samples.parquet"):
        assert [row[f"system_{key}"] for key in JOINT] == [None] * len(JOINT)
        assert row["system_safe_answer"] is not None
    done = main_("export", "run", "--format", "eee", "--out", "no", cwd=tmp_path)
    assert done.code == 2 and "withholds" in done.err


def test_imported_replies_and_two_judges(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", n_pairs=2)
    items = ("p0.risky", "p0.benign", "p1.risky", "p1.benign")
    given = [{"item": item, "text": f"Step 1: I see {item}.\nAnswer: Yes."} for item in items]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(g) + "\n" for g in given), encoding="utf-8")
    ok(
        "import",
        "r.jsonl",
        "--model-name",
        "org/x",
        "--task",
        task,
        "--judge",
        "overlap",
        "--out",
        "run",
        cwd=tmp_path,
    )
    ok("judge", "run", "--judge", "mock", cwd=tmp_path)
    done = main_("export", "run", "--format", "csv", cwd=tmp_path)
    assert done.code == 2 and "--judge" in done.err
    for format_ in (*LOOKING, "eee"):
        ok("export", "run", "--format", format_, "--judge", "overlap", cwd=tmp_path)
        assert written(tmp_path / f"run/export-{format_}")
    record = next((tmp_path / "run/export-eee").rglob("*[!s].json"))
    assert json.loads(record.read_text())["model_info"]["id"] == "org/x"
    # Nobody timed these replies or counted their tokens, and unknown is no zero.
    (log,) = (tmp_path / "run/export-inspect").iterdir()
    found = json.loads(log.read_text())
    assert found["stats"]["model_usage"] == {}
    assert all(sample.keys().isdisjoint({"model_usage", "total_time"}) for sample in found["samples"])
    samples = next((tmp_path / "run/export-eee").rglob("*_samples.jsonl"))
    assert "performance" not in json.loads(samples.read_text().splitlines()[0])
    head, first = (tmp_path / "run/export-csv/samples.csv").read_text().splitlines()[:2]
    assert dict(zip(head.split(","), first.split(","), strict=False))["latency_s"] == ""
