"""Where item records come from: local JSONL, JSON, CSV, Parquet, image folders, or a pinned hub dataset.

Yields plain dictionaries with a name for where each stands (`items.jsonl:12`), so that every later complaint
can say it. Knows nothing of what the fields mean.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rsbench.cards import Data
from rsbench.layouts import layout
from rsbench.shelves import inside
from rsbench.types import UserError

PLACE = "#"  # as a column in a card's `fields`: where the record stands, for tables without an id


def cache_folder(data: Data) -> Path:
    """Where images of a hub dataset are kept: below RSBENCH_CACHE, else the user's cache folder."""
    base = Path(os.environ.get("RSBENCH_CACHE") or Path.home() / ".cache" / "rsbench")
    folder = base / str(data.hub).replace("/", "--") / str(data.revision)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mapped(data: Data, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Apply the card's field mapping and constants; without a mapping the row's own names are taken.

    A value of None is a field left out: tables have every column in every row.
    """
    if not data.fields:
        return data.constants | {k: v for k, v in row.items() if v is not None}
    missing = [column for column in data.fields.values() if column not in row]
    if missing:
        raise UserError(f"{where}: no column {', '.join(map(repr, missing))}. Columns: {', '.join(row)}")
    fields: dict[str, Any] = {ours: row[theirs] for ours, theirs in data.fields.items()}
    fields = data.constants | {k: v for k, v in fields.items() if v is not None}
    if isinstance(fields.get("images"), str):  # a mapped column usually holds one bare file name
        fields["images"] = [{"path": str(Path(data.image_folder) / fields["images"])}]
    if "id" in fields:
        fields["id"] = str(fields["id"])
    for ours, table in data.values.items():
        if str(fields.get(ours)) not in table:
            column, allowed = data.fields.get(ours, ours), ", ".join(map(repr, table))
            raise UserError(f"{where}: {column!r} is {fields.get(ours)!r}; the card knows {allowed}")
        fields[ours] = table[str(fields[ours])]
    return fields


def how_to_get(data: Data) -> str:
    """What to fetch, from whom, under which licence; empty if the card doesn't say."""
    owner = data.publisher
    if owner is None:
        return data.fetch
    lines = [f"The data is not part of rsbench. From {owner.who}: {owner.url} (licence: {owner.license})."]
    if owner.hub:
        pin = f" --revision {owner.revision}" if owner.revision else ""
        lines.append(f"hf download {owner.hub} --repo-type dataset{pin} --local-dir FOLDER")
        if not owner.revision:
            lines.append("No revision is pinned here: note the one that you took.")
    lines += [owner.note] if owner.note else []
    return "\n  ".join([*lines, f"Then pass --data FOLDER, the folder that holds {data.file}."])


def rows(data: Data, folder: Path, local: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every record of the source with a name for where it stands, e.g. `items.jsonl:12`.

    `local`: `folder` is the user's own copy of the data, of a hub dataset too.

    Raises:
        UserError: no such source, or a record that can't be read.
    """
    if data.hub:
        source: dict[str, Any] = {"path": data.hub, "revision": data.revision}
        if local:
            source = {"path": str(folder), "streaming": True}
        yield from _table(data, folder, name=data.config, split=data.split, **source)
        return
    if data.images:
        base = inside(folder, data.images)
        for where, row in json_lines(_there(base / "metadata.jsonl", data)):
            name = row.pop("file_name", None)
            yield where, row | ({"images": [{"path": f"{data.images}/{name}"}]} if name else {})
        return
    for path in _files(folder, str(data.file), data):
        place = path.relative_to(folder.resolve()).with_suffix("").as_posix()
        for number, (where, row) in enumerate(_file_rows(path, folder, data), 1):
            yield where, row | ({PLACE: f"{place}:{number}"} if PLACE in data.fields.values() else {})


def _files(folder: Path, name: str, data: Data) -> list[Path]:
    """The file of that name, or all files that a name with `*` fits."""
    if "*" not in name:
        return [_there(inside(folder, name), data)]
    found = [inside(folder, str(path.relative_to(folder))) for path in sorted(folder.glob(name))]
    return found or [_there(folder / name, data)]


def _file_rows(path: Path, folder: Path, data: Data) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".parquet":
        yield from _table(data, folder, path="parquet", data_files=str(path), split="train", streaming=True)
    elif path.suffix == ".csv":
        yield from _csv(path)
    elif path.suffix == ".json":
        yield from layout(data.layout, _json(path), path, data.split)
    else:
        yield from json_lines(path)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from error


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines, strict=True), 1):
                if None in row or None in row.values():
                    raise UserError(f"{path}: record {number} has not as many cells as the heading")
                yield f"{path}: record {number}", dict(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as CSV ({error})") from error


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a JSON lines file with its place `file:line`; blank lines are skipped.

    Raises:
        UserError: a line that is no JSON object, or not UTF-8.
    """
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UserError(f"{path}:{number}: each line must be one JSON object")
                yield f"{path}:{number}", row
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8, after line {number} ({error.reason})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}:{number}: can't be read ({error})") from error


def _there(path: Path, data: Data) -> Path:
    if not path.is_file():
        hint = how_to_get(data)
        raise UserError(f"{path}: no such file." + (f" {hint}" if hint else ""))
    return path


def _table(data: Data, folder: Path, **options: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file or of a Hugging Face dataset; images are written once below `folder`."""
    from datasets import load_dataset

    label = options.get("data_files") or options["path"]
    try:
        for number, row in enumerate(load_dataset(**options), 1):
            yield f"{label}: row {number}", _images_to_files(dict(row), folder)
    except Exception as error:  # the library raises a dozen types here, all meaning: could not be had
        hint = how_to_get(data) or "Download it yourself and pass --data FOLDER."
        pinned = f" at {options['revision']}" if "revision" in options else ""
        raise UserError(f"Can't load the data {label!r}{pinned}: {error}. {hint}") from error


def _images_to_files(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Replace decoded images by PNG files, so that the rest of the engine knows file paths only.

    A file is named by its pixels, so that another table, split or edition can't be given a stale one.
    """
    for column, value in row.items():
        if hasattr(value, "save") and hasattr(value, "size"):
            still = value.convert("RGBA" if value.has_transparency_data else "RGB")
            name = hashlib.sha256(f"{still.mode} {still.size} ".encode() + still.tobytes()).hexdigest()[:24]
            target = folder / "images-cache" / f"{name}.png"
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                still.save(target.with_suffix(".tmp"), "PNG")
                target.with_suffix(".tmp").replace(target)  # whole or not at all
            row[column] = f"images-cache/{name}.png"
    return row
