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


def test_what_reviewers_said_counts_by_the_last_look_and_by_item(tmp_path: Path) -> None:
    card = {"schema": 1, "name": "t", "title": "t", "version": "1", "description": "d", "license": "CC0-1.0"}
    card |= {"data": {"file": "items.jsonl"}, "prompts": {"default": "p.jinja"}}
    (tmp_path / "task.yaml").write_text(json.dumps(card))
    asked = {"a.risky": "One", "a.benign": "One", "b.risky": "Two", "b.benign": "New words"}
    items = [{"id": i, "pair": i[0], "kind": i[2:], "query": query} for i, query in asked.items()]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    looks = [
        {"pass": 1, "query": "One", "labels": ["no", "no"]},
        {"pass": 1, "query": "Two", "labels": ["no", "unease"]},
        {"pass": 1, "image": "images/x.png", "labels": ["no"]},
        {"pass": 2, "query": "One", "labels": ["yes", "unease"]},
        {"pass": 2, "query": "Two", "labels": ["no", "no"]},
    ]
    (tmp_path / "review.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))
    made = data_card.innocence(tmp_path).splitlines()
    assert "| query, pass 1 | 2 | 2 | 0 | 0 | 1 | 1 |" in made
    assert "| image, pass 1 | 1 | 1 | 0 | 0 | 0 | 1 |" in made
    assert "| query, pass 2 | 2 | 2 | 0 | 1 | 0 | 1 |" in made
    assert "| t, risky | 2 | 0 | 1 | 0 | 1 | 0 |" in made
    assert "| t, benign | 2 | 0 | 1 | 0 | 0 | 1 |" in made, "a text that nobody saw is no innocent one"
    assert made[-1] == "Called no by all: queries of `b`; images `x`."
