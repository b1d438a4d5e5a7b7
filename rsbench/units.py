"""From the samples of a run to the units that a metric is averaged over: items, or whole twin pairs.

A unit's value is the mean over those of its samples that have one; its bounds are what that mean would be
were everything missing as bad, or as good, as can be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import isnan

import numpy as np
from numpy.typing import NDArray

from rsbench.metric_specs import MetricSpec
from rsbench.readings import Estimand, Reading, Score
from rsbench.sheets import Ints, Sheet
from rsbench.stats import Clusters

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Members:
    """Which units there are, sorted by id: u items or pairs. Clusters, by id and by number, are twin pairs."""

    ids: tuple[str, ...]
    cluster_ids: tuple[str, ...]
    clusters: Clusters
    categories: tuple[str | None, ...]  # None: a pair across two

    def of_some(self, chosen: Bools) -> "Members":
        """Those of the chosen units."""

        def some(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple([value for value, wanted in zip(values, chosen.tolist(), strict=True) if wanted])

        categories = tuple([c for c, wanted in zip(self.categories, chosen.tolist(), strict=True) if wanted])
        return Members(some(self.ids), some(self.cluster_ids), self.clusters.of_some(chosen), categories)


@dataclass(frozen=True)
class Units:
    """One averaged metric: a value a unit, NaN where missing, with its bounds, all (u,).

    `known` counts the scores behind a value, `ones` those of them that are 1.
    """

    members: Members
    values: Floats
    lows: Floats
    highs: Floats
    known: Ints
    ones: Ints

    @classmethod
    def of(cls, members: Members, values: Floats) -> "Units":
        """Units of one score each, none of them missing."""
        one = np.ones(len(values), dtype=np.intp)
        return cls(members, values, values, values, one, (values == 1).astype(np.intp))

    def by_id(self) -> dict[str, float]:
        """Id → value, of the units that have one."""
        return {
            unit: value
            for unit, value in zip(self.members.ids, self.values.tolist(), strict=True)
            if not isnan(value)
        }

    def of_some(self, chosen: Bools, members: Members | None = None) -> "Units":
        """The chosen units; `members` says who they are, if that is known already."""
        return Units(
            members or self.members.of_some(chosen),
            self.values[chosen],
            self.lows[chosen],
            self.highs[chosen],
            self.known[chosen],
            self.ones[chosen],
        )


@dataclass(frozen=True)
class Pooled:
    """A metric summed over all replies: numerator and denominator of each item, (m,)."""

    clusters: Clusters
    numerators: Ints
    denominators: Ints


@dataclass(frozen=True)
class _Scores:
    """Scores of samples: value (NaN where missing), and what it could be at least and at most, all (n,)."""

    values: Floats
    lows: Floats
    highs: Floats

    @classmethod
    def of_truths(cls, truths: Floats) -> "_Scores":
        """1, 0, or missing between 0 and 1."""
        missing = np.isnan(truths)
        return cls(truths, np.where(missing, 0.0, truths), np.where(missing, 1.0, truths))


class Samples:
    """The samples of a run under one estimand, and the units that they make for each metric."""

    def __init__(self, sheet: Sheet, estimand: Estimand) -> None:
        self.sheet = sheet
        self._readings = [shape.readings[estimand] for shape in sheet.shapes]

    def units(self, spec: MetricSpec) -> Units:
        """The items (or whole pairs) that could count for an averaged metric.

        Raises:
            ValueError: if the metric is a ratio summed over all replies, which has no value per item.
        """
        if spec.ratio is not None:
            raise ValueError(f"{spec.key} is a ratio over all replies and has no value per item")
        if spec.paired:
            return self._pair_units(spec)
        if spec.worst:
            found = self._worst(spec)
        elif spec.score is not None:
            found = self.averaged(spec.score)
        else:
            found = _means(self.items, self.sheet.item, _Scores.of_truths(self._truths(spec)))
        return found if spec.kind is None else found.of_some(*self._kinds[spec.kind])

    def averaged(self, score: Callable[[Reading], Score]) -> Units:
        """All items, with the mean of a score over the samples that have one."""
        scores = [score(reading) for reading in self._readings]
        values = [np.nan if score.value is None else score.value for score in scores]
        columns = (values, [score.low for score in scores], [score.high for score in scores])
        table = [np.array(column, dtype=np.float64)[self.sheet.shape] for column in columns]
        return _means(self.items, self.sheet.item, _Scores(*table))

    def pooled(self, spec: MetricSpec) -> Pooled:
        """Numerator and denominator of each item, summed over its samples."""
        assert spec.ratio is not None, f"{spec.key} is averaged"
        table = np.array([spec.ratio(reading) for reading in self._readings], dtype=np.intp).reshape(-1, 2)
        tops, bottoms = (
            np.bincount(self.sheet.item, column[self.sheet.shape], len(self.sheet.ids)).astype(np.intp)
            for column in table.T
        )
        return Pooled(self.sheet.clusters, tops, bottoms)

    @cached_property
    def items(self) -> Members:
        """All items."""
        sheet = self.sheet
        return Members(sheet.ids, sheet.cluster_ids, sheet.clusters, sheet.categories)

    @cached_property
    def pairs(self) -> Members:
        """All pairs of which both twins were planned; half a pair (`--limit`) could not count."""
        sheet = self.sheet
        twins = [(sheet.categories[risky], sheet.categories[benign]) for _, risky, benign in self._twins]
        ids = tuple([pair for pair, _, _ in self._twins])
        categories = tuple([one if one == other else None for one, other in twins])
        return Members(ids, ids, Clusters.of(ids), categories)

    @cached_property
    def _kinds(self) -> dict[str, tuple[Bools, Members]]:
        benign = self.sheet.benign
        chosen = {"benign": benign, "risky": ~benign}
        return {kind: (which, self.items.of_some(which)) for kind, which in chosen.items()}

    @cached_property
    def _twins(self) -> list[tuple[str, int, int]]:
        """Pair, and the places of its risky item and of its benign twin, sorted by pair."""
        places: dict[bool, dict[str, int]] = {True: {}, False: {}}
        for n, (pair, benign) in enumerate(zip(self.sheet.pairs, self.sheet.benign.tolist(), strict=True)):
            if pair:
                places[benign][pair] = n
        risky, benign = places[False], places[True]
        return [(pair, risky[pair], benign[pair]) for pair in sorted(risky.keys() & benign.keys())]

    def _truths(self, spec: MetricSpec) -> Floats:
        """1, 0 or NaN for every sample."""
        assert spec.truth is not None, f"{spec.key} is no true-or-false property of a reply"
        of_shape = [np.nan if (truth := spec.truth(r)) is None else float(truth) for r in self._readings]
        found: Floats = np.array(of_shape, dtype=np.float64)[self.sheet.shape]
        return found

    def _worst(self, spec: MetricSpec) -> Units:
        """False if any sample is, else missing if any is."""
        truths, item = self._truths(spec), self.sheet.item
        places = np.arange(len(self.sheet.ids))
        return _means(self.items, places, _Scores.of_truths(_all_of(truths, item, places.size)))

    def _pair_units(self, spec: MetricSpec) -> Units:
        """Whether both twins have the property, by sample index; a sample that one twin lacks is missing."""
        truths, sheet = self._truths(spec), self.sheet
        pair_of = np.full(len(sheet.ids), -1, dtype=np.intp)
        for n, (_, risky, benign) in enumerate(self._twins):
            pair_of[[risky, benign]] = n
        chosen = pair_of[sheet.item] >= 0
        both = np.stack([pair_of[sheet.item], sheet.sample], axis=1)[chosen]
        which, place, count = np.unique(both, axis=0, return_inverse=True, return_counts=True)
        found = _all_of(truths[chosen], place.reshape(-1), len(which))
        found = np.where((count < 2) & (found != 0), np.nan, found)
        return _means(self.pairs, which[:, 0], _Scores.of_truths(found))


def _all_of(truths: Floats, group: Ints, groups: int) -> Floats:
    """Kleene conjunction within each group: 0 if any is 0, else NaN if any is missing, else 1."""
    false = np.bincount(group, truths == 0, groups) > 0
    missing = np.bincount(group, np.isnan(truths), groups) > 0
    return np.where(false, 0.0, np.where(missing, np.nan, 1.0))


def _means(members: Members, unit: Ints, scores: _Scores) -> Units:
    """Units from the scores of their samples; `unit` (n,) says whose each score is."""
    size = len(members.ids)
    there = ~np.isnan(scores.values)
    total = np.bincount(unit, minlength=size)
    known = np.bincount(unit, there, size)

    def sums(column: Floats) -> Floats:
        return np.bincount(unit, column, size).astype(np.float64, copy=False)

    with np.errstate(invalid="ignore"):  # nothing known: 0 / 0 is NaN, missing
        values = sums(np.where(there, scores.values, 0.0)) / known
    return Units(
        members,
        values,
        sums(scores.lows) / total,
        sums(scores.highs) / total,
        known.astype(np.intp),
        sums(scores.values == 1).astype(np.intp),
    )
