"""What a training starts and goes on from: its base's revision, the records it takes, the time it took."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

from folders import recipe, shelf  # noqa: E402
from test_train_command import train  # noqa: E402

from rsbench.models.hf_loading import TINY, find_checkpoint  # noqa: E402
from srpo_train.recipes import LoraCard, OptimiseCard  # noqa: E402
from srpo_train.training import adapted  # noqa: E402
from tests.cli import lines  # noqa: E402


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


def test_a_training_goes_on_with_the_branches_it_began_with_and_adds_up_its_time(tmp_path: Path) -> None:
    home = shelf(tmp_path / "shelf")
    path = recipe(home, "mine", optimise={"save_steps": 1, "batch": 1, "max_steps": 2})
    optimise = ("--out", "t", "--stage", "optimise")
    assert train(home, tmp_path, path, "--out", "t", "--stage", "explore").code == 0
    summary = tmp_path / "t" / "explore" / "exploration.json"
    whole = summary.read_bytes()
    summary.unlink()
    refused = train(home, tmp_path, path, *optimise)
    assert refused.code == 2 and "exploring did not end" in refused.err
    summary.write_bytes(whole)
    assert train(home, tmp_path, path, *optimise).code == 0

    other = Path(shutil.copytree(tmp_path / "t" / "explore", tmp_path / "other"))
    records = lines(other / "branches.jsonl")
    gone = next(one for one in records if one["label"]["favourable"])
    (other / "branches.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records if r != gone))
    refused = train(home, tmp_path, path, *optimise, "--branches", other)
    assert refused.code == 2 and "began on other branches" in refused.err, "a finished model too"

    shutil.rmtree(tmp_path / "t" / "model")
    shutil.rmtree(tmp_path / "t" / "checkpoints" / "checkpoint-2")  # killed in its second step
    refused = train(home, tmp_path, path, *optimise, "--branches", other)
    assert refused.code == 2 and "began on other branches" in refused.err
    saved = tmp_path / "t" / "checkpoints" / "checkpoint-1" / "trainer_state.json"
    state = json.loads(saved.read_text())
    state["stateful_callbacks"]["_Clock"]["attributes"] = {"seconds": 5000.0, "cpu_seconds": 4000.0}
    saved.write_text(json.dumps(state))
    done = train(home, tmp_path, path, *optimise)
    assert done.code == 0 and "resuming from" in done.err
    report = json.loads((tmp_path / "t" / "model" / "training.json").read_text())["report"]
    assert 5000 < report["seconds"] < 5500 and 4000 < report["cpu_seconds"] < 4500

    shutil.rmtree(tmp_path / "t" / "model")
    shutil.rmtree(tmp_path / "t" / "checkpoints")
    assert train(home, tmp_path, path, *optimise, "--branches", other).code == 0, "anew, on others"
