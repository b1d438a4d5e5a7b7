"""Which weights answer, where and how: adapters, placement, precision, revisions, parameters, processors."""

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
huggingface_hub = pytest.importorskip("huggingface_hub")
transformers = pytest.importorskip("transformers")

from rsbench.images import load_image  # noqa: E402 - after importorskip
from rsbench.models import hf_loading  # noqa: E402
from rsbench.models.base import GenParams, Message, Request  # noqa: E402
from rsbench.models.hf import HFModel  # noqa: E402
from rsbench.models.hf_batching import Worker, _top_p  # noqa: E402
from rsbench.models.hf_loading import TINY, Checkpoint, Loaded, find_checkpoint  # noqa: E402
from rsbench.types import Reply, UserError  # noqa: E402

IMAGE = Path(__file__).resolve().parents[2] / "tasks/rsbench/images/rooftop-edge-night.png"


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return Checkpoint(str(TINY)).load("cpu")


def answer(loaded: Loaded, image: bool = True, **params: Any) -> Reply:
    images = (load_image(IMAGE),) if image else ()
    key = hashlib.sha256(b"a").hexdigest()
    asked = Request((Message("user", "Cheer me on!", images),), GenParams(12, **params), key)
    (reply,) = Worker(lambda: loaded, "tiny", 1).answer([asked])
    assert isinstance(reply, Reply), reply
    return reply


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of random weights on the embedded model, saved as a training would."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    # So strong that it is heard over what the model has learnt well.
    targets = ["q_proj", "v_proj", "o_proj"]
    config = peft.LoraConfig(r=4, lora_alpha=512, target_modules=targets, init_lora_weights=False)
    base = Checkpoint(str(TINY)).load("cpu").model
    folder = tmp_path_factory.mktemp("adapter")
    made = peft.get_peft_model(base, config)
    made.peft_config["default"].base_model_name_or_path = str(TINY)
    made.save_pretrained(str(folder))
    return folder


def test_an_adapter_answers_and_is_part_of_the_identity(loaded: Loaded, adapter: Path) -> None:
    plain, bare = find_checkpoint(str(TINY)), find_checkpoint(str(adapter))
    given = find_checkpoint(str(TINY), adapter=str(adapter))
    texts = [answer(one.load("cpu"), temperature=0.0).text for one in (bare, given)]
    assert texts[0] == texts[1] != answer(loaded, temperature=0.0).text
    assert given.identity("m")["adapter"] == bare.identity("m")["adapter"]
    assert "adapter" not in plain.identity("m")
    weights = adapter / "adapter_model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))  # another training, in the same folder
    changed = given.identity("m")["adapter"]
    weights.write_bytes(before)
    assert changed != given.identity("m")["adapter"]


def test_a_model_spread_by_a_device_map_says_the_same(loaded: Loaded) -> None:
    pytest.importorskip("accelerate")
    spread = Checkpoint(str(TINY), device_map="auto", dtype="float32").load(None)
    if spread.model.device.type == "cpu":  # a GPU rounds otherwise
        assert answer(spread).text == answer(loaded).text
    assert answer(spread).status == "truncated"


def test_precision_is_full_on_a_cpu_unless_asked_otherwise(loaded: Loaded) -> None:
    assert loaded.model.dtype == torch.float32  # the weights are stored as bfloat16
    half = Checkpoint(str(TINY), dtype="bfloat16")
    assert half.load("cpu").model.dtype == torch.bfloat16
    assert half.identity("m")["dtype"] == "bfloat16"
    assert half.resolved(("cpu",)) == half, "what was asked for stays"


def test_the_precision_that_a_device_gets_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on a CPU, resumed on a GPU, went on in bfloat16 under the keys of float32."""
    assert HFModel("tiny", Checkpoint(str(TINY)), "tiny").identity()["dtype"] in ("float32", "bfloat16")
    monkeypatch.setattr(hf_loading, "_device", lambda name: name or "cuda")
    places: list[tuple[str | None, ...]] = [("cpu",), (None,), ("cuda:0", "cuda:1"), ("cpu", "cuda:0")]
    found = [Checkpoint(str(TINY)).resolved(place).identity("tiny")["dtype"] for place in places]
    assert found == ["float32", "bfloat16", "bfloat16", "float32"], "and all copies have the same"


HUB = ("a" * 40, "b" * 40)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of a model as a hub cache holds them; no network. The file says where main is."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--owner--name"
    for commit in HUB:
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "snapshots" / commit / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(HUB[0])
    return repository / "refs/main"


def test_the_commit_of_a_hub_model_is_part_of_the_identity_and_what_is_loaded(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`main` was the identity: after it moved, a resumed run went on with other weights."""
    begun = Checkpoint("owner/name").resolved()
    hub.write_text(HUB[1])
    resumed = Checkpoint("owner/name").resolved()
    assert [c.identity("hf/owner/name")["revision"] for c in (begun, resumed)] == list(HUB)
    assert Checkpoint("owner/name", revision="main").resolved().revision == HUB[1]
    asked = []

    def open_it(source: str, revision: str, **options: object) -> None:
        asked.append(revision)
        raise OSError("enough")

    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", open_it)
    with pytest.raises(UserError, match="enough"):
        begun.load("cpu")
    assert asked == [HUB[0]], "although main is elsewhere by now"


def test_a_commit_is_taken_at_its_word_and_an_unknown_branch_is_refused(hub: Path) -> None:
    assert Checkpoint("owner/name", revision="c" * 40).resolved().revision == "c" * 40
    for checkpoint in (Checkpoint("owner/name", revision="v2"), Checkpoint("owner/other")):
        with pytest.raises(UserError, match="hub was asked"):
            checkpoint.resolved()


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logp = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    kept = (_top_p(logp, 0.7) > float("-inf")).tolist()
    assert kept == [False, True, False, True]  # 0.5 + 0.25 reaches 0.7
    assert (_top_p(logp, 0.5) > float("-inf")).tolist() == [False, True, False, False]
    assert torch.equal(_top_p(logp, 1.0), logp) and torch.equal(_top_p(logp, None), logp)


def test_a_tiny_top_p_is_greedy(loaded: Loaded) -> None:
    assert answer(loaded, temperature=5.0, top_p=1e-6).text == answer(loaded, temperature=0.0).text
    assert answer(loaded, temperature=5.0).text != answer(loaded, temperature=0.0).text


def test_a_reasoning_effort_reaches_the_template_or_is_refused(tmp_path: Path) -> None:
    """A parameter that nothing reads would stand in the reply key and mean nothing."""
    folder = Path(shutil.copytree(TINY, tmp_path / "m"))
    with pytest.raises(UserError, match="reasoning effort"):
        answer(Checkpoint(str(folder)).load("cpu"), reasoning_effort="high")
    template = folder / "chat_template.jinja"
    words = "{% if reasoning_effort == 'high' %}Think long. {% endif %}"
    template.write_text(words + template.read_text(encoding="utf-8"), encoding="utf-8")
    reading = Checkpoint(str(folder)).load("cpu")
    counts = [answer(reading, reasoning_effort=e).usage.input_tokens or 0 for e in ("high", "low")]
    assert counts[0] > counts[1]


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is here")
def test_a_processor_without_torchvision_says_so(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY / name, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    kinds = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(kinds))
    with pytest.raises(UserError, match="pip install torchvision"):
        Checkpoint(str(tmp_path)).load("cpu")
