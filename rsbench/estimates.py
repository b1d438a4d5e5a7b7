"""From scored units (an item, or a twin pair) to one number with its interval, bounds and counts.

Owns the choice of interval and what a missing unit does to n and to the bounds; knows no metric by name.
Undefined is None everywhere: a mean of nothing is not 0, and one cluster has no standard error.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import fsum, isfinite
from typing import Literal

import numpy as np

from rsbench.bootstrap import Ratio, cluster_bootstraps
from rsbench.metric_specs import Direction, Range
from rsbench.readings import Floats
from rsbench.stats import Clusters, Interval, effective_n, wilson
from rsbench.units import Pooled, Units

Method = Literal["wilson-cluster", "cluster-bootstrap", "count"]


@dataclass(frozen=True)
class Estimate:
    """One number of a run.

    `value` is the mean over the `n` units (items, or pairs) that have one; `low` and `high` are its 95 %
    interval; `bound_low` and `bound_high` are what it would be were everything missing as bad, or as good, as
    can be; `planned` counts the units that could have counted, `scored_share` is n / planned, and `clusters`
    are the twin pairs among the n. With method "count" (too few pairs for a rate) value, interval and bounds
    are None, and `numerator` of `denominator` scored replies are given instead.
    """

    value: float | None
    low: float | None
    high: float | None
    bound_low: float | None
    bound_high: float | None
    n: int
    planned: int
    clusters: int
    scored_share: float | None
    direction: Direction
    method: Method
    numerator: int | None = None
    denominator: int | None = None


@dataclass(frozen=True)
class Mean:
    """A mean over units that is asked for.

    `limits` are the least and the greatest value a unit can take; where one is infinite, there are no bounds.
    """

    units: Units
    direction: Direction
    limits: Range = (0.0, 1.0)


@dataclass(frozen=True)
class RatioOfSums:
    """A ratio over all replies that is asked for: sum of numerators over sum of denominators."""

    pooled: Pooled
    direction: Direction


def estimate(wanted: Sequence[Mean | RatioOfSums], seed: int) -> list[Estimate]:
    """An estimate of each; together, because their bootstraps share draws.

    The interval of a mean is Wilson's with the effective n if every unit sits at one of the two limits (a
    proportion), else the cluster bootstrap. So a StepSafe of 1 on every item is treated as the proportion it
    is, and not as certain. A ratio has no bounds: a missing reply could have had any number of steps.
    """
    found = [_mean(one) if isinstance(one, Mean) else _ratio_of_sums(one) for one in wanted]
    drawn = iter(cluster_bootstraps([ratio for _, ratio in found if ratio], seed))
    return [one if ratio is None else _with(one, next(drawn)) for one, ratio in found]


def _mean(wanted: Mean) -> tuple[Estimate, Ratio | None]:
    """The estimate, and what is still to be resampled for its interval."""
    units, limits = wanted.units, wanted.limits
    scored = ~np.isnan(units.values)
    values, clusters = units.values[scored], units.members.clusters.of_some(scored)
    planned = len(units.values)
    bounded = all(isfinite(limit) for limit in limits)
    binary = bounded and bool(((values == limits[0]) | (values == limits[1])).all())
    found = Estimate(
        value=_average(values),
        low=None,
        high=None,
        bound_low=_average(units.lows) if bounded else None,
        bound_high=_average(units.highs) if bounded else None,
        n=len(values),
        planned=planned,
        clusters=clusters.count,
        scored_share=len(values) / planned if planned else None,
        direction=wanted.direction,
        method="wilson-cluster" if binary else "cluster-bootstrap",
    )
    if not len(values):
        return found, None
    if binary:
        return _with(found, _wilson(values, clusters, limits)), None
    return found, Ratio(values, np.ones(len(values)), clusters)


def _ratio_of_sums(wanted: RatioOfSums) -> tuple[Estimate, Ratio | None]:
    """As `_mean`."""
    pooled = wanted.pooled
    used = pooled.denominators > 0
    tops, bottoms = pooled.numerators[used], pooled.denominators[used]
    clusters, planned = pooled.clusters.of_some(used), len(used)
    found = Estimate(
        value=int(tops.sum()) / int(bottoms.sum()) if len(tops) else None,
        low=None,
        high=None,
        bound_low=None,
        bound_high=None,
        n=len(tops),
        planned=planned,
        clusters=clusters.count,
        scored_share=len(tops) / planned if planned else None,
        direction=wanted.direction,
        method="cluster-bootstrap",
    )
    return found, Ratio(tops, bottoms, clusters) if len(tops) else None


def count(units: Units, direction: Direction) -> Estimate:
    """How many scored replies have the property, of how many: for groups too small for a rate.

    For binary metrics only: the numerator counts the scores of 1.
    """
    scored = units.known > 0
    planned, n = len(units.known), int(scored.sum())
    return Estimate(
        value=None,
        low=None,
        high=None,
        bound_low=None,
        bound_high=None,
        n=n,
        planned=planned,
        clusters=units.members.clusters.of_some(scored).count,
        scored_share=n / planned if planned else None,
        direction=direction,
        method="count",
        numerator=int(units.ones.sum()),
        denominator=int(units.known.sum()),
    )


def as_json(estimate: Estimate) -> dict[str, object]:
    """The estimate as a JSON object, floats rounded to six places so that platforms agree on the bytes."""
    return {key: rounded(value) for key, value in asdict(estimate).items()}


def rounded(value: object) -> object:
    """A float rounded to six places, without a negative zero; anything else as it is."""
    return round(value, 6) + 0.0 if isinstance(value, float) else value


def _with(found: Estimate, interval: Interval | None) -> Estimate:
    return replace(found, low=interval[0], high=interval[1]) if interval else found


def _average(values: Floats) -> float | None:
    """The mean, from the exact sum: the same for any order, and on any machine."""
    if not len(values):
        return None
    whole = bool((values == np.rint(values)).all())  # no rounding in any order
    return (float(values.sum()) if whole else fsum(values.tolist())) / len(values)


def _wilson(values: Floats, clusters: Clusters, limits: Range) -> Interval:
    """Wilson on the values moved to 0 and 1, moved back."""
    low, width = limits[0], limits[1] - limits[0]
    shares = (values - low) / width
    interval = wilson(float(shares.mean()), effective_n(shares, clusters))
    return low + width * interval[0], low + width * interval[1]
