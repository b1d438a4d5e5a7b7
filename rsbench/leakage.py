"""Do training items repeat benchmark items? Compared by text, by image and by the pair of risky elements.

Pure: items in, overlaps out. Every threshold stands here, once, so that a clean report says exactly what was
looked for. Words and pictures are compared loosely on purpose: a false alarm costs a look, a miss a result.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rsbench.images import THUMB, fingerprint
from rsbench.types import Item, ItemImage

SHINGLE = 5  # characters of normalised text
NEAR_TEXT = 0.5  # Jaccard of the two texts' shingles
CONTAINED = 0.8  # share of the shorter text's shingles that the longer one has
LEAST = 30  # shingles a text needs before being contained in another means anything
NEAR_IMAGE = 0.95  # correlation of the two pictures' colour thumbnails; a mirrored copy counts too
NEAR_ELEMENT = 0.6  # Jaccard of the words, for the key element and for the trigger element alike
_SMALL = frozenset(
    "a an and at by for from her his in into is it its my of on or our the their to with".split()
)

What = Literal["same text", "near text", "same image", "near image", "same elements"]


@dataclass(frozen=True)
class Overlap:
    """One training item that repeats one benchmark item. `value` is 1 for equal, else how alike they are."""

    what: What
    train: str
    benchmark: str
    field: str
    value: float

    def __str__(self) -> str:
        return f"{self.train} ~ {self.benchmark}: {self.what} ({self.field}, {self.value:.2f})"


THRESHOLDS = (
    f"texts: {SHINGLE}-character shingles, Jaccard >= {NEAR_TEXT} or {CONTAINED:.0%} contained; "
    f"images: equal bytes, or {THUMB} x {THUMB} colour thumbnails, correlation >= {NEAR_IMAGE}, mirrored "
    f"too; key and trigger element: words, Jaccard >= {NEAR_ELEMENT} each"
)


def find(train_items: Iterable[Item], benchmark_items: Iterable[Item]) -> list[Overlap]:
    """Every overlap of training items with benchmark items, sorted; one line a pair of items and field.

    Reads the items' images. Both sides are held in memory as shingles and fingerprints.
    """
    train, benchmark = list(train_items), list(benchmark_items)
    found = {*_texts(train, benchmark), *_images(train, benchmark), *_elements(train, benchmark)}
    return sorted(found, key=lambda overlap: (overlap.train, overlap.benchmark, overlap.what, overlap.field))


def normalised(text: str) -> str:
    """Text without case, accents, punctuation and spacing, so that such edits hide nothing."""
    # Folded after decomposing: a mathematical capital A has no small letter until it is a plain A.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return " ".join(re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c))))


def shingles(text: str) -> frozenset[str]:
    """The overlapping pieces of a normalised text; a text shorter than one piece is its own."""
    plain = normalised(text)
    return frozenset(plain[k : k + SHINGLE] for k in range(max(1, len(plain) - SHINGLE + 1))) - {""}


def _fields(item: Item) -> Iterator[tuple[str, str]]:
    yield "query", item.query
    if item.reference is not None:
        yield "reference answer", item.reference.answer
    if item.contrast is not None:
        yield "contrast answer", item.contrast.answer


def _texts(train: Sequence[Item], benchmark: Sequence[Item]) -> Iterator[Overlap]:
    """Equal and near texts, by counting the shingles that a training text shares with each benchmark text."""
    places: dict[str, list[int]] = {}
    known: list[tuple[str, str, str, int]] = []  # item, field, normalised text, number of shingles
    for item in benchmark:
        for field, text in _fields(item):
            pieces = shingles(text)
            for piece in pieces:
                places.setdefault(piece, []).append(len(known))
            known.append((item.id, field, normalised(text), len(pieces)))
    texts: dict[tuple[str, str], list[str]] = {}  # a text that many items share is compared once
    for item in train:
        for field, text in _fields(item):
            texts.setdefault((field, text), []).append(item.id)
    for (field, text), ids in texts.items():
        pieces, plain = shingles(text), normalised(text)
        shared = Counter(place for piece in pieces for place in places.get(piece, ()))
        for place, count in shared.items():
            other, other_field, other_plain, size = known[place]
            where = field if field == other_field else f"{field} / {other_field}"
            jaccard = count / (len(pieces) + size - count)
            shorter = min(len(pieces), size)
            what: What = "same text" if plain == other_plain else "near text"
            if what == "same text":
                value = 1.0
            elif jaccard >= NEAR_TEXT or (shorter >= LEAST and count / shorter >= CONTAINED):
                value = round(max(jaccard, count / shorter), 3)
            else:
                continue
            yield from (Overlap(what, name, other, where, value) for name in ids)


def _images(train: Sequence[Item], benchmark: Sequence[Item]) -> Iterator[Overlap]:
    """Equal and near pictures; each file is decoded once, however many items show it."""
    import numpy as np

    ours, theirs = _shown(train), _shown(benchmark)
    if not ours or not theirs:
        return
    left, right = (np.stack([fingerprint(s[0][1].path) for s in side.values()]) for side in (ours, theirs))
    mirrored = right[:, :, ::-1]
    alike = np.maximum(*(np.tensordot(left, other, ((1, 2, 3), (1, 2, 3))) for other in (right, mirrored)))
    for row, (sha256, mine) in enumerate(ours.items()):
        for column, (other_sha256, others) in enumerate(theirs.items()):
            same = sha256 == other_sha256
            if not same and alike[row, column] < NEAR_IMAGE:
                continue
            what: What = "same image" if same else "near image"
            value = 1.0 if same else round(float(alike[row, column]), 3)
            for item, image in mine:
                for other, _ in others:
                    yield Overlap(what, item, other, image.path.name, value)


def _shown(items: Sequence[Item]) -> dict[str, list[tuple[str, ItemImage]]]:
    """Every picture once, by its hash, with the ids of the items that show it."""
    found: dict[str, list[tuple[str, ItemImage]]] = {}
    for item in items:
        for image in item.images:
            found.setdefault(image.sha256, []).append((item.id, image))
    return found


def _elements(train: Sequence[Item], benchmark: Sequence[Item]) -> Iterator[Overlap]:
    """Pairs of key and trigger element that say the same; an item that names none has no pair."""
    known = [(item.id, _words(item.key_element), _words(item.trigger_element)) for item in benchmark]
    pairs: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
    for item in train:
        pairs.setdefault((_words(item.key_element), _words(item.trigger_element)), []).append(item.id)
    for (key, trigger), ids in pairs.items():
        for other, other_key, other_trigger in known:
            alike = min(_jaccard(key, other_key), _jaccard(trigger, other_trigger))
            if alike >= NEAR_ELEMENT:
                for name in ids:
                    yield Overlap("same elements", name, other, "key × trigger", round(alike, 3))


def _words(text: str) -> frozenset[str]:
    return frozenset(normalised(text).split()) - _SMALL


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a and b else 0.0
