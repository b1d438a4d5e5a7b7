"""The rivals that TRL trains: on images, through the same command, and what a judge's failure is worth."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

from folders import recipe, shelf  # noqa: E402
from test_train_command import train  # noqa: E402

from rsbench.types import AnswerLabel, UserError, Verdict  # noqa: E402
from srpo_train import rivals  # noqa: E402
from srpo_train.branches import group, hash_ids  # noqa: E402
from srpo_train.explored import Taken  # noqa: E402
from srpo_train.gathering import encode, samples_of  # noqa: E402
from srpo_train.job import Job  # noqa: E402
from srpo_train.paths import path_text  # noqa: E402
from srpo_train.recipes import PreferenceRecipe, changed, load_recipe  # noqa: E402
from srpo_train.rivals import _preferences, outcome_reward, rewards  # noqa: E402
from tests.unit.exploring import branch  # noqa: E402


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


@pytest.mark.parametrize("ends, given", [([3, 2], 1.0), ([3, 9], 0.0), ([], 0.0)])
def test_a_reply_that_was_cut_off_has_no_reward(
    monkeypatch: pytest.MonkeyPatch, ends: list[int], given: float
) -> None:
    card, found = load_recipe("grpo")
    job = Job(changed(card, "test", limit=2), found, "tiny", Path("unused"), print)
    samples = samples_of(job.plans)
    made: dict[str, Any] = {}
    monkeypatch.setattr(rivals, "_Grpo", lambda **given: made.update(given))
    monkeypatch.setattr(rivals, "GRPOConfig", lambda **_: None)
    loaded = job.checkpoint.load("cpu")
    rivals._grpo(job, job.recipe, loaded, {}, {}, samples)  # type: ignore[arg-type]
    (reward,) = made["reward_funcs"]
    name, sample = next(iter(samples.items()))
    assert sample.item.reference is not None
    good = [{"role": "assistant", "content": path_text(sample.item.reference)[0]}]
    # The same words, but nobody knows what the model would have gone on to say.
    assert reward(completions=[good], item=[name], completion_ids=[ends]) == [given]  # 2 is the stop token


def preference_rows(kind: str, seed: int = 1, prompt: str | None = None) -> list[dict[str, Any]]:
    """Ten replies to each of twelve items, four of them unfavourable; `prompt`: hash of what they answer."""
    card, found = load_recipe(kind)
    recipe = changed(card, "test", seed=seed, limit=12)
    assert isinstance(recipe, PreferenceRecipe)
    job = Job(recipe, found, "tiny", Path("unused"), print)
    samples, loaded = samples_of(job.plans), job.checkpoint.load("cpu")
    replies = [
        replace(
            branch(n, n % 5 > 1, [3, n], item=item, steps=0, prefix=(), text=f"{item} {n}"),
            prompt_ids_hash=prompt or hash_ids(encode(loaded, sample).ids),
        )
        for item, sample in samples.items()
        for n in range(10)
    ]
    return _preferences(job, recipe, loaded, samples, Taken(group(replies, "here"), 12, 0, 0, ""))


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_replies_to_another_prompt_are_refused(kind: str) -> None:
    assert preference_rows(kind)
    with pytest.raises(UserError, match="explored behind another prompt"):
        preference_rows(kind, prompt="0" * 64)


def test_kto_sees_its_replies_in_an_order_drawn_by_the_seed() -> None:
    rows = preference_rows("kto", seed=1)
    assert len(rows) == 120 and sum(row["label"] for row in rows) == 72
    # TRL takes rows as they come and pairs each with the one before it for its KL term: sorted by item, that
    # one answered the same prompt, and a budget of a quarter of the rows ended after a quarter of the items.
    alike = sum(a["item"] == b["item"] for a, b in itertools.pairwise(rows))
    assert alike < len(rows) / 4
    assert len({row["item"] for row in rows[:30]}) >= 10
    assert len({row["label"] for row in rows[:8]}) == 2
    said = [row["completion"] for row in rows]
    assert said == [row["completion"] for row in preference_rows("kto", seed=1)]
    assert said != [row["completion"] for row in preference_rows("kto", seed=2)]


@pytest.mark.slow
@pytest.mark.parametrize("net", ["llava", "idefics3"])
@pytest.mark.parametrize("kind", ["sft", "dpo", "kto", "grpo"])
def test_a_rival_trains_on_images(kind: str, net: str, tmp_path: Path) -> None:
    home = shelf(tmp_path / "shelf", net)
    changes: dict[str, object] = {"kind": kind, "optimise": {"max_steps": 2}}
    if kind in ("sft", "grpo"):
        changes["explore"] = None
    if kind == "grpo":
        # Random weights end a reply once in some 300 tokens, and one that is cut off teaches nothing.
        changes |= {"judge": "coin", "generations": 4, "max_tokens": 400}
    path = recipe(home, kind, **changes)
    done = train(home, tmp_path, path, "--out", "t", "--stage", "explore", "--stage", "optimise")
    assert done.code == 0, done.err[-3000:]
    facts = json.loads((tmp_path / "t" / "model" / "training.json").read_text())
    assert facts["report"]["steps"] == 2
    assert ("items_seen" in facts["report"]) == (kind == "kto")
    if kind == "kto":
        assert 1 <= facts["report"]["items_seen"] <= facts["report"]["questions"]
    before = (home / "net" / "model.safetensors").read_bytes()
    assert (tmp_path / "t" / "model" / "model.safetensors").read_bytes() != before
