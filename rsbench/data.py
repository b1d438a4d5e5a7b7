"""From a task card to items: records (`rsbench.sources`) checked, hashed, indexed.

Everything is checked before the first call. Items are streamed, never held together: a first pass checks each
record and keeps an index (id, pair, kind, category); later passes read the source again. Images are decoded
and hashed for the selected items alone, once each: a run of two pairs need not read a thousand pictures.
"""

import hashlib
import json
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rsbench.cards import TaskCard, validated
from rsbench.images import check_image, load_image
from rsbench.item_records import ContrastRecord, ItemRecord, ReferenceRecord, SceneRecord
from rsbench.shelves import inside
from rsbench.sources import cache_folder, how_to_get, mapped, rows
from rsbench.types import (
    AuthoredPath,
    Item,
    ItemImage,
    Kind,
    PathStep,
    Scene,
    UserError,
)


@dataclass(frozen=True)
class IndexEntry:
    """What is kept of every item while the rest is streamed."""

    id: str
    pair: str
    kind: Kind
    category: str


class Dataset:
    """The items of one task, or of one of its splits, in file order. Iterating reads the source anew."""

    def __init__(
        self, card: TaskCard, card_folder: Path, data_folder: Path | None = None, split: str | None = None
    ) -> None:
        self.card = card
        self.split, self.trains, self._data = card.split(split)
        hub = cache_folder(card.data) if card.data.hub and data_folder is None else None
        self.folder = (data_folder or hub or card_folder).resolve()
        self._local = data_folder is not None
        self._selected: frozenset[str] | None = None
        # Image files are located, verified and hashed once; items are read often.
        self._located: dict[str, Path] = {}
        self._hashes: dict[Path, str] = {}
        self.index: tuple[IndexEntry, ...] = tuple(self._check())

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Item]:
        for where, row in rows(self._data, self.folder, self._local):
            # All were checked when the dataset was opened; the others are not even looked at again.
            chosen = self._selected is None or mapped(self._data, row, where).get("id") in self._selected
            if chosen:
                yield self._item(where, self._record(where, row))

    def select(self, subset: str | None = None, limit: int | None = None, seed: int = 0) -> None:
        """Keep a named subset, and of that at most `limit` items.

        Whole twin pairs are taken, drawn by `seed`, spread evenly over the categories.

        Raises:
            UserError: no such subset, or a limit below one pair.
        """
        pairs: dict[str, list[IndexEntry]] = {}
        for entry in self.index:
            pairs.setdefault(entry.pair, []).append(entry)
        if subset is not None:
            pairs = {name: pairs[name] for name in self._subset(subset, pairs)}
        if limit is not None:
            pairs = _draw(pairs, limit, seed)
        self.keep({entry.id for group in pairs.values() for entry in group})

    def keep(self, ids: Collection[str]) -> None:
        """Keep these items alone."""
        self._selected = frozenset(ids)
        self.index = tuple(entry for entry in self.index if entry.id in self._selected)

    def _subset(self, name: str, pairs: Mapping[str, object]) -> list[str]:
        if name not in self.card.subsets:
            known = ", ".join(self.card.subsets) or "none"
            raise UserError(f"Task {self.card.name!r} has no subset {name!r}. Its subsets: {known}")
        missing = [pair for pair in self.card.subsets[name] if pair not in pairs]
        if missing:
            raise UserError(
                f"Subset {name!r} of task {self.card.name!r} names unknown pairs: {', '.join(missing)}"
            )
        return self.card.subsets[name]

    def _check(self) -> Iterator[IndexEntry]:
        seen: dict[str, str] = {}
        kinds: dict[str, list[str]] = {}
        places: dict[str, str] = {}
        for where, row in rows(self._data, self.folder, self._local):
            item = self._record(where, row)
            if item.id in seen:
                raise UserError(f"{where}: id {item.id!r} is already used at {seen[item.id]}")
            if self.card.categories is not None and item.category not in self.card.categories:
                allowed = ", ".join(self.card.categories)
                raise UserError(
                    f"{where}: category {item.category!r} is not in the task card. Allowed: {allowed}"
                )
            seen[item.id] = where
            self._places(where, item)
            pair = item.pair or item.id
            kinds.setdefault(pair, []).append(item.kind)
            places.setdefault(pair, where)
            yield IndexEntry(item.id, pair, item.kind, item.category)
        if not seen:
            raise UserError(f"{self.folder}: task {self.card.name!r} has no items")
        if self.card.pairs:
            for pair, found in kinds.items():
                if sorted(found) != ["benign", "risky"]:
                    raise UserError(
                        f"{places[pair]}: pair {pair!r} has {', '.join(sorted(found))}; "
                        "a pair needs exactly one risky and one benign item"
                    )

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = check_image(path)
        return self._hashes[path]

    def _record(self, where: str, row: Mapping[str, Any]) -> ItemRecord:
        return validated(_RECORD, mapped(self._data, row, where), where)

    def _places(self, where: str, record: ItemRecord) -> list[Path]:
        """Where an item's images lie; none may be missing or outside the data's folder."""
        try:
            return [self._locate(image.path) for image in record.images]
        except UserError as error:
            hint = how_to_get(self.card.data)
            raise UserError(f"{where}: item {record.id!r}: {error}{hint and f'. {hint}'}") from error

    def _locate(self, relative: str) -> Path:
        if relative not in self._located:
            path = inside(self.folder, relative)
            if not path.is_file():
                load_image(path)  # says what is there instead
            self._located[relative] = path
        return self._located[relative]

    def _item(self, where: str, record: ItemRecord) -> Item:
        paths = self._places(where, record)
        try:
            hashes = [self._hash(path) for path in paths]
        except UserError as error:
            raise UserError(f"{where}: item {record.id!r}: {error}") from error
        shown = zip(paths, record.images, hashes, strict=True)
        images = [ItemImage(path, image.caption, sha256) for path, image, sha256 in shown]
        return Item(
            id=record.id,
            images=tuple(images),
            query=record.query,
            category=record.category,
            kind=record.kind,
            pair=record.pair or record.id,
            hash=_item_hash(record, images),
            swap=record.swap,
            key_element=record.key_element,
            trigger_element=record.trigger_element,
            note=record.note,
            reference=_reference(record.reference),
            contrast=_contrast(record.contrast),
            scene=_scene(record.scene),
        )


