"""Outcomes in columns: what a run's numbers are computed from, whether it has ten replies or ten thousand.

Each outcome is read once, under each estimand, by `readings`; from there on numpy does the work. No metric is
known here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsbench.readings import Bools, Estimand, Labels, Replies, labels_of, read
from rsbench.stats import Clusters
from rsbench.types import Kind, Outcome, OutcomeStatus

Ints = NDArray[np.intp]
Names = NDArray[Any]  # of str


class Head(NamedTuple):
    """Whose outcome it is."""

    item: str
    sample: int
    pair: str
    category: str
    kind: Kind


Line = tuple[Head, Labels]


def line_of(outcome: Outcome) -> Line:
    """An outcome as a line of a sheet."""
    o = outcome
    return Head(o.item, o.sample, o.pair, o.category, o.kind), labels_of(o)


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


@dataclass(frozen=True, eq=False)
class Layout:
    """Whose n samples a sheet holds: m items, sorted by id, and their samples by index.

    `item` and `sample` are places in `ids` and `indexes`. Runs of one task share their layout.
    """

    ids: tuple[str, ...]  # (m,)
    pairs: tuple[str, ...]  # (m,), empty for an item without a pair
    categories: tuple[str, ...]  # (m,)
    benign: Bools  # (m,)
    item: Ints  # (n,)
    sample: Ints  # (n,)
    indexes: tuple[int, ...]  # of samples within their item
    order: tuple[int, ...]  # (n,), where each came from

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


@lru_cache(maxsize=8)
def layout_of(heads: tuple[Head, ...]) -> Layout:
    """The layout of samples in any order.

    Raises:
        ValueError: if an item has two for one index, which would count twice, or samples of two pairs,
            categories or kinds.
    """
    order = sorted(range(len(heads)), key=heads.__getitem__)
    firsts: list[Head] = []
    items: list[int] = []
    before: Head | None = None
    for head in map(heads.__getitem__, order):
        if before is None or head.item != before.item:
            firsts.append(head)
        elif head.sample == before.sample:
            raise ValueError(f"item {head.item!r} has two outcomes for sample {head.sample}")
        elif head[2:] != before[2:]:
            raise ValueError(f"item {head.item!r} has two pairs, categories or kinds")
        items.append(len(firsts) - 1)
        before = head
    numbers = {sample: n for n, sample in enumerate(sorted({head.sample for head in heads}))}
    return Layout(
        ids=tuple([head.item for head in firsts]),
        pairs=tuple([head.pair for head in firsts]),
        categories=tuple([head.category for head in firsts]),
        benign=np.array([head.kind == "benign" for head in firsts], dtype=bool),
        item=np.array(items, dtype=np.intp),
        sample=np.array([numbers[heads[place].sample] for place in order], dtype=np.intp),
        indexes=tuple(numbers),
        order=tuple(order),
    )


@dataclass(frozen=True)
class Sheet:
    """The outcomes of a run: n samples of m items, in the order of their layout."""

    layout: Layout
    labels: tuple[Labels, ...]  # (n,)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Sheet":
        """From outcomes in any order.

        Raises:
            ValueError: as `layout_of`.
        """
        return cls.from_lines([line_of(outcome) for outcome in outcomes])

    @classmethod
    def from_lines(cls, lines: Sequence[Line]) -> "Sheet":
        """From lines in any order; no number hangs on it.

        Raises:
            ValueError: as `layout_of`.
        """
        layout = layout_of(tuple([head for head, _ in lines]))
        labels = [labels for _, labels in lines]
        return cls(layout, tuple([labels[place] for place in layout.order]))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def replies(self) -> dict[Estimand, Replies]:
        """The replies (n,) as each estimand reads them."""
        return read(self.labels)

    def keyed(self) -> Iterator[tuple[tuple[str, int], Labels]]:
        """Item and index of each sample, and its labels."""
        layout = self.layout
        places = zip(layout.item.tolist(), layout.sample.tolist(), self.labels, strict=True)
        for item, sample, labels in places:
            yield (layout.ids[item], layout.indexes[sample]), labels

    def statuses(self) -> Counter[OutcomeStatus]:
        """Samples by status."""
        return Counter([labels.status for labels in self.labels])

    def steps(self) -> Counter[tuple[int, str]]:
        """Steps by index and by the letter of their safety."""
        found: Counter[tuple[int, str]] = Counter()
        for letters, times in Counter([labels.safety for labels in self.labels]).items():
            for place in enumerate(letters, 1):
                found[place] += times
        return found


def _names(names: Sequence[str | None]) -> Names:
    found: Names = np.empty(len(names), dtype=object)
    found[:] = names
    return found
