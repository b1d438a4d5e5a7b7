"""A local model and a local judge take turns: the first is freed before the second works."""

from pathlib import Path

import pytest

from tests.cli import lines, ok, write_task

pytest.importorskip("torch")
pytest.importorskip("transformers")

CARD = "schema: 1\nkind: python\nname: late\ndescription: For tests.\npython: tests.late_judge:LateJudge\n"


def test_a_local_model_is_freed_before_a_local_judge_works(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", n_pairs=2)
    (tmp_path / "late.yaml").write_text(CARD, encoding="utf-8")
    args = ("run", "--model", "tiny", "--task", task, "--judge", "./late.yaml", "--out", "r")
    done = ok(*args, "--max-tokens", 40, cwd=tmp_path)
    replies = lines(tmp_path / "r" / "replies.jsonl")
    verdicts = lines(tmp_path / "r" / "verdicts.jsonl")
    assert len(replies) == 4
    assert [verdict["status"] for verdict in verdicts] == ["ok"] * 4, verdicts
    assert "4/4 judging" in done.err
    ok(*args, "--max-tokens", 40, cwd=tmp_path)  # resumed: nothing is asked twice
    assert len(lines(tmp_path / "r" / "replies.jsonl")) == 4
    assert len(lines(tmp_path / "r" / "verdicts.jsonl")) == 4