_RECORD: TypeAdapter[ItemRecord] = TypeAdapter(ItemRecord)


def _item_hash(record: ItemRecord, images: list[ItemImage]) -> str:
    """Covers every text field and the image bytes; a file renamed without change keeps its hash."""
    fields = record.model_dump(mode="json") | {"images": [[i.caption, i.sha256] for i in images]}
    if record.scene is None:  # items without a scene keep the hash they had before there were scenes
        del fields["scene"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _reference(record: ReferenceRecord | None) -> AuthoredPath | None:
    if record is None:
        return None
    return AuthoredPath(tuple(PathStep(s.role, s.text) for s in record.steps), record.answer)


def _contrast(record: ContrastRecord | None) -> AuthoredPath | None:
    if record is None:
        return None
    steps = tuple(PathStep(s.role, s.text, s.safety, s.effectiveness) for s in record.steps)
    return AuthoredPath(steps, record.answer, record.answer_safety, record.answer_effectiveness)


def _scene(record: SceneRecord | None) -> Scene | None:
    if record is None:
        return None
    rule = tuple(tuple(row) for row in record.rule)
    objects, risk, held_out = (tuple(v) for v in (record.objects, record.risk, record.held_out))
    return Scene(objects, record.setting, record.intent, rule, risk, held_out)


def _draw(pairs: dict[str, list[IndexEntry]], limit: int, seed: int) -> dict[str, list[IndexEntry]]:
    """Whole pairs, one category after the other, until the next pair would exceed `limit` items."""
    smallest = min(len(group) for group in pairs.values())
    if limit < smallest:
        raise UserError(f"--limit {limit}: whole twin pairs are taken, so give at least {smallest}")
    by_category: dict[str, list[str]] = {}
    for name in sorted(pairs):
        by_category.setdefault(pairs[name][0].category, []).append(name)
    rng = random.Random(seed)
    for names in by_category.values():
        rng.shuffle(names)
    chosen: dict[str, list[IndexEntry]] = {}
    count = 0
    depth = max(len(names) for names in by_category.values())
    for name in (names[k] for k in range(depth) for names in by_category.values() if k < len(names)):
        if count + len(pairs[name]) <= limit:
            chosen[name] = pairs[name]
            count += len(pairs[name])
    return chosen
