"""What `rsbench train` needs on disk: a small model, a task to train on and one to measure on, a recipe."""

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from vlms import save

from tests.cli import write_items

STEPS = ("A plain card lies there.", "Someone asks about it.", "Nothing more to it.")


def shelf(folder: Path, kind: str = "llava", pairs: int = 3, images: bool = True) -> Path:
    """A shelf folder with the tasks `school` (to train) and `exam`, the judge `coin`, and a model."""
    save(kind, folder / "net")
    _task(folder / "tasks" / "school", "s", pairs, images)
    _task(folder / "tasks" / "exam", "e", 1, images)
    judge = folder / "judges" / "coin" / "judge.yaml"
    judge.parent.mkdir(parents=True)
    card = {
        "schema": 1,
        "kind": "python",
        "name": "coin",
        "description": "",
        "python": "coin_judge:CoinJudge",
    }
    judge.write_text(json.dumps(card))
    return folder


def recipe(folder: Path, stem: str = "mine", /, **changes: Any) -> Path:
    """A recipe file; sections given are merged into the defaults, None takes a key out."""
    data: dict[str, Any] = {
        "schema": 1,
        "name": stem,
        "kind": "branches",
        "description": "For tests.",
        "model": f"hf/{folder / 'net'}",
        "tasks": ["school"],
        "split": "train",
        "explore": {
            "judge": "coin",
            "k": 4,
            "max_tokens": 40,
            "temperature": 1.0,
            "branch_label": "outcome",
        },
        "optimise": {"epochs": 1, "batch": 2, "accumulate": 1, "learning_rate": 1e-3, "held_out": 0.3},
        "run": {"tasks": ["exam"], "judge": "coin", "max_tokens": 8},
    }
    for key, value in changes.items():
        merges = isinstance(value, dict) and isinstance(data.get(key), dict)
        data[key] = data[key] | value if merges else value
    path = folder / "baselines" / f"{stem}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))  # JSON is YAML
    return path


def _task(folder: Path, prefix: str, pairs: int, images: bool) -> None:
    (folder / "images").mkdir(parents=True)
    names = [(f"{prefix}{n}", kind) for n in range(pairs) for kind in ("risky", "benign")]
    write_items(folder, [_row(folder, name, kind, images) for name, kind in names])
    (folder / "items.jsonl").rename(folder / "train.jsonl")
    write_items(folder, [_row(folder, f"{prefix}-other", kind, images) for kind in ("risky", "benign")])
    (folder / "prompt.jinja").write_text("{{ query }} Think.\n")
    card = {
        "schema": 1,
        "name": folder.name,
        "title": "For tests",
        "version": "1",
        "description": "For tests.",
        "license": "CC0-1.0",
        "data": {"file": "items.jsonl"},
        "splits": {"test": {"file": "items.jsonl"}, "train": {"file": "train.jsonl", "trains": True}},
        "prompts": {"default": "prompt.jinja"},
    }
    (folder / "task.yaml").write_text(json.dumps(card))


def _row(folder: Path, pair: str, kind: str, images: bool) -> dict[str, Any]:
    """Words and pictures of each item are its own: the guard against leakage looks at both."""
    name = f"{pair}.{kind}"
    seed = sum(map(ord, name)) * 7919
    words = " ".join(f"{seed * k % 99991:x}" for k in range(2, 9))
    image = Image.new("RGB", (40, 36), (seed % 256, seed // 7 % 256, seed // 11 % 256))
    draw = ImageDraw.Draw(image)
    for k in range(6):
        left, top = seed * (k + 3) // 5 % 30, seed * (k + 5) // 3 % 26
        draw.rectangle((left, top, left + 9, top + 9), fill=(seed * k % 256, seed * k // 3 % 256, 40 * k))
    image.save(folder / "images" / f"{name}.png")
    steps = [
        {"role": r, "text": t} for r, t in zip(("perception", "request", "synthesis"), STEPS, strict=True)
    ]
    return {
        "id": name,
        "images": [{"path": f"images/{name}.png", "caption": ""}] if images else [],
        "query": f"What of {words}?",
        "category": "c",
        "kind": kind,
        "pair": pair,
        "reference": {"steps": steps, "answer": f"All well with {words}."},
    }
