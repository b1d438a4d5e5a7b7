"""Small local copies of the sister benchmarks, in the shape in which each is published; for tests only."""

import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

FIXTURES = Path(__file__).parent / "fixtures" / "sisters"
# Task → the folder of its fixture, and the pictures that its records name.
COPIES: dict[str, tuple[str, list[str]]] = {
    "siuo": ("siuo", ["images/D-01.png", "images/R-02.png"]),
    "siuo-mcqa": ("siuo-mcqa", ["images/D-01.png", "images/R-02.png"]),
    "mssbench-chat": ("mssbench", ["chat/1.jpg", "chat/2.jpg"]),
    "mssbench-embodied": ("mssbench", ["embodied/s1.png", "embodied/u1.png"]),
    "mm-safetybench": (
        "mm-safetybench",
        [
            f"imgs/{name}/SD_TYPO/{n}.jpg"
            for name, n in (("01-Illegal_Activitiy", 0), ("01-Illegal_Activitiy", 1), ("10-Legal_Opinion", 0))
        ],
    ),
    "vlsbench": ("vlsbench", ["imgs/0.png", "imgs/1.png"]),
    "vlguard": ("vlguard", ["test/bad_ads/one.png", "test/bad_ads/two.png"]),
    "xstest": ("xstest", []),
    "spa-vl": ("spa-vl", []),
    "beavertails-v": ("beavertails-v", []),
}
TABLES = {
    "spa-vl": {"harm.json": "test/harm-00000-of-00001.parquet"},
    "beavertails-v": {
        f"{name}.json": f"data/{name}/evaluation.parquet" for name in ("animal_abuse", "false_information")
    },
}


def copy_of(task: str, folder: Path) -> Path:
    """A local copy of a task's data in `folder`, with its pictures."""
    source, pictures = COPIES[task]
    shutil.copytree(FIXTURES / source, folder)
    for number, name in enumerate(pictures):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 8), (40 * number + 20, 90, 160)).save(folder / name)
    for name, table in TABLES.get(task, {}).items():
        _write_table(json.loads((folder / name).read_text(encoding="utf-8")), folder / table)
        (folder / name).unlink()
    return folder


def _write_table(rows: list[dict[str, Any]], path: Path) -> None:
    """As the hub stores it: the pictures inside the table."""
    from datasets import Dataset, Features, Value
    from datasets import Image as Picture

    kinds = {str: Value("string"), int: Value("int64")}
    features = Features(
        {key: Picture() if key == "image" else kinds[type(value)] for key, value in rows[0].items()}
    )
    for number, row in enumerate(rows):
        row["image"] = Image.new("RGB", (12, 8), (60 * number + 20, 10, 60))
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows, features=features).to_parquet(path)
