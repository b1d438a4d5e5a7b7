"""What the shipped `tiny` was kept from must cover the benchmark as it is today."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

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
