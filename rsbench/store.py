"""The run folder: append-only records, a manifest, a lock.

Built so that kill -9 at any moment loses the calls in flight and nothing else: a record is one `write` of one
line, flushed at once, fsynced every second and at close; a torn last line is cut off when the folder is
opened again. Only key → file offset is held in memory, so memory does not grow with what the records say.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rsbench.types import UserError

MANIFEST = "manifest.json"
PLAN = "plan.jsonl"


class Records:
    """One append-only JSONL file, indexed by content key. The last record of a key counts.

    Who writes must `close`; a reader holds no file between two records.
    """

    def __init__(self, path: Path, final: frozenset[str]) -> None:
        self.path = path
        self._final = final
        self._offsets: dict[bytes, int] = {}
        self._done: set[bytes] = set()
        self.superseded = 0
        self._file: IO[bytes] | None = None
        self._synced = 0.0

    def open(self, writable: bool = True) -> "Records":
        """Index what is there; cut off a torn last line if `writable`.

        Who only reads holds no file open, and has nothing to close.

        Raises:
            UserError: a line in the middle is not a record: the file was edited or damaged.
        """
        try:
            if writable:
                self.path.touch()
            self._scan(writable)
            if writable:
                self._file = self.path.open("ab+", buffering=0)
        except OSError as error:
            raise UserError(f"{self.path}: can't be opened ({error.strerror})") from error
        return self

    def _scan(self, repair: bool) -> None:
        end = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break  # torn by a crash: the call was in flight and will be made again
                try:
                    record = json.loads(line)
                    self._note(bytes.fromhex(record["key"]), record["status"], end)
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        f"{self.path}:{number}: not a record ({error}). Records are never edited by hand; "
                        "restore the file, or delete this line to have its call made again."
                    ) from error
                end += len(line)
        if repair and end < self.path.stat().st_size:
            os.truncate(self.path, end)

    def _note(self, key: bytes, status: str, offset: int) -> None:
        self.superseded += key in self._offsets
        self._offsets[key] = offset
        (self._done.add if status in self._final else self._done.discard)(key)

    def done(self, key: str) -> bool:
        """Whether `key` has a record with a final status, so that its call need not be made again."""
        return bytes.fromhex(key) in self._done

    def get(self, key: str) -> dict[str, Any] | None:
        """The last record of `key`."""
        offset = self._offsets.get(bytes.fromhex(key))
        if offset is None:
            return None
        with self.path.open("rb") as lines:
            lines.seek(offset)
            record: dict[str, Any] = json.loads(lines.readline())
        return record

    def all(self) -> Iterator[dict[str, Any]]:
        """The last record of every key, in the order of writing."""
        for key in list(self._offsets):
            if (record := self.get(key.hex())) is not None:
                yield record

    def unfinished(self) -> list[dict[str, Any]]:
        """The last records of the keys without a final status."""
        return [record for record in self.all() if not self.done(record["key"])]

    def append(self, record: dict[str, Any]) -> None:
        """Write one record.

        Raises:
            UserError: the disk is full or the folder read-only; nothing half-written stays behind.
        """
        assert self._file is not None, "open() for writing first"
        # Half a surrogate pair in a model's text can't be UTF-8; its backslash form is its JSON escape.
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        offset = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, "no space left on device")
            self.sync(every_s=1.0)
        except OSError as error:
            os.truncate(self.path, offset)
            raise UserError(
                f"{self.path}: can't write ({error.strerror}). The run can be resumed."
            ) from error
        self._note(bytes.fromhex(record["key"]), record["status"], offset)

    def sync(self, every_s: float = 0.0) -> None:
        """Fsync, at most once in `every_s` seconds."""
        if self._file is not None and time.monotonic() - self._synced >= every_s:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Fsync and close."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


class RunFolder:
    """A run on disk. `with RunFolder(path).locked():` for writing; plain for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def locked(self) -> "RunFolder":
        """Create the folder if need be and take its lock.

        Raises:
            UserError: another process works on it, or it can't be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                raise
            self._lock = lock
        except BlockingIOError as error:
            raise UserError(f"{self.path}: another rsbench process is working on this run folder") from error
        except OSError as error:
            raise UserError(f"{self.path}: can't be written ({error.strerror})") from error
        return self

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock is not None:
            self._lock.close()  # closing drops the flock; so does the kernel on kill -9
            self._lock = None

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            UserError: not a run folder, or one of a newer rsbench.
        """
        manifest = self.manifest_or_none()
        if manifest is None:
            raise UserError(f"{self.path}: not a run folder (no {MANIFEST})")
        return manifest

    def manifest_or_none(self) -> dict[str, Any] | None:
        """The manifest; None in a fresh folder."""
        path = self.path / MANIFEST
        return read_noted(path, "a manifest", 1) if path.exists() else None

    def write(self, name: str, data: Any) -> Path:
        """Write one JSON file whole: a crash leaves the old one or the new one."""
        text = json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        return self.write_text(name, text)

    def write_text(self, name: str, text: str) -> Path:
        """Write one text file whole."""
        return write_whole(self.path / name, text.encode("utf-8"))

    def plan(self) -> Iterator[dict[str, Any]]:
        """The planned samples, in item order: item, sample, reply key, pair, kind, category, item hash."""
        path = self.path / PLAN
        if not path.exists():
            raise UserError(f"{path}: missing; run `rsbench run … --out {self.path}` first")
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise UserError(f"{path}:{number}: not JSON ({error}); run it anew") from error

    def replies(self, final: frozenset[str]) -> Records:
        """`replies.jsonl`, not yet opened."""
        return Records(self.path / "replies.jsonl", final)

    def batches(self, final: frozenset[str]) -> Records:
        """`batches.jsonl`, not yet opened."""
        return Records(self.path / "batches.jsonl", final)

    def verdicts(self, final: frozenset[str]) -> Records:
        """`verdicts.jsonl`, not yet opened."""
        return Records(self.path / "verdicts.jsonl", final)


def read_noted(path: Path, what: str, newest: int) -> dict[str, Any]:
    """A JSON object that rsbench wrote about its own work.

    Raises:
        UserError: it is damaged, or of a schema over `newest`. `what` says what it should be.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = int(found["schema"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not {what} ({error}). Restore the file; it is never edited.") from error
    if schema > newest:
        raise UserError(f"{path}: schema {schema}; this rsbench reads up to {newest}. Upgrade rsbench.")
    return found


def write_whole(path: Path, data: bytes, sync: bool = True) -> Path:
    """Write one file by renaming a finished temporary one: a crash leaves the old one or the new one.

    Without `sync` the machine's own crash may leave neither; for what can be written anew, in numbers.

    Raises:
        UserError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: can't write ({error.strerror})") from error
    return path
