"""One training question: a prompt with its images, a reference path, and branches off it, all as token ids.

The unit of batches and of weighting: whatever the number of its pairs, a question counts once. Ids, never
text: the prefix that a pair shares is then the same tokens by construction.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Continuation:
    """A branch: `ids` follow prompt and `prefix_ids`; the stop token is among them if it ended by itself."""

    prefix_ids: tuple[int, ...]
    ids: tuple[int, ...]
    favourable: bool
    before: float = 0.0  # summed log-probability under the model that training started from, where asked for


@dataclass(frozen=True)
class ChosenPair:
    """Two branches of one prefix by their numbers; `weight` is relative to the question's other pairs."""

    favourable: int
    unfavourable: int
    weight: float = 1.0


@dataclass(frozen=True)
class Question:
    """All that one row of a batch is made of."""

    item: str
    prompt_ids: tuple[int, ...]
    path_ids: tuple[int, ...]  # the reference path, stop token included
    branches: tuple[Continuation, ...]
    pairs: tuple[ChosenPair, ...]
    media: "dict[str, torch.Tensor]" = field(default_factory=dict)  # what the processor made of the images
    token_types: dict[str, tuple[int, ...]] = field(default_factory=dict)  # per-token inputs of the prompt


def shared_length(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """How many tokens two sequences begin with alike."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
