"""Batches out of questions: the tensors a model takes, and where in its log-probabilities each score lies.

Nothing is random here: the order of questions is the sampler's business, so that a resumed run sees what an
unbroken one would. Both layouts give the same scores; only time and memory differ.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from rsbench.types import UserError
from srpo_train.questions import Question
from srpo_train.rows import Row, padded_rows, tree_row

Layout = Literal["tree", "padded"]
Score = Literal["own", "whole", "reference"]
IGNORED = -100  # label of a token that no score asks for
RopeIndex = Callable[..., tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Collator:
    """Questions → one batch: `model` holds the model's own inputs, the rest says how to score.

    Per score, `<score>_token` are flat positions in the log-probabilities `(rows, seq − 1)` and
    `<score>_target` the branch (or question) that each counts for. `pairs` are (pair, 3): question,
    favourable branch, unfavourable branch; branches are numbered through the batch.
    """

    pad_id: int
    layout: Layout = "tree"
    scores: frozenset[Score] = frozenset({"own", "whole"})
    rope_index: RopeIndex | None = None  # of models whose positions are not 0, 1, 2, … (Qwen-VL)

    def __call__(self, questions: Sequence[Question]) -> dict[str, Any]:
        """Make the batch."""
        with_reference = "reference" in self.scores
        rows: list[tuple[int, Row]] = []
        for number, question in enumerate(questions):
            if self.layout == "tree":
                rows.append((number, tree_row(question, with_reference)))
            else:
                rows += [(number, row) for row in padded_rows(question, with_reference)]
        scored = self._scored(questions, rows)
        length = max(len(row.ids) for _, row in rows)
        return {
            "model": self._inputs(questions, rows, length, scored),
            **_score_tensors(scored, length),
            **_pair_tensors(questions),
        }

    def _scored(
        self, questions: Sequence[Question], rows: list[tuple[int, Row]]
    ) -> dict[Score, list[tuple[int, int, int]]]:
        """Per score: (row, position of the token in the row, target)."""
        first = _offsets(questions)
        found: dict[Score, list[tuple[int, int, int]]] = {score: [] for score in sorted(self.scores)}
        for n, (q, row) in enumerate(rows):
            for score, tokens in (("own", row.own), ("whole", row.whole)):
                if score in found:
                    found[score] += [(n, at, first[q] + b) for b, places in tokens.items() for at in places]
            if "reference" in found:
                found["reference"] += [(n, at, q) for at in row.reference]
        return found

    def _inputs(
        self,
        questions: Sequence[Question],
        rows: list[tuple[int, Row]],
        length: int,
        scored: dict[Score, list[tuple[int, int, int]]],
    ) -> dict[str, torch.Tensor]:
        ids = torch.full((len(rows), length), self.pad_id)
        for n, (_, row) in enumerate(rows):
            ids[n, : len(row.ids)] = torch.tensor(row.ids)
        labels = torch.full_like(ids, IGNORED)
        for places in scored.values():
            if places:
                n, at, _ = torch.tensor(places).T
                labels[n, at] = ids[n, at]
        inputs = {"input_ids": ids, "labels": labels}
        for name in questions[0].token_types:
            inputs[name] = _token_types(questions, rows, ids, name)
        inputs |= _stack_media([questions[q].media for q, _ in rows])
        if self.layout == "padded":
            lengths = torch.tensor([len(row.ids) for _, row in rows])
            inputs["attention_mask"] = (torch.arange(length) < lengths[:, None]).long()
            return inputs
        inputs["attention_mask"] = _visible([row for _, row in rows], length)
        inputs["position_ids"] = self._positions(questions, rows, length)
        return inputs

    def _positions(
        self, questions: Sequence[Question], rows: list[tuple[int, Row]], length: int
    ) -> torch.Tensor:
        """(rows, seq), or (3, rows, seq) where the model has a rule of its own for its trunk."""
        axes = 1 if self.rope_index is None else 3
        positions = torch.zeros(axes, len(rows), length, dtype=torch.long)
        for n, (q, row) in enumerate(rows):
            positions[:, n, : row.trunk] = self._trunk(questions[q], row)
            for segment in row.segments:
                start = positions[:, n, segment.repeats, None]
                positions[:, n, segment.start : segment.end] = start + torch.arange(
                    segment.end - segment.start
                )
        return positions[0] if self.rope_index is None else positions

    def _trunk(self, question: Question, row: Row) -> torch.Tensor:
        if self.rope_index is None:
            return torch.arange(row.trunk)
        ids = torch.tensor([row.ids[: row.trunk]])
        known = dict(question.media)
        for name, types in question.token_types.items():
            known[name] = torch.tensor([[*types, *[0] * (row.trunk - row.prompt)]])
        accepted = inspect.signature(self.rope_index).parameters
        places, _ = self.rope_index(ids, **{name: known[name] for name in known if name in accepted})
        return places[:, 0]


def collator_for(model: Any, pad_id: int, layout: Layout, scores: frozenset[Score]) -> Collator:
    """A collator that suits a model.

    Raises:
        UserError: the tree layout, and an attention that takes no mask of its shape.
    """
    attention = getattr(model.config.get_text_config(), "_attn_implementation", "eager")
    if layout == "tree" and attention not in ("sdpa", "eager"):
        raise UserError(
            f"layout: tree needs attention sdpa or eager, and the model was opened with {attention!r}; "
            "open it with attn_implementation sdpa, or set layout: padded"
        )
    rope = getattr(getattr(model, "model", None), "get_rope_index", None)
    return Collator(pad_id, layout, scores, rope)


def _offsets(questions: Sequence[Question]) -> list[int]:
    """Number in the batch of each question's first branch."""
    first, total = [], 0
    for question in questions:
        first.append(total)
        total += len(question.branches)
    return first


