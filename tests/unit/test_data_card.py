"""The data card's numbers come from the data, and the export opens as a dataset with decoded images."""

import json
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import data_card  # noqa: E402 - tools/ is a folder of scripts, not a package
import hf_export  # noqa: E402

from rsbench.cards import load_task  # noqa: E402
from rsbench.types import UserError  # noqa: E402

TASK = ROOT / "tasks" / "rsbench"


@pytest.mark.parametrize("task", ["rsbench", "ssui"])
def test_the_card_is_up_to_date(task: str) -> None:
    # A changed item, trace or probe must show in the card: stale numbers look just like right ones.
    folder = ROOT / "tasks" / task
    assert data_card.filled(folder) == (folder / "README.md").read_text(encoding="utf-8")


def test_croissant_is_up_to_date() -> None:
    card, _ = load_task(str(TASK))
    stored = json.loads((TASK / "croissant.json").read_text(encoding="utf-8"))
    assert stored == hf_export.croissant(TASK, card)
    fields = {field["name"] for field in stored["recordSet"][0]["field"]}
    first = json.loads((TASK / "items.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert fields - {"image"} <= first.keys()


def test_a_card_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("no markers here", encoding="utf-8")
    with pytest.raises(UserError, match="counts"):
        data_card.filled(tmp_path)


def test_the_export_opens_as_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    card, _ = load_task(str(TASK))
    written = hf_export.write_dataset(TASK, card, tmp_path / "out")
    data = load_dataset(str(tmp_path / "out"), split="test", cache_dir=str(tmp_path / "cache"))
    assert len(data) == written == len((TASK / "items.jsonl").read_text(encoding="utf-8").splitlines())
    row = data[0]
    assert min(row["image"].size) >= 448
    assert {row["kind"] for row in data.select_columns(["kind"])} == {"risky", "benign"}
