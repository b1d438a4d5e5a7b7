"""What a training starts and goes on from: its base's revision, the records it takes, the time it took."""

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

from rsbench.models.hf_loading import TINY, find_checkpoint  # noqa: E402
from srpo_train.recipes import LoraCard, OptimiseCard  # noqa: E402
from srpo_train.training import adapted  # noqa: E402


def test_an_adapter_is_measured_on_the_revision_it_was_trained_on(tmp_path: Path) -> None:
    base = find_checkpoint(str(TINY)).load("cpu").model
    adapted(base, LoraCard(), OptimiseCard(), "2f1a9c").save_pretrained(str(tmp_path))
    card = tmp_path / "adapter_config.json"
    assert find_checkpoint(str(tmp_path)).revision is None, "a folder has none, whatever an adapter says"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"base_model_name_or_path": "owner/name"}))
    opened = find_checkpoint(str(tmp_path))
    # The branch "main" of the base may be another model by now.
    assert (opened.source, opened.revision) == ("owner/name", "2f1a9c")
    assert find_checkpoint(str(tmp_path), "other").revision == "other"
