"""What a reward judge knows of a step: its embedding, its likeness to request, captions, note, reference.

Shared by training and judging, so that both see the same numbers. It reads no label and no contrast path, nor
whether the item is risky; without hints the two likenesses to hints are zero and a flag says so.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsbench.types import Item

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

HEADS = ("unsafe", "effective", "ineffective", "names_risk")  # order of the rows of the weights
VERSION = "1"  # of the features; part of the judge's identity
_HEAD = re.compile(r"^\W*(?:(?:step\s*)?\d{1,3}\s*[^\w\s]+|answer\s*:)\W*", re.IGNORECASE)
_WEIGHT = 5.0  # of one likeness against one number of the embedding, which are some twenty times smaller


@dataclass(frozen=True)
class Context:
    """What a step is read against. `note` and `reference` are empty without hints."""

    request: str
    captions: str
    note: str = ""
    reference: tuple[str, ...] = ()
    hints: bool = True


def context_of(item: Item, hints: bool) -> Context:
    """The context that an item gives; the image is known by its caption alone."""
    captions = " ".join(image.caption for image in item.images)
    if not hints:
        return Context(item.query, captions, hints=False)
    steps = item.reference.steps if item.reference else ()
    return Context(item.query, captions, item.note, tuple(step.text for step in steps))


def bare(text: str) -> str:
    """A step without its number, an answer without that word: authored steps, learnt from, have neither."""
    return _HEAD.sub("", text).strip() or text


def texts_of(context: Context, texts: Sequence[str]) -> list[str]:
    """All that `features` will embed for these texts."""
    return [*map(bare, texts), *_given([context.request, context.captions, context.note, *context.reference])]


def features(embed: Embed, text: str, context: Context, is_answer: bool) -> Vectors:
    """One row of numbers: the text's embedding, then seven likenesses and flags."""
    own = embed([bare(text)])[0]
    request, captions = (_likeness(embed, own, [words]) for words in (context.request, context.captions))
    note = _likeness(embed, own, [context.note]) if context.hints else []
    reference = _likeness(embed, own, context.reference) if context.hints else []
    rest = [
        max(request, default=0.0),
        max(captions, default=0.0),
        float(is_answer),
        float(context.hints),
        max(note, default=0.0),
        max(reference, default=0.0),
        sum(reference) / max(len(reference), 1),
    ]
    return np.concatenate([own, np.array(rest, dtype=np.float32) * np.float32(_WEIGHT)])


def _likeness(embed: Embed, own: Vectors, texts: Sequence[str]) -> list[float]:
    """Cosine to each text that is not empty."""
    given = _given(texts)
    return [float(value) for value in embed(given) @ own] if given else []


def _given(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if text.strip()]
