"""Where a question's tokens stand in a row, and what each may see: the geometry of both layouts, no tensors.

padded: one row a branch, prompt and images repeated in each. What preference trainers do, and our oracle.
tree:   one row a question: prompt, reference path, then every branch. A branch sees what precedes its branch
        point and itself; the token before the branch point is repeated at its head, at the same position, so
        that the ordinary next-token shift scores the branch's first token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from srpo_train.questions import Question, shared_length


@dataclass(frozen=True)
class Segment:
    """Row positions `[start, end)`; they see `visible` and themselves, the first repeats token `repeats`."""

    start: int
    end: int
    repeats: int
    visible: tuple[int, ...]


@dataclass
class Row:
    """Tokens of one row. The first `trunk` are an ordinary causal sequence, the rest is in segments.

    `own[b]`, `whole[b]`: row positions of the tokens of branch b, and of prefix + branch; `reference`: of the
    reference path.
    """

    ids: list[int]
    trunk: int
    prompt: int
    segments: list[Segment] = field(default_factory=list)
    own: dict[int, list[int]] = field(default_factory=dict)
    whole: dict[int, list[int]] = field(default_factory=dict)
    reference: list[int] = field(default_factory=list)


def padded_rows(question: Question, with_reference: bool) -> list[Row]:
    """One row a branch, and if wanted one for the reference path."""
    prompt, rows = len(question.prompt_ids), []
    for number, branch in enumerate(question.branches):
        ids = [*question.prompt_ids, *branch.prefix_ids, *branch.ids]
        row = Row(ids, len(ids), prompt)
        row.own[number] = list(range(prompt + len(branch.prefix_ids), len(ids)))
        row.whole[number] = list(range(prompt, len(ids)))
        rows.append(row)
    if with_reference or not rows:
        ids = [*question.prompt_ids, *question.path_ids]
        rows.append(Row(ids, len(ids), prompt, reference=list(range(prompt, len(ids)))))
    return rows


def tree_row(question: Question, with_reference: bool) -> Row:
    """Everything in one row.

    A prefix that leaves the reference path becomes a segment of its own, off which its branches go. Of the
    reference path no more is kept than some branch sees, unless it is scored itself.
    """
    prompt, path = len(question.prompt_ids), question.path_ids
    cuts = [shared_length(branch.prefix_ids, path) for branch in question.branches]
    kept = len(path) if with_reference else max(cuts, default=0)
    row = Row([*question.prompt_ids, *path[:kept]], prompt + kept, prompt)
    if with_reference:
        row.reference = list(range(prompt, prompt + kept))
    contexts: dict[tuple[int, ...], list[int]] = {}
    for number, (branch, cut) in enumerate(zip(question.branches, cuts, strict=True)):
        context = contexts.get(branch.prefix_ids)
        if context is None:
            context = list(range(prompt + cut))
            if cut < len(branch.prefix_ids):
                context = context + _append(row, context, branch.prefix_ids[cut:])
            contexts[branch.prefix_ids] = context
        row.own[number] = _append(row, context, branch.ids)
        row.whole[number] = context[prompt:] + row.own[number]
    return row


def _append(row: Row, context: Sequence[int], ids: Sequence[int]) -> list[int]:
    """Put a segment at the row's end; returns the positions of its tokens, the repeated one left out."""
    start = len(row.ids)
    row.ids += [row.ids[context[-1]], *ids]
    row.segments.append(Segment(start, len(row.ids), context[-1], tuple(context[:-1])))
    return list(range(start + 1, len(row.ids)))
