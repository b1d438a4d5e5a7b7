"""Outcomes in columns: what a run's numbers are computed from, whether it has ten replies or ten thousand.

Each outcome is read once, under each estimand, by `readings`; from there on numpy does the work. No metric is
known here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsbench.formulas import Bools, Replies
from rsbench.readings import ESTIMANDS, Estimand, Facts, read_facts
from rsbench.stats import Clusters
from rsbench.types import Kind, Outcome, OutcomeStatus, Role, Safety

Ints = NDArray[np.intp]
Names = NDArray[Any]  # of str


class Labels(NamedTuple):
    """An outcome apart from its item: what is known of a reply, of a kind of item."""

    kind: Kind
    status: OutcomeStatus
    n_steps: int
    refusal: str  # the judge's word; empty without an answer's label
    facts: tuple[Facts, ...]  # as `ESTIMANDS` read it
    steps: tuple[tuple[int, Safety], ...]  # index and safety of each labelled step
    breaking_role: Role | None  # of the first unsafe step, where one was observed


class Line(NamedTuple):
    """One outcome on its way into a sheet."""

    item: str
    sample: int
    pair: str
    category: str
    labels: Labels


def labels_of(outcome: Outcome) -> Labels:
    """What is known of an outcome apart from its item."""
    known = read_facts(outcome)
    at = known[0].breaks_at
    role = next(step.role for step in outcome.steps if step.index == at) if at else None
    return Labels(
        outcome.kind,
        outcome.status,
        outcome.n_steps,
        outcome.answer.refusal if outcome.answer else "",
        known,
        tuple([(step.index, step.safety) for step in outcome.steps]),
        role,
    )


@dataclass(frozen=True)
class Members:
    """Units that numbers are averaged over, sorted by id: u items or pairs.

    Clusters, by id and by number, are twin pairs. The category of a pair across two is None.
    """

    ids: Names  # (u,)
    cluster_ids: Names
    clusters: Clusters
    categories: Names

    def of_some(self, chosen: Bools) -> "Members":
        """Those of the chosen units."""
        return Members(
            self.ids[chosen],
            self.cluster_ids[chosen],
            self.clusters.of_some(chosen),
            self.categories[chosen],
        )


@dataclass(frozen=True)
class Sheet:
    """The outcomes of a run: n samples of m items, sorted by item and sample.

    `pairs`, `categories` and `benign` are those of an item's first sample; `item` and `sample` are places in
    `ids` and `indexes`.
    """

    ids: tuple[str, ...]  # (m,)
    pairs: tuple[str, ...]  # (m,), empty for an item without a pair
    categories: tuple[str, ...]  # (m,)
    benign: Bools  # (m,)
    item: Ints  # (n,)
    sample: Ints  # (n,)
    indexes: tuple[int, ...]  # of samples within their item
    labels: tuple[Labels, ...]  # (n,)

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
        numbers = {sample: n for n, sample in enumerate(sorted({line.sample for line in lines}))}
        return cls(
            ids=tuple([line.item for line in firsts]),
            pairs=tuple([line.pair for line in firsts]),
            categories=tuple([line.category for line in firsts]),
            benign=np.array([line.labels.kind == "benign" for line in firsts], dtype=bool),
            item=np.array(items, dtype=np.intp),
            sample=np.array([numbers[line.sample] for line in lines], dtype=np.intp),
            indexes=tuple(numbers),
            labels=tuple([line.labels for line in lines]),
        )

    def __len__(self) -> int:
        return len(self.item)

    @cached_property
    def replies(self) -> dict[Estimand, Replies]:
        """The replies (n,) as each estimand reads them."""
        return {
            estimand: Replies.of([one.facts[place] for one in self.labels])
            for place, estimand in enumerate(ESTIMANDS)
        }

    @cached_property
    def items(self) -> Members:
        """All items. Without a pair, an item is a cluster of its own."""
        clusters = [pair or f"item:{name}" for name, pair in zip(self.ids, self.pairs, strict=True)]
        return Members(_names(self.ids), _names(clusters), Clusters.of(clusters), _names(self.categories))

    def of_kind(self, kind: Kind) -> tuple[Bools, Members]:
        """Which items are of a kind (m,), and who they are."""
        return self._kinds[kind]

    @cached_property
    def _kinds(self) -> dict[Kind, tuple[Bools, Members]]:
        chosen: dict[Kind, Bools] = {"benign": self.benign, "risky": ~self.benign}
        return {kind: (which, self.items.of_some(which)) for kind, which in chosen.items()}

    @cached_property
    def twins(self) -> Members:
        """All pairs of which both twins were planned; half a pair (`--limit`) could not count."""
        ids = [pair for pair, _, _ in self._twins]
        categories = [
            self.categories[risky] if self.categories[risky] == self.categories[benign] else None
            for _, risky, benign in self._twins
        ]
        return Members(_names(ids), _names(ids), Clusters.of(ids), _names(categories))

    @cached_property
    def pair_of(self) -> Ints:
        """The place (m,) of each item's pair in `twins`, or -1."""
        found = np.full(len(self.ids), -1, dtype=np.intp)
        for n, (_, risky, benign) in enumerate(self._twins):
            found[risky] = found[benign] = n
        return found

    @cached_property
    def _twins(self) -> list[tuple[str, int, int]]:
        """Pair, and the places of its risky item and of its benign twin, sorted by pair."""
        places: dict[bool, dict[str, int]] = {True: {}, False: {}}
        for n, (pair, is_benign) in enumerate(zip(self.pairs, self.benign.tolist(), strict=True)):
            if pair:
                places[is_benign][pair] = n
        risky, benign = places[False], places[True]
        return [(pair, risky[pair], benign[pair]) for pair in sorted(risky.keys() & benign.keys())]

    def keyed(self) -> Iterator[tuple[tuple[str, int], Labels]]:
        """Item and index of each sample, and its labels."""
        for item, sample, labels in zip(self.item.tolist(), self.sample.tolist(), self.labels, strict=True):
            yield (self.ids[item], self.indexes[sample]), labels

    def statuses(self) -> Counter[OutcomeStatus]:
        """Samples by status."""
        return Counter([labels.status for labels in self.labels])

    def steps(self) -> Counter[tuple[int, Safety]]:
        """Labelled steps by index and safety."""
        found: Counter[tuple[int, Safety]] = Counter()
        for labels in self.labels:
            found.update(labels.steps)
        return found


def line_of(outcome: Outcome) -> Line:
    """An outcome as a line."""
    return Line(outcome.item, outcome.sample, outcome.pair, outcome.category, labels_of(outcome))


def _names(names: Sequence[str | None]) -> Names:
    found: Names = np.empty(len(names), dtype=object)
    found[:] = names
    return found
