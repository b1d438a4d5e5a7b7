"""From the samples of a run to the units that a metric is averaged over: items, or whole twin pairs.

A unit's value is the mean over those of its samples that have one; its bounds are what that mean would be
were everything missing as bad, or as good, as can be.
"""

from dataclasses import dataclass
from math import isnan

import numpy as np

from rsbench.formulas import Scores
from rsbench.metric_specs import MetricSpec
from rsbench.readings import Bools, Estimand, Floats
from rsbench.sheets import Ints, Members, Sheet
from rsbench.stats import Clusters


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
            for unit, value in zip(self.members.ids.tolist(), self.values.tolist(), strict=True)
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


class Samples:
    """The samples of a run under one estimand, and the units that they make for each metric."""

    def __init__(self, sheet: Sheet, estimand: Estimand) -> None:
        self.sheet, self.layout = sheet, sheet.layout
        self.replies = sheet.replies[estimand]

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
        else:
            found = self.averaged(
                spec.score(self.replies) if spec.score else Scores.of_truths(self._truths(spec))
            )
        return found if spec.kind is None else found.of_some(*self.layout.of_kind(spec.kind))

    def averaged(self, scores: Scores) -> Units:
        """All items, with the mean over the samples that have a score."""
        return _means(self.layout.items, self.layout.item, scores)

    def pooled(self, spec: MetricSpec) -> Pooled:
        """Numerator and denominator of each item, summed over its samples."""
        assert spec.ratio is not None, f"{spec.key} is averaged"
        tops, bottoms = (
            np.bincount(self.layout.item, column, len(self.layout.ids)).astype(np.intp)
            for column in spec.ratio(self.replies)
        )
        return Pooled(self.layout.items.clusters, tops, bottoms)

    def _truths(self, spec: MetricSpec) -> Floats:
        """1, 0 or NaN for every sample."""
        assert spec.truth is not None, f"{spec.key} is no true-or-false property of a reply"
        return spec.truth(self.replies)

    def _worst(self, spec: MetricSpec) -> Units:
        """False if any sample is, else missing if any is."""
        truths, item = self._truths(spec), self.layout.item
        places = np.arange(len(self.layout.ids))
        return _means(self.layout.items, places, Scores.of_truths(_all_of(truths, item, places.size)))

    def _pair_units(self, spec: MetricSpec) -> Units:
        """Whether both twins have the property, by sample index; a sample that one twin lacks is missing."""
        truths, layout = self._truths(spec), self.layout
        pair = layout.pair_of[layout.item]
        chosen = pair >= 0
        numbers = pair * len(layout.indexes) + layout.sample  # of pair and sample
        which, place, count = np.unique(numbers[chosen], return_inverse=True, return_counts=True)
        found = _all_of(truths[chosen], place, len(which))
        found = np.where((count < 2) & (found != 0), np.nan, found)
        return _means(layout.twins, which // max(1, len(layout.indexes)), Scores.of_truths(found))


def _all_of(truths: Floats, group: Ints, groups: int) -> Floats:
    """Kleene conjunction within each group: 0 if any is 0, else NaN if any is missing, else 1."""
    false = np.bincount(group, truths == 0, groups) > 0
    missing = np.bincount(group, np.isnan(truths), groups) > 0
    return np.where(false, 0.0, np.where(missing, np.nan, 1.0))


def _means(members: Members, unit: Ints, scores: Scores) -> Units:
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
