"""The items that a row is about, on a machine that has the very same ones: what its labels may say of them.

A row travels without its task's data. Where a task of that name lies on a shelf here, and its items hash to
the row's `task.data`, a row's claims of pairs, kinds and categories are checked against it; where it does
not, against the other rows of the same data (`board_gather.check_same_items`).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rsbench.cards import TaskCard, load_task
from rsbench.data import Dataset
from rsbench.records import digest
from rsbench.rows import Row
from rsbench.sheets import Sheet
from rsbench.shelves import Found, find, is_path
from rsbench.types import Item, UserError


@dataclass(frozen=True)
class KnownItems:
    """A task of a shelf, and those of its items that a row is about."""

    card: TaskCard
    items: tuple[Item, ...]


def known_items(task: str, split: str | None, data: str, ids: frozenset[str]) -> KnownItems | None:
    """A task's items of these ids, if they hash to `data`; None where it is gone, or other people's."""
    card, every = _on_shelf(task, split)
    items = tuple([item for item in every if item.id in ids])
    if card is None or not items or digest([item.hash for item in items]) != data:
        return None
    return KnownItems(card, items)


def task_on_shelf(task: str, split: str | None) -> str:
    """The digest of a task's card and of all its items, as they are on a shelf here; empty without one."""
    if is_path(task):
        return ""
    try:
        sha256 = find("tasks", task).sha256
    except UserError:
        return ""
    return digest(sha256, [(item.id, item.hash) for item in _on_shelf(task, split)[1]])


def _on_shelf(task: str, split: str | None) -> tuple[TaskCard | None, tuple[Item, ...]]:
    """A task's card and items; nothing where it is gone, or other people's.

    Other people's data is not fetched to check a row, or to build a site, and not published on one.
    """
    if is_path(task):
        return None, ()  # no card is named so; a row's author would choose which files are read
    try:
        return _read(find("tasks", task), split)
    except UserError:
        return None, ()


@lru_cache(maxsize=8)
def _read(place: Found, split: str | None) -> tuple[TaskCard | None, tuple[Item, ...]]:
    """As `_on_shelf`; what was read once is not read again for the next row.

    Raises:
        UserError: it can't be read.
    """
    card, _ = load_task(str(place.path))
    if card.data.hub or card.data.publisher:
        return None, ()
    return card, tuple(Dataset(card, place.folder, None, split))


def check_task(path: Path, row: Row) -> None:
    """Check what a row says of its task's card against the card of that very content, if a shelf here has it.

    Raises:
        UserError: it says something else; the table a row stands in hangs on it.
    """
    if is_path(row.task.name):
        return
    try:
        card, place = load_task(row.task.name)
    except UserError:
        return
    if place.sha256 != row.task.sha256:
        return
    for key in ("version", "closed_world", "official"):
        if (said := getattr(row.task, key)) != (ours := getattr(card, key)):
            raise UserError(f"{path}: task.{key}: {said!r}; allowed is {ours!r}, as task {card.name!r} says")


def check_items(path: Path, row: Row, sheet: Sheet) -> None:
    """Check that a row's labels name pair, kind and category of each item as its task does.

    Raises:
        UserError: one that they name otherwise: its numbers would be of another benchmark.
    """
    layout = sheet.layout
    known = known_items(row.task.name, row.task.split, row.task.data, frozenset(layout.ids))
    if known is None:
        return
    said = {
        item: {"pair": pair, "category": category, "kind": "benign" if benign else "risky"}
        for item, pair, category, benign in zip(
            layout.ids, layout.pairs, layout.categories, layout.benign.tolist(), strict=True
        )
    }
    for item in known.items:
        for key, value in said[item.id].items():
            if value != getattr(item, key):
                raise UserError(
                    f"{path.with_name(row.labels.file)}: item {item.id!r}: {key}: {value!r}; allowed is "
                    f"{getattr(item, key)!r}, as in task {row.task.name!r}"
                )
