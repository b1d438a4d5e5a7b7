"""Local models, on the embedded one: batches, own limits, seeds, memory that runs out, and clear refusals."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from rsbench.images import load_image  # noqa: E402 - after importorskip
from rsbench.models.base import GenParams, Message, Request  # noqa: E402
from rsbench.models.hf import HFModel  # noqa: E402
from rsbench.models.hf_batching import Worker, choose_batch  # noqa: E402
from rsbench.models.hf_loading import TINY, Checkpoint, Loaded, find_checkpoint, find_devices  # noqa: E402
from rsbench.models.registry import LocalOptions, ModelOptions, build  # noqa: E402
from rsbench.types import Reply, UserError  # noqa: E402

IMAGES = Path(__file__).resolve().parents[2] / "tasks" / "rsbench" / "images"
NAMES = ("rooftop-edge-night", "plane-steps-night", "bath-toaster-rim")


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return Checkpoint(str(TINY)).load("cpu")


def ask(
    n: int, max_tokens: int = 30, temperature: float | None = None, words: str = "Cheer me on!"
) -> Request:
    image = load_image(IMAGES / f"{NAMES[n % len(NAMES)]}.png")
    key = hashlib.sha256(str(n).encode()).hexdigest()
    return Request((Message("user", words, (image,)),), GenParams(max_tokens, temperature), key)


def texts(replies: Sequence[object]) -> list[str]:
    assert all(isinstance(reply, Reply) for reply in replies), replies
    return [reply.text for reply in replies if isinstance(reply, Reply)]


def test_a_greedy_reply_does_not_depend_on_its_batch(loaded: Loaded) -> None:
    requests = [ask(0), ask(1, words="Plan a picnic for all of us in the garden, please!"), ask(2)]
    together = Worker(lambda: loaded, "tiny", 8).answer(requests)
    alone = [Worker(lambda: loaded, "tiny", 8).answer([request])[0] for request in requests]
    assert texts(together) == texts(alone)


def test_a_sampled_reply_depends_on_its_key_and_not_on_its_company(loaded: Loaded) -> None:
    worker = Worker(lambda: loaded, "tiny", 8)
    first, second = ask(0, temperature=1.0), ask(3, temperature=1.0)  # one image, two keys
    together, alone = texts(worker.answer([first, second])), texts(worker.answer([first]))
    assert together[0] == alone[0]
    assert together[0] != together[1]


def test_each_request_is_cut_at_its_own_limit(loaded: Loaded) -> None:
    replies = Worker(lambda: loaded, "tiny", 8).answer([ask(0, max_tokens=4), ask(0, max_tokens=200)])
    short, long = (reply for reply in replies if isinstance(reply, Reply))
    assert (short.status, short.usage.output_tokens) == ("truncated", 4)
    assert long.status == "ok" and long.text.startswith(short.text)


def test_out_of_memory_halves_the_batch_and_goes_on(
    loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    def full_above_two(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if kwargs["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("no memory left")

    hook = loaded.model.register_forward_pre_hook(full_above_two, with_kwargs=True)
    try:
        worker = Worker(lambda: loaded, "tiny", 8)
        replies = worker.answer([ask(n, max_tokens=5) for n in range(5)])
    finally:
        hook.remove()
    assert len(texts(replies)) == 5
    assert worker.batch_size <= 2
    assert "out of memory" in capsys.readouterr().err


def test_two_copies_answer_side_by_side() -> None:
    async def run() -> list[Reply]:
        model = HFModel("tiny", Checkpoint(str(TINY)), "tiny", batch_size=1, devices=("cpu", "cpu"))
        try:
            return await asyncio.gather(*(model.generate(ask(n, max_tokens=3)) for n in range(4)))
        finally:
            await model.close()

    assert [reply.status for reply in asyncio.run(run())] == ["truncated"] * 4


def test_like_lengths_share_a_batch_and_the_oldest_is_in_it() -> None:
    waiting = [ask(n, words="x" * length) for n, length in enumerate((10, 900, 12, 950, 11))]
    assert sorted(choose_batch(waiting, 3)) == [0, 2, 4]
    assert sorted(choose_batch(waiting[1:], 2)) == [0, 2]  # 900 and 950


def test_a_folder_is_named_by_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = Checkpoint(str(tmp_path)).identity("m")
    assert str(tmp_path) not in json.dumps(before)
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert Checkpoint(str(tmp_path)).identity("m") != before


def test_a_bare_adapter_stands_for_its_base_with_itself_on_top(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(TINY)}))
    found = find_checkpoint(str(tmp_path))
    assert found.source == str(TINY) and found.adapter == tmp_path
    assert "adapter" in found.identity("m")
    with pytest.raises(UserError, match="adapter_model.safetensors"):
        found.load("cpu")


def test_what_does_not_go_together_is_refused_before_anything_loads(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exclude each other"):
        find_devices("cpu", "0,1", None)
    with pytest.raises(UserError, match="float32, bfloat16, float16"):
        Checkpoint(str(TINY), dtype="int3")
    with pytest.raises(UserError, match="no PEFT adapter"):
        find_checkpoint(str(TINY), adapter=str(tmp_path))
    with pytest.raises(UserError, match="no revisions"):
        Checkpoint(str(TINY), revision="abc")
    assert find_devices(None, "0, 1", None) == ("cuda:0", "cuda:1")


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Can't load the model"):
        Checkpoint(str(tmp_path)).load("cpu")


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="cuda:7"):
        Checkpoint(str(TINY)).load("cuda:7")


def test_a_checkpoint_with_code_of_its_own_gets_the_command_that_serves_it(tmp_path: Path) -> None:
    config = {"model_type": "own", "auto_map": {"AutoModel": "own.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="vllm serve .* --trust-remote-code"):
        Checkpoint(str(tmp_path)).load("cpu")


def test_options_of_local_models_are_refused_for_a_server() -> None:
    with pytest.raises(UserError, match="--adapter, --dtype|--dtype, --adapter"):
        build("openai/some", ModelOptions(local=LocalOptions(dtype="float32", adapter="x")))
