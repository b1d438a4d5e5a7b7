"""A guard from the command line: a small local checkpoint behind a bundled card."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests import guard_models  # noqa: E402 - after importorskip
from tests.cli import lines, ok, scores, write_task  # noqa: E402


def test_a_local_guard_labels_safety_and_leaves_the_rest_open(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=2)
    guard_models.llama(tmp_path / "guard", {"safe": 0.9, "unsafe": 0.1})
    args = ("run", "--model", "mock", "--task", task, "--out", "r")
    judge = ("--judge", "llama-guard-3", "--judge-model", "hf/./guard")
    done = ok(*args, *judge, cwd=tmp_path)
    records = lines(tmp_path / "r/verdicts.jsonl")
    assert {r["status"] for r in records} == {"ok"} and len(records) == 4
    assert {s["safety"] for r in records for s in r["steps"]} == {"safe"}
    assert all(0 < s["p_unsafe"] < 0.5 for r in records for s in r["steps"])
    found = scores(tmp_path / "r")["estimands"]["system"]
    assert found["path_safe"]["value"] == 1 and found["path_effective"]["value"] is None
    assert (found["safe_effective_path"]["bound_low"], found["safe_effective_path"]["bound_high"]) == (0, 1)
    assert "UNVALIDATED" in done.out
    ok("show", "r", "--html", "--out", "r.html", cwd=tmp_path)  # once a KeyError: refusal is unclear
    html = (tmp_path / "r.html").read_text()
    rows = re.findall(r"<th [^>]*>([^<]+)</th><td [^>]*>(\d)</td><td [^>]*>(\d)</td></tr>", html)
    assert ("no label", "2", "2") in rows and ("not refused", "0", "0") in rows, rows
    before = len(records)
    ok(*args, *judge, cwd=tmp_path)
    assert len(lines(tmp_path / "r/verdicts.jsonl")) == before, "resumed: nothing is asked twice"
