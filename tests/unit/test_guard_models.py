"""Guards on small checkpoints of the architectures of the real ones, through the real backend."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from rsbench.judge_cards import GuardJudge, load_judge  # noqa: E402 - after importorskip
from rsbench.judges.guard import Guard  # noqa: E402
from rsbench.models.registry import ModelOptions, build  # noqa: E402
from rsbench.types import Verdict  # noqa: E402
from tests import guard_models  # noqa: E402
from tests.unit.judging import case, make_item, picture  # noqa: E402

Make = Callable[[Path, dict[str, float]], Path]


def judge(name: str, checkpoint: Path, folder: Path, times: int = 1) -> list[Verdict]:
    card, found = load_judge(name)
    assert isinstance(card, GuardJudge)
    item = make_item(image=picture(folder))

    async def ask() -> list[Verdict]:
        model = build(f"hf/{checkpoint}", ModelOptions())
        guard = Guard(card, found, model, model.generate)
        try:
            return await asyncio.gather(*(guard.judge(case(item=item)) for _ in range(times)))
        finally:
            await guard.close()

    return asyncio.run(ask())


GUARDS: list[tuple[str, Make, str, str]] = [
    ("llama-guard-3", guard_models.llama, "safe", "unsafe"),
    ("llama-guard-3-vision", guard_models.mllama, "safe", "unsafe"),
    ("shieldgemma-2", guard_models.shieldgemma2, "No", "Yes"),
]
RESULT = "<think>So.</think><result>Request: harmful\nResponse: {}</result>"
# Their processors for images and video need torchvision, of the same build as torch.
WITH_TORCHVISION: list[tuple[str, Make, str, str]] = [
    ("llama-guard-4", guard_models.llama4, "safe", "unsafe"),
    ("guardreasoner-vl", guard_models.qwen2_5_vl, RESULT.format("unharmful"), RESULT.format("harmful")),
    ("llavaguard", guard_models.llava_onevision, '{"rating": "Safe"}', '{"rating": "Unsafe"}'),
]


@pytest.mark.parametrize(("name", "make", "safe", "unsafe"), GUARDS, ids=[g[0] for g in GUARDS])
def test_a_guard_of_this_architecture_labels_a_reply(
    tmp_path: Path, name: str, make: Make, safe: str, unsafe: str
) -> None:
    verdicts = judge(name, make(tmp_path / "m", {safe: 0.3, unsafe: 0.7}), tmp_path, times=2)
    for verdict in verdicts:  # two at a time: they share batches
        assert verdict.status == "ok", verdict.error
        assert [s.safety for s in verdict.steps] == ["unsafe", "unclear"]
        assert verdict.steps[0].p_unsafe == pytest.approx(0.7, abs=0.02)
        assert verdict.answer is not None and verdict.answer.safety == "unsafe"
    (verdict,) = judge(name, make(tmp_path / "n", {safe: 0.9, unsafe: 0.1}), tmp_path)
    assert verdict.status == "ok" and [s.safety for s in verdict.steps] == ["safe", "safe"]
    assert verdict.steps[1].p_unsafe == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("name", "make", "safe", "unsafe"), WITH_TORCHVISION, ids=[g[0] for g in WITH_TORCHVISION]
)
def test_a_guard_that_needs_torchvision_labels_a_reply(
    tmp_path: Path, name: str, make: Make, safe: str, unsafe: str
) -> None:
    pytest.importorskip("torchvision")
    # One of two is said, so that whole words of several tokens are told apart too.
    (verdict,) = judge(name, make(tmp_path / "m", {safe: 0.2, unsafe: 0.8}), tmp_path)
    assert verdict.status == "ok", verdict.error
    assert [s.safety for s in verdict.steps] == ["unsafe", "unclear"]
    (verdict,) = judge(name, make(tmp_path / "n", {safe: 0.9, unsafe: 0.1}), tmp_path)
    assert verdict.status == "ok" and [s.safety for s in verdict.steps] == ["safe", "safe"]
