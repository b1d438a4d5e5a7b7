"""All rows of a folder as the board needs them, with their pages and downloads written.

A row is checked here and now, or known to have been, byte for byte and by this very code; `board_cache` says
what that hangs on. A row that fails its check stops the build, and is never remembered.
"""

import gc
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rsbench.board_cache import Cache, pack_entry, row_key, unpack_entry
from rsbench.board_items import Items, Pictures, items_of, page_data, page_values, peek
from rsbench.board_rows import HEADLINE, Entry, entry_of
from rsbench.pages import Page, render_page
from rsbench.records import digest
from rsbench.row_check import read_row
from rsbench.row_items import task_on_shelf
from rsbench.row_judge import measurement_on_shelf
from rsbench.store import write_whole
from rsbench.types import UserError

MANY = 16  # rows, from which on they are checked by several processes
ROW = Page(
    "row.html.jinja",
    ("page/page.css", "page/browser.css", "report/report.css", "board.css"),
    ("page/browser.js", "row.js"),
)
AT_ONCE = 4  # rows whose files are read, or written, side by side
WORKERS = {
    "PYTHONSAFEPATH": "1",  # import nothing from the folder they begin in: it may be a stranger's checkout
    "OMP_NUM_THREADS": "1",  # a core each, with which they do not get in each other's way
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Known:
    """What this machine knows of rows' tasks: what pages show of items, its digest, and that of each task."""

    items: dict[Items, dict[str, dict[str, Any]]]
    digests: dict[Items, str]
    tasks: dict[tuple[str, str | None], str]

    def of(self, path: Path) -> str:
        """The digest of all that this machine knows of a row: its task, its items, and its judge."""
        row = peek(path)
        if row is None:
            return ""
        task = self.tasks.get((row.task.name, row.task.split), "")
        return digest(task, self.digests.get(items_of(row), ""), measurement_on_shelf(row.judge))


def gather(paths: Sequence[Path], out: Path, cache: Cache) -> tuple[list[Entry], int]:
    """Every row, and how many of them were checked now.

    Raises:
        UserError: a row fails its check, or `out` can't be written.
    """
    known = known_of(paths, out / "images")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        remembered = list(pool.map(partial(_remembered, known=known, cache=cache), paths))
    missing = [path for path, packed in zip(paths, remembered, strict=True) if packed is None]
    new = dict(zip(missing, _checked(missing, known, cache), strict=True))
    found = [packed or new[path] for path, packed in zip(paths, remembered, strict=True)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        entries = list(pool.map(partial(_written, out=out), paths, found))
    check_same_items(entries)
    return entries, len(missing)


def remember(path: Path, cache: Cache) -> None:
    """Check a row, and keep what a later build needs of it, so that it need not check it again.

    Raises:
        UserError: it fails its check.
    """
    with TemporaryDirectory() as pictures:
        _check(path, known_of([path], Path(pictures)), cache)


def known_of(paths: Sequence[Path], pictures: Path) -> Known:
    """What this machine knows of the items of these rows; their pictures are written to a folder."""
    items = Pictures(pictures).shown(paths)
    named = {(row.task.name, row.task.split) for path in paths if (row := peek(path)) is not None}
    return Known(
        items,
        {own: digest(shown) for own, shown in items.items()},
        {task: task_on_shelf(*task) for task in named},
    )


def check_same_items(entries: Sequence[Entry]) -> None:
    """Rows that name the same data must be about the same items: one that left out its worst would look fine.

    Raises:
        UserError: two that are not; names both.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        known = first.setdefault(entry.row.task.data, entry)
        ours, theirs = (set(one.units[HEADLINE].ids) for one in (entry, known))
        if ours != theirs:
            raise UserError(
                f"{entry.path} and {known.path} name the same data and have labels of different items "
                f"({', '.join(sorted(ours ^ theirs)[:3])}); one of them is not what its run gave"
            )
        if entry.items != known.items:
            raise UserError(
                f"{entry.path} and {known.path} name the same data and give an item another pair, category "
                "or kind; one of them is not what its run gave"
            )


def _remembered(path: Path, known: Known, cache: Cache) -> bytes | None:
    return None if cache.is_empty() else cache.read(row_key(path, known.of(path)))


def _checked(paths: Sequence[Path], known: Known, cache: Cache) -> list[bytes]:
    """Rows checked now; side by side where there are many, for each is a second's work."""
    work = partial(_check, known=known, cache=cache)
    if len(paths) < MANY:
        return [work(path) for path in paths]
    with _for_workers(), ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_calm) as pool:
        return list(pool.map(work, paths, chunksize=4))


def _calm() -> None:
    """Look for garbage seldom: a row is a hundred thousand small objects, and none of them are in cycles."""
    gc.set_threshold(200_000)


@contextmanager
def _for_workers() -> Iterator[None]:
    """The environment that new Python processes begin in."""
    before = {name: os.environ.get(name) for name in WORKERS}
    os.environ.update(WORKERS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check(path: Path, known: Known, cache: Cache) -> bytes:
    """Check a row, and keep what the board needs of it; not if its files changed meanwhile."""
    key = row_key(path, known.of(path))
    found = read_row(path)
    entry = entry_of(path, found.row, found.sheet)
    items = known.items.get(items_of(found.row), {})
    data = page_data(entry, found, items)
    values = page_values(entry, found.sheet, len(items))
    packed = pack_entry(entry, render_page(ROW, values, data or {}, "data: 'self'").encode("utf-8"))
    if row_key(path, known.of(path)) == key:
        cache.write(key, packed)
    return packed


def _written(path: Path, packed: bytes, out: Path) -> Entry:
    """A row's entry; its page and its files are in the site then."""
    entry, page = unpack_entry(path, packed)
    row = entry.row
    write_whole(out / "rows" / f"{row.name}.html", page, sync=False)
    for name in (path.name, row.labels.file, row.replies.file):
        if name is not None:
            _copy(path.with_name(name), out / "rows" / name)
    return entry


def _copy(source: Path, target: Path) -> None:
    """Copy a file with its time, unless a copy of its size and time lies there: 500 rows are gigabytes."""
    try:
        wanted = source.stat()
        if target.is_file():
            there = target.stat()
            if (there.st_size, there.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns):
                return
        temporary = target.with_name(target.name + ".tmp")
        shutil.copyfile(source, temporary)
        os.utime(temporary, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"{target}: can't write ({error.strerror})") from error
