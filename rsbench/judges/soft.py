"""Probabilities of labels, read off the tokens that the judge's provider gave alternatives for.

Nothing is estimated from a sample: a label whose share the alternatives leave open has no probability.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import get_args

from rsbench.types import Effectiveness, Reply, Safety, Token

_UNSURE = 0.02  # most mass on beginnings of more than one label ("un": unsafe, unclear)


def label_probabilities(
    reply: Reply, start: int, key: str, expected: Sequence[str]
) -> list[Mapping[str, float] | None]:
    """For each label of one key in the JSON object that begins at `start`, how likely each label was there.

    Args:
        reply: Of the judge.
        start: Offset in its text.
        key: "safety" or "effectiveness".
        expected: The labels in the order of the text; None for all if they are not in it.
    """
    labels = get_args(Safety if key == "safety" else Effectiveness)
    # Inside a JSON string quotes are escaped, so that text quoted there is no match.
    found = list(re.finditer(rf'"{key}"\s*:\s*"({"|".join(labels)})"', reply.text[start:]))
    if [match[1] for match in found] != list(expected):
        return [None] * len(expected)
    return [distribution(reply, start + match.start(1), labels) for match in found]


def distribution(reply: Reply, offset: int, labels: Sequence[str]) -> Mapping[str, float] | None:
    """How likely each label was at `offset` of a reply's text, by the alternatives of the token there.

    Letter case is no difference. None: no tokens, tokens of another text, or alternatives that leave it open.
    """
    whole = _bytes("".join(token.text for token in reply.tokens))
    if not reply.tokens or whole != _bytes(reply.text):
        return None
    token, begun = _token_at(reply.tokens, len(_bytes(reply.text[:offset])))
    mass, unsure = dict.fromkeys(labels, 0.0), 0.0
    for text, logp in token.top:
        said = _bytes(text).decode("utf-8", "replace").casefold()
        if _bytes(text)[:begun] != _bytes(token.text)[:begun]:
            continue  # other white space or quotes: not the same place
        said = _bytes(text)[begun:].decode("utf-8", "replace").casefold()
        fits = [label for label in labels if _begins(said, label.casefold())]
        if len(fits) == 1:
            mass[fits[0]] += math.exp(logp)
        elif fits:
            unsure += math.exp(logp)
    return mass if unsure <= _UNSURE and any(mass.values()) else None


def share(mass: Mapping[str, float] | None, label: str, among: Sequence[str]) -> float | None:
    """The probability of a label among some; None if nothing is known of them."""
    total = sum(mass[one] for one in among) if mass else 0.0
    return round(mass[label] / total, 6) if mass and total else None


def _token_at(tokens: Sequence[Token], offset: int) -> tuple[Token, int]:
    """The token that covers a byte, and how many of its bytes lie before it."""
    at = 0
    for token in tokens:
        length = len(_bytes(token.text))
        if at + length > offset:
            return token, offset - at
        at += length
    raise ValueError(f"no token at byte {offset}")


def _begins(said: str, label: str) -> bool:
    """Whether a token is the beginning of a label, or the label and something that ends it."""
    if said.startswith(label):
        return not said[len(label) : len(label) + 1].isalnum()
    return bool(said) and label.startswith(said)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
