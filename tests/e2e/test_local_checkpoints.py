"""Checkpoints of one's own through the command line: text-only ones, and adapters by either road."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli import lines, main_, write_task

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rsbench.models.hf_loading import TINY  # noqa: E402 - after importorskip

SHORT = ("--max-tokens", 8, "--judge", "overlap", "--limit", 2)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "t", n_pairs=1)


def text_only(folder: Path) -> Path:
    """A small language model of random weights that speaks the embedded model's tokens."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=1200, bos_token_id=1, eos_token_id=2, pad_token_id=0, **sizes
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / name, folder)
    options = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    options.pop("processor_class", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(options), encoding="utf-8")
    return folder


def test_a_text_only_checkpoint_is_answered_with_the_way_on_and_takes_captions(
    tmp_path: Path, task: Path
) -> None:
    args = ("run", "--model", f"hf/{text_only(tmp_path / 'llama')}", "--task", task, *SHORT)
    refused = main_(*args, "--out", "both", cwd=tmp_path)
    assert refused.code == 2 and "--condition caption" in refused.err
    assert lines(tmp_path / "both/replies.jsonl") == []
    main_(*args, "--condition", "caption", "--out", "caption", cwd=tmp_path)
    replies = lines(tmp_path / "caption/replies.jsonl")
    assert {reply["status"] for reply in replies} <= {"ok", "truncated"} and len(replies) == 2
    assert all(reply["usage"]["output_tokens"] for reply in replies)


def test_an_adapter_is_part_of_the_reply_keys_by_either_road(tmp_path: Path, task: Path) -> None:
    peft = pytest.importorskip("peft")
    base = transformers.AutoModelForImageTextToText.from_pretrained(TINY)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(base, config)
    adapted.peft_config["default"].base_model_name_or_path = str(TINY)
    adapted.save_pretrained(str(tmp_path / "lora"))
    roads = {
        "plain": ("--model", "tiny"),
        "on top": ("--model", "tiny", "--adapter", "lora"),
        "bare": ("--model", "hf/./lora"),
    }
    keys, texts = {}, {}
    for name, model in roads.items():
        main_("run", *model, "--task", task, *SHORT, "--temperature", 0, "--out", name, cwd=tmp_path)
        replies = lines(tmp_path / name / "replies.jsonl")
        assert len(replies) == 2
        keys[name] = {reply["key"] for reply in replies}
        texts[name] = [reply["text"] for reply in replies]
        adapter = json.loads((tmp_path / name / "manifest.json").read_text())["identity"]["model"]
        assert ("adapter" in adapter) == (name != "plain")
    assert not keys["plain"] & keys["on top"] and not keys["plain"] & keys["bare"]
    assert sorted(texts["bare"]) == sorted(texts["on top"]) != sorted(texts["plain"])


def test_a_run_of_unknown_precision_is_not_gone_on_with(tmp_path: Path, task: Path) -> None:
    """What older versions left: nobody knows whether its replies are float32's or bfloat16's."""
    run = ("run", "--model", "tiny", "--task", task, *SHORT, "--out", "r")
    main_(*run, cwd=tmp_path)
    path = tmp_path / "r/manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["identity"]["model"].pop("dtype") in ("float32", "bfloat16")
    path.write_text(json.dumps(manifest))
    refused = main_(*run, cwd=tmp_path)
    assert refused.code == 2 and "did not note the precision" in refused.err
    assert len(lines(tmp_path / "r/replies.jsonl")) == 2, "nothing was asked"
    assert main_("show", "r", cwd=tmp_path).code in (0, 3)
    assert main_(*run, "--allow-change", cwd=tmp_path).code in (0, 3)
    assert len({reply["key"] for reply in lines(tmp_path / "r/replies.jsonl")}) == 2
