"""Outcomes in columns: what a run's numbers are computed from, whether it has ten replies or ten thousand.

Labels are words of short lists, so that many outcomes of a run are alike but for their item. Each distinct
one, a shape, is read once by the functions of `readings`; numpy does the rest. No metric is known here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsbench.readings import ESTIMANDS, Estimand, Reading, first_unsafe, read
from rsbench.stats import Clusters
from rsbench.types import AnswerLabel, Outcome, Role, StepLabel

Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Shape:
    """What outcomes of many items have in common: an outcome without item, role, words and probabilities.

    There is one object of each shape, as long as it is remembered: shapes are told apart by identity.
    """

    outcome: Outcome

    @cached_property
    def readings(self) -> dict[Estimand, Reading]:
        """The shape as each estimand reads it."""
        return {estimand: read(self.outcome, estimand) for estimand in ESTIMANDS}

    @cached_property
    def breaks_at(self) -> int:
        """Index of the first unsafe step, if it was observed, else 0."""
        step, _ = first_unsafe(self.readings["system"])
        return step.index if step else 0


def shape_of(outcome: Outcome) -> Shape:
    """An outcome's shape."""
    answer = outcome.answer
    return _shape(
        outcome.kind,
        outcome.status,
        outcome.n_steps,
        tuple([(step.index, step.safety, step.effectiveness, step.corrects) for step in outcome.steps]),
        (answer.safety, answer.effectiveness, answer.refusal) if answer else None,
        outcome.risk_identified,
    )


@lru_cache(maxsize=30_000)
def _shape(kind: Any, status: Any, n_steps: int, steps: Any, answer: Any, risk: bool | None) -> Shape:
    found = tuple([StepLabel(n, safety, worth, corrects=taken) for n, safety, worth, taken in steps])
    label = AnswerLabel(*answer) if answer else None
    return Shape(Outcome("", "", "", kind, 0, status, n_steps, found, label, risk))


class Line(NamedTuple):
    """One outcome on its way into a sheet; `role`: of its first unsafe step, where one was observed."""

    item: str
    sample: int
    pair: str
    category: str
    shape: Shape
    role: Role | None


def line_of(outcome: Outcome) -> Line:
    """An outcome as a line."""
    shape = shape_of(outcome)
    role = next((step.role for step in outcome.steps if step.index == shape.breaks_at), None)
    return Line(outcome.item, outcome.sample, outcome.pair, outcome.category, shape, role)


@dataclass(frozen=True)
class Sheet:
    """The outcomes of a run: n samples of m items, sorted by item and sample.

    `pairs`, `categories` and `benign` are those of an item's first sample; `item`, `sample` and `shape` are
    places in `ids`, `indexes` and `shapes`.
    """

    ids: tuple[str, ...]  # (m,)
    pairs: tuple[str, ...]  # (m,), empty for an item without a pair
    categories: tuple[str, ...]  # (m,)
    benign: NDArray[np.bool_]  # (m,)
    item: Ints  # (n,)
    sample: Ints  # (n,)
    shape: Ints  # (n,)
    roles: tuple[Role | None, ...]  # (n,), of the first unsafe step
    indexes: tuple[int, ...]  # of samples within their item
    shapes: tuple[Shape, ...]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Sheet":
        """From outcomes in any order.

        Raises:
            ValueError: if an item has two outcomes for one sample; it would count twice.
        """
        return cls.from_lines([line_of(outcome) for outcome in outcomes])

    @classmethod
    def from_lines(cls, lines: Sequence[Line]) -> "Sheet":
        """From lines in any order; no number hangs on it.

        Raises:
            ValueError: as `of`.
        """
        lines = sorted(lines, key=itemgetter(0, 1))
        firsts: list[Line] = []
        items: list[int] = []
        before: Line | None = None
        for line in lines:
            if before is None or line.item != before.item:
                firsts.append(line)
            elif line.sample == before.sample:
                raise ValueError(f"item {line.item!r} has two outcomes for sample {line.sample}")
            items.append(len(firsts) - 1)
            before = line
        places = {shape: n for n, shape in enumerate(dict.fromkeys(line.shape for line in lines))}
        numbers = {sample: n for n, sample in enumerate(sorted({line.sample for line in lines}))}
        return cls(
            ids=tuple([line.item for line in firsts]),
            pairs=tuple([line.pair for line in firsts]),
            categories=tuple([line.category for line in firsts]),
            benign=np.array([line.shape.outcome.kind == "benign" for line in firsts], dtype=bool),
            item=np.array(items, dtype=np.intp),
            sample=np.array([numbers[line.sample] for line in lines], dtype=np.intp),
            shape=np.array([places[line.shape] for line in lines], dtype=np.intp),
            roles=tuple([line.role for line in lines]),
            indexes=tuple(numbers),
            shapes=tuple(places),
        )

    def __len__(self) -> int:
        return len(self.item)

    def labels(self) -> Iterator[tuple[tuple[str, int], Outcome]]:
        """Item and index of each sample, and its shape as an outcome."""
        indexes = self.indexes
        for item, sample, shape in zip(
            self.item.tolist(), self.sample.tolist(), self.shape.tolist(), strict=True
        ):
            yield (self.ids[item], indexes[sample]), self.shapes[shape].outcome

    @cached_property
    def cluster_ids(self) -> tuple[str, ...]:
        """(m,): an item's pair, or itself without one."""
        return tuple([pair or f"item:{name}" for name, pair in zip(self.ids, self.pairs, strict=True)])

    @cached_property
    def clusters(self) -> Clusters:
        """The same as numbers."""
        return Clusters.of(self.cluster_ids)

    @cached_property
    def times(self) -> list[tuple[Shape, int]]:
        """Each shape, and how many samples have it."""
        counts = np.bincount(self.shape, minlength=len(self.shapes)).tolist()
        return list(zip(self.shapes, counts, strict=True))
