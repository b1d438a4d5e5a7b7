"""A small task folder on disk, to be broken one thing at a time."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.types import UserError

CARD: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "title": "Small",
    "version": "1",
    "description": "Two twin pairs.",
    "license": "CC0-1.0",
    "data": {"file": "items.jsonl"},
    "prompts": {"default": "prompts/default.jinja"},
    "categories": ["water", "heights"],
}


def item(pair: str, kind: str, category: str = "water", **more: Any) -> dict[str, Any]:
    row = {"id": f"{pair}.{kind}", "query": f"Query of {pair}, {kind}", "category": category}
    return {
        **row,
        "kind": kind,
        "pair": pair,
        "images": [{"path": "images/a.png", "caption": "A pool."}],
    } | more


def pair(name: str, category: str = "water") -> list[dict[str, Any]]:
    return [item(name, "risky", category), item(name, "benign", category)]


def make_task(
    folder: Path, rows: list[dict[str, Any]] | None = None, card: dict[str, Any] | None = None
) -> Path:
    """Write the task; `card` changes the card's keys, a value of None takes one out. Returns the folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "prompts").mkdir(exist_ok=True)
    (folder / "prompts" / "default.jinja").write_text("{{ query }}")
    Image.new("RGB", (8, 8), "blue").save(folder / "images" / "a.png")
    fields = {key: value for key, value in (CARD | (card or {})).items() if value is not None}
    (folder / "task.yaml").write_text(yaml.safe_dump(fields))
    write_rows(folder / "items.jsonl", [*pair("p1"), *pair("p2", "heights")] if rows is None else rows)
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def dataset(folder: Path, data: Path | None = None) -> Dataset:
    card, found = load_task(str(folder))
    return Dataset(card, found.folder, data)


def complaint(folder: Path, data: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        list(dataset(folder, data))  # images are looked at when items are read
    return str(caught.value)
