"""What a words judge sees of a step: its words and word pairs, crossed with the item's kind.

Shared by training and judging, so that both see the same features. Words that the caption, the note or the
request has too are replaced by where they come from: what a step says of the picture then reads the same
whatever is in it, and a thing that nothing speaks of stands out as new.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rsbench.types import Item, Kind

VERSION = "1"  # of the features; part of the judge's identity
# Where a word is from: the item's caption, its note, captions of other items, their notes.
PLACES = ("<shown>", "<noted>", "<other>", "<foreign>")
NEW = "<new>"  # from nowhere, and in no text that training saw
_HEAD = re.compile(r"^\s*(?:step\s*\d{1,3}|answer)\s*:\s*", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SMALL = frozenset(
    "a an and are as at be but by can for from has have he her his i if in into is it its let me my no not "
    "nothing of on or our she so such that the their them there they this to together up us user want wants "
    "was we what which who will with would you your image picture request good answer could declines helps "
    "makes says dangerous lead".split()
)
_BINS = 5
_SHORT = 2  # a text with fewer words that mean something says nothing by their share


@dataclass(frozen=True)
class Context:
    """What a step is read against; sets of words that mean something."""

    kind: Kind
    shown: frozenset[str]
    noted: frozenset[str]
    asked: frozenset[str]
    reference: tuple[frozenset[str], ...]  # of its steps
    answer: frozenset[str]


def context_of(item: Item) -> Context:
    """The context that an item gives with its hints. It holds no label, and nothing of the contrast path."""
    path = item.reference
    return Context(
        item.kind,
        content(" ".join(image.caption for image in item.images)),
        content(item.note),
        content(item.query),
        tuple(content(step.text) for step in path.steps) if path else (),
        content(path.answer) if path else frozenset(),
    )


def words(text: str) -> list[str]:
    """Lower-case words, without the number of a step or the word that marks an answer."""
    return _WORD.findall(_HEAD.sub("", text).lower())


def content(text: str) -> frozenset[str]:
    """The words that mean something."""
    return frozenset(words(text)) - _SMALL


@dataclass(frozen=True)
class Known:
    """The words that training saw."""

    words: frozenset[str]  # of the authored texts
    captions: frozenset[str]  # of the items: a step may name what its own picture does not show …
    notes: frozenset[str]  # … or warn of what its own note does not speak of


def tokens(text: str, context: Context, known: Known) -> list[str]:
    """The words in order, things by where they come from; neighbours from one place are one."""
    found: list[str] = []
    for word in words(text):
        token = word
        if word not in _SMALL:
            places = (context.shown, context.noted, known.captions, known.notes)
            token = next((name for name, place in zip(PLACES, places, strict=True) if word in place), word)
        if not found or token != found[-1] or not token.startswith("<"):
            found.append(token)
    return found


def unknown(text: str, context: Context, known: Known) -> float:
    """Share of the words that mean something which are unknown; 1 for a text that has none."""
    own = {token for token in tokens(text, context, known) if token not in _SMALL}
    return sum(not t.startswith("<") and t not in known.words for t in own) / len(own) if own else 1.0


def features(text: str, context: Context, is_answer: bool, known: Known) -> list[str]:
    """The names of the features that a text has, each once."""
    part = "answer" if is_answer else "step"
    said = [t if t.startswith("<") or t in known.words else NEW for t in tokens(text, context, known)]
    own = ["<start>", *said, "<end>"]
    found = [f"{context.kind} {part}", *own, *(" ".join(two) for two in pairwise(own))]
    mine = content(text)
    against = [context.answer] if is_answer else [*context.reference]
    shares = {
        "shown": _share(mine, [context.shown]),
        "noted": _share(mine, [context.noted]),
        "asked": _share(mine, [context.asked]),
        "reference": _share(mine, against),
    }
    found += [f"{part} {name} {share}" for name, share in shares.items()]
    return list(dict.fromkeys(f"{context.kind}: {name}" for name in found))


def _share(mine: frozenset[str], given: Sequence[frozenset[str]]) -> int:
    """How much of a text stands in one of the given ones, in fifths: 5 only if all does, -1 if too short."""
    if len(mine) < _SHORT:
        return -1
    return int(_BINS * max((len(mine & other) for other in given), default=0) / len(mine))
