"""A reference path as text and as token ids, with the places where its steps end.

Cut by the character offsets of the tokens of the whole text, not by tokenising prefixes one by one: a
tokenizer may join what stands left and right of a cut, and a prefix must be, token by token, a beginning.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsbench.types import AuthoredPath, UserError


@dataclass(frozen=True)
class TokenPath:
    """The first k steps are `ids[: cuts[k]]`, and of `text` what is before `starts[k]`."""

    text: str
    ids: tuple[int, ...]
    cuts: tuple[int, ...]
    starts: tuple[int, ...]

    @property
    def n_steps(self) -> int:
        """Steps before the answer."""
        return len(self.cuts) - 1


@dataclass(frozen=True)
class StepCut:
    """Where a step of a branch ends: so many of its tokens, and of its characters."""

    tokens: int
    chars: int


def path_text(path: AuthoredPath) -> tuple[str, tuple[int, ...]]:
    """The path as a reply writes it, and the character where each step begins, the answer's at the end."""
    text, starts = "", []
    for number, step in enumerate(path.steps, 1):
        starts.append(len(text))
        text += f"Step {number}: {' '.join(step.text.split())}\n"
    return f"{text}Answer: {path.answer.strip()}", (*starts, len(text))


def token_path(path: AuthoredPath, tokenizer: Any, where: str) -> TokenPath:
    """Tokenise a path and find where its steps end.

    Raises:
        UserError: the tokenizer gives no character offsets, or a token reaches over the end of a step.
    """
    text, starts = path_text(path)
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"{where}: the tokenizer {type(tokenizer).__name__} gives no character offsets, so steps "
            "can't be found among its tokens; take a checkpoint with a fast tokenizer (tokenizer.json)"
        )
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in encoded["offset_mapping"]]
    cuts = tuple(bisect_right(ends, start) if start else 0 for start in starts)
    for start, cut in zip(starts, cuts, strict=True):
        if cut < len(ends) and encoded["offset_mapping"][cut][0] < start:
            near = text[max(0, start - 20) : start + 10]
            raise UserError(f"{where}: a token reaches over the end of a step, near {near!r}")
    return TokenPath(text, tuple(encoded["input_ids"]), cuts, starts)


def branch_text(tokenizer: Any, prefix_ids: Sequence[int], ids: Sequence[int]) -> str:
    """What a branch says. Decoded behind its prefix: some tokenizers drop the space a text begins with."""
    before, whole = (
        tokenizer.decode(some, skip_special_tokens=True) for some in (prefix_ids, [*prefix_ids, *ids])
    )
    if whole.startswith(before):
        return str(whole[len(before) :])
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def branch_steps(tokenizer: Any, prefix_ids: Sequence[int], ids: Sequence[int], text: str) -> list[StepCut]:
    """Where each numbered step of a branch ends, if a token ends there too; the answer is none."""
    cuts = []
    for kept in range(1, len(ids)):
        said = branch_text(tokenizer, prefix_ids, ids[:kept])
        begins_next = re.match(r"Step \d|Answer:", text[len(said) :])
        if begins_next and said.endswith("\n") and text.startswith(said):
            cuts.append(StepCut(kept, len(said)))
    return cuts
