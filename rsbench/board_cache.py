"""What was found out about rows before, by content, in the user's cache folder; nothing is decided here.

A key says all that a result hangs on: the bytes of the row's files, what this machine knows of its items, the
code and templates of this rsbench, and the libraries that draw and round. A changed byte of any is another
key. A file says its key and the hash of its content in front; one that doesn't is as good as none.

The folder is the user's, never one beside the rows: a pull request could bring its own "checked" along.
"""

import hashlib
import io
import json
import os
import platform
import sys
import time
import zlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rsbench.board_rows import Entry, Units
from rsbench.pages import PLACES
from rsbench.records import digest
from rsbench.rows import ROW
from rsbench.store import write_whole
from rsbench.types import UserError

FORMAT = 3
DAYS = 14  # what no build has used for so long is removed
_LIBRARIES = ("numpy", "scipy", "pydantic", "pydantic-core", "jinja2", "markupsafe")


@dataclass(frozen=True)
class Cache:
    """A folder of results; without a folder nothing is found and nothing kept."""

    folder: Path | None

    def is_empty(self) -> bool:
        """Whether nothing is kept, so that no key need be worked out."""
        return self.folder is None or not self.folder.is_dir()

    def read(self, key: str) -> bytes | None:
        """What is kept under a key; None if nothing is, or not all of it."""
        if self.folder is None:
            return None
        path = self.folder / key
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        head, body = content[:64], content[64:]
        return body if head == _seal(key, body) else None

    def write(self, key: str, body: bytes) -> None:
        """Keep it, if the folder can be written: a build needs no cache."""
        if self.folder is None:
            return
        try:
            write_whole(self.folder / key, _seal(key, body) + body, sync=False)
        except UserError:
            return

    def tidy(self) -> None:
        """Remove what no build has used for `DAYS`."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            try:
                if path.stat().st_mtime < time.time() - DAYS * 86_400:
                    path.unlink()
            except OSError:
                continue  # another build was quicker


NO_CACHE = Cache(None)


def users_cache() -> Cache:
    """The user's own: below RSBENCH_CACHE, else the user's cache folder."""
    base = Path(os.environ.get("RSBENCH_CACHE") or Path.home() / ".cache" / "rsbench")
    return Cache(base / "board")


def _seal(key: str, body: bytes) -> bytes:
    sealed = hashlib.sha256(key.encode())
    sealed.update(body)
    return sealed.hexdigest().encode()


@cache
def code() -> str:
    """What computes here: every module and template of this rsbench, Python, the libraries, the machine."""
    hashes = [
        (path.relative_to(place).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
        for place, pattern in ((Path(__file__).parent, "*.py"), *((place, "*.*") for place in PLACES))
        for path in sorted(place.rglob(pattern))
    ]
    libraries = [(name, version(name)) for name in _LIBRARIES]
    return digest(FORMAT, hashes, libraries, sys.version, platform.machine())


def row_key(path: Path, shown: str) -> str:
    """Key of a row: its files as they are now; `shown` is the digest of what pages show of its items."""
    names = (path.name, f"{path.stem}.labels.jsonl", f"{path.stem}.transcripts.jsonl")
    return digest("row", code(), [(name, _hash(path.with_name(name))) for name in names], shown)


def _hash(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # the check says what is wrong with it


def pack_entry(entry: Entry, page: bytes) -> bytes:
    """What the board needs of a checked row, and its page."""
    row = entry.row.model_dump_json(by_alias=True)
    texts: dict[str, Any] = {"row": row, "curve": entry.curve, "items": entry.items, "names": [], "units": {}}
    for key, units in entry.units.items():
        places = []
        for names in (units.ids, units.clusters):
            text = json.dumps(names)
            if text not in texts["names"]:
                texts["names"].append(text)
            places.append(texts["names"].index(text))
        texts["units"][key] = places
    arrays: dict[str, Any] = {f"values {key}": units.packed for key, units in entry.units.items()}
    arrays |= {"texts": _packed(json.dumps(texts).encode()), "page": _packed(page)}
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def unpack_entry(path: Path, packed: bytes) -> tuple[Entry, bytes]:
    """The same again: the entry of the row at `path`, and its page."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        texts = json.loads(zlib.decompress(arrays["texts"].tobytes()))
        names = [_names(text) for text in texts["names"]]
        units = {
            key: Units(names[ids], names[clusters], arrays[f"values {key}"])
            for key, (ids, clusters) in texts["units"].items()
        }
        page = zlib.decompress(arrays["page"].tobytes())
    curve = tuple((at, share, n) for at, share, n in texts["curve"])
    return Entry(path, ROW.validate_json(texts["row"]), units, curve, texts["items"]), page


def _packed(content: bytes) -> Any:
    return np.frombuffer(zlib.compress(content, 1), dtype=np.uint8)


@lru_cache(maxsize=64)
def _names(text: str) -> tuple[str, ...]:
    """Names of items, one object for all rows that have the same."""
    return tuple(json.loads(text))


def _pairs_key() -> str:
    """Key of paired tests: the code alone, for each test is named by both rows' values."""
    return digest("pairs", code())


def read_pairs(cache: Cache) -> dict[str, Any]:
    """Results of paired tests that earlier builds made, by name."""
    kept = cache.read(_pairs_key())
    return {} if kept is None else dict(json.loads(kept))


def write_pairs(cache: Cache, known: dict[str, Any]) -> None:
    """Keep results of paired tests."""
    cache.write(_pairs_key(), json.dumps(known).encode())
