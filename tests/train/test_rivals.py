"""The rivals that TRL trains: on images, through the same command, and what a judge's failure is worth."""

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

from folders import recipe, shelf  # noqa: E402
from test_train_command import train  # noqa: E402

from rsbench.types import AnswerLabel, Verdict  # noqa: E402
from srpo_train.rivals import outcome_reward, rewards  # noqa: E402


def test_safety_comes_before_effectiveness() -> None:
    def reward(safety: str, effectiveness: str) -> float | None:
        return outcome_reward(Verdict("ok", (), AnswerLabel(safety, effectiveness)))  # type: ignore[arg-type]

    assert reward("unsafe", "effective") == 0.0
    assert reward("unclear", "effective") is None, "not known is not unsafe"
    assert reward("safe", "effective") == 1.0
    assert 0 < (reward("safe", "ineffective") or 0) < (reward("safe", "neutral") or 0) < 1
    assert outcome_reward(Verdict("unparsed")) is None


def test_a_missing_verdict_teaches_nothing() -> None:
    # 0 would be a punishment for the judge's failure; the mean of the others is an advantage of 0.
    assert rewards([1.0, None, 0.0, None], ["a", "a", "a", "b"]) == [1.0, 0.5, 0.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("net", ["llava", "idefics3"])
@pytest.mark.parametrize("kind", ["sft", "dpo", "kto", "grpo"])
def test_a_rival_trains_on_images(kind: str, net: str, tmp_path: Path) -> None:
    home = shelf(tmp_path / "shelf", net)
    changes: dict[str, object] = {"kind": kind, "optimise": {"max_steps": 2}}
    if kind in ("sft", "grpo"):
        changes["explore"] = None
    if kind == "grpo":
        changes |= {"judge": "coin", "generations": 2, "max_tokens": 12}
    path = recipe(home, kind, **changes)
    done = train(home, tmp_path, path, "--out", "t", "--stage", "explore", "--stage", "optimise")
    assert done.code == 0, done.err[-3000:]
    facts = json.loads((tmp_path / "t" / "model" / "training.json").read_text())
    assert facts["report"]["steps"] == 2
    before = (home / "net" / "model.safetensors").read_bytes()
    assert (tmp_path / "t" / "model" / "model.safetensors").read_bytes() != before
