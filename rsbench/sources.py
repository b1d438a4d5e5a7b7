"""Where item records come from: local JSONL, Parquet, image folders, or a pinned Hugging Face dataset.

Yields plain dictionaries with a name for where each stands (`items.jsonl:12`), so that every later complaint
can say it. Knows nothing of what the fields mean.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rsbench.cards import Data
from rsbench.shelves import inside
from rsbench.types import UserError


def cache_folder(data: Data) -> Path:
    """Where images of a hub dataset are kept: below RSBENCH_CACHE, else the user's cache folder."""
    base = Path(os.environ.get("RSBENCH_CACHE") or Path.home() / ".cache" / "rsbench")
    folder = base / str(data.hub).replace("/", "--") / str(data.revision)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mapped(data: Data, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Apply the card's field mapping and constants; without a mapping the row is taken as it is."""
    if not data.fields:
        return {**data.constants, **row}
    missing = [column for column in data.fields.values() if column not in row]
    if missing:
        raise UserError(f"{where}: no column {', '.join(map(repr, missing))}. Columns: {', '.join(row)}")
    fields: dict[str, Any] = {ours: row[theirs] for ours, theirs in data.fields.items()}
    fields = data.constants | {k: v for k, v in fields.items() if v is not None}
    if isinstance(fields.get("images"), str):  # a mapped column usually holds one bare file name
        fields["images"] = [{"path": fields["images"]}]
    if "id" in fields:
        fields["id"] = str(fields["id"])
    return fields


def rows(data: Data, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every record of the source with a name for where it stands, e.g. `items.jsonl:12`."""
    if data.hub:
        yield from _hub_rows(data, folder)
        return
    if data.images:
        base = inside(folder, data.images)
        for where, row in _file_rows(base / "metadata.jsonl", data):
            name = row.pop("file_name", None)
            yield where, row | ({"images": [{"path": f"{data.images}/{name}"}]} if name else {})
        return
    yield from _file_rows(inside(folder, str(data.file)), data)


def _file_rows(path: Path, data: Data) -> Iterator[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file." + (f" {data.fetch}" if data.fetch else ""))
    if path.suffix == ".parquet":
        from datasets import load_dataset

        table = load_dataset("parquet", data_files=str(path), split="train", streaming=True)
        for number, row in enumerate(table, 1):
            yield f"{path}: row {number}", _images_to_files(dict(row), path.parent, f"{path.name}-{number}")
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno})") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}:{number}: each line must be one JSON object")
            yield f"{path}:{number}", row


def _hub_rows(data: Data, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A Hugging Face dataset at its pinned revision; its images are written once below `folder`."""
    from datasets import load_dataset

    try:
        table = load_dataset(data.hub, data.config, split=data.split, revision=data.revision)
    except Exception as error:  # the library raises a dozen types here, all meaning: could not be had
        hint = data.fetch or "Download it yourself and pass --data FOLDER."
        raise UserError(f"Can't load dataset {data.hub!r} at {data.revision}: {error}. {hint}") from error
    for number, row in enumerate(table, 1):
        yield f"{data.hub}: row {number}", _images_to_files(dict(row), folder, f"{data.hub}-{number}")


def _images_to_files(row: dict[str, Any], folder: Path, stem: str) -> dict[str, Any]:
    """Replace decoded images by PNG files, so that the rest of the engine knows file paths only."""
    for column, value in row.items():
        if hasattr(value, "save") and hasattr(value, "size"):
            name = f"images-cache/{hashlib.sha256(f'{stem}/{column}'.encode()).hexdigest()[:24]}.png"
            target = folder / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                value.save(target)
            row[column] = name
    return row