def _score_tensors(scored: dict[Score, list[tuple[int, int, int]]], length: int) -> dict[str, torch.Tensor]:
    tensors = {}
    for score, places in scored.items():
        table = torch.tensor(places, dtype=torch.long).reshape(-1, 3)
        # log-probability i of a row is that of token i + 1
        tensors[f"{score}_token"] = table[:, 0] * (length - 1) + table[:, 1] - 1
        tensors[f"{score}_target"] = table[:, 2]
    return tensors


def _pair_tensors(questions: Sequence[Question]) -> dict[str, torch.Tensor]:
    first = _offsets(questions)
    pairs = [
        (q, first[q] + pair.favourable, first[q] + pair.unfavourable)
        for q, question in enumerate(questions)
        for pair in question.pairs
    ]
    groups: dict[tuple[int, tuple[int, ...]], int] = {}
    branches = [(q, branch) for q, question in enumerate(questions) for branch in question.branches]
    grouped = [groups.setdefault((q, branch.prefix_ids), len(groups)) for q, branch in branches]
    return {
        "pairs": torch.tensor(pairs, dtype=torch.long).reshape(-1, 3),
        "pair_weights": torch.tensor([pair.weight for question in questions for pair in question.pairs]),
        "branch_question": torch.tensor([q for q, _ in branches], dtype=torch.long),
        "branch_group": torch.tensor(grouped, dtype=torch.long),
        "branch_favourable": torch.tensor([float(branch.favourable) for _, branch in branches]),
        "branch_before": torch.tensor([branch.before for _, branch in branches], dtype=torch.float64),
        "n_questions": torch.tensor(len(questions)),
    }


def _token_types(
    questions: Sequence[Question], rows: list[tuple[int, Row]], ids: torch.Tensor, name: str
) -> torch.Tensor:
    types = torch.zeros_like(ids)
    for n, (q, row) in enumerate(rows):
        types[n, : row.prompt] = torch.tensor(questions[q].token_types[name])
    return types


def _stack_media(media: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Join the image tensors of rows along their first dimension; smaller ones are filled up with zeros."""
    stacked = {}
    for name in media[0]:
        parts = [one[name] for one in media]
        shape = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
        filled = []
        for part in parts:
            room = part.new_zeros((part.shape[0], *shape))
            room[tuple(slice(size) for size in part.shape)] = part
            filled.append(room)
        stacked[name] = torch.cat(filled)
    return stacked


def _visible(rows: list[Row], length: int) -> torch.Tensor:
    """(rows, 1, seq, seq) of bool: whether a position (third axis) may look at another (fourth)."""
    seen = torch.zeros(len(rows), length, length, dtype=torch.bool)
    for n, row in enumerate(rows):
        seen[n, : row.trunk, : row.trunk] = torch.ones(row.trunk, row.trunk).tril().bool()
        for s in row.segments:
            seen[n, s.start : s.end, list(s.visible)] = True
            seen[n, s.start : s.end, s.start : s.end] = (
                torch.ones(s.end - s.start, s.end - s.start).tril().bool()
            )
    seen |= torch.eye(length, dtype=torch.bool)  # padding sees itself: an empty softmax is NaN
    return seen[:, None]
