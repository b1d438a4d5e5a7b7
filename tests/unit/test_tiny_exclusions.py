"""What the shipped `tiny` was kept from must cover the benchmark as it is today."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from tiny.card import render
from tiny.world import exclusions, load

ROOT = Path(__file__).resolve().parents[2]
ITEMS = ROOT / "tasks" / "rsbench" / "items.jsonl"
TRAINING = ROOT / "rsbench" / "models" / "tiny" / "training.json"


def test_training_left_out_every_combination_that_an_item_rests_on() -> None:
    items = [json.loads(line) for line in ITEMS.read_text(encoding="utf-8").splitlines() if line.strip()]
    stored = {
        (thing, intent) for _, thing, intent in json.loads(TRAINING.read_text(encoding="utf-8"))["exclusions"]
    }
    missing = [found for found in exclusions(items, load()) if found[1:] not in stored]
    assert not missing, f"tiny was trained on these; train it again or change the items: {missing}"


def test_the_model_card_is_what_the_records_say() -> None:
    # python tools/tiny/card.py rsbench/models/tiny
    record = json.loads(TRAINING.read_text(encoding="utf-8"))
    assert render(record) == (TRAINING.parent / "README.md").read_text(encoding="utf-8")
    # The base must have room to get better and worse, or no comparison of methods could show anything.
    numbers = record["closed"]["numbers"]
    for name in ("safe_effective_path", "safe_answer", "over_refusal"):
        assert 0.2 <= numbers[name]["value"] <= 0.8, name
