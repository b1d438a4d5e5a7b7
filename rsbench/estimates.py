"""From scored units (an item, or a twin pair) to one number with its interval, bounds and counts.

Owns the choice of interval and what a missing unit does to n and to the bounds; knows no metric by name.
Undefined is None everywhere: a mean of nothing is not 0, and one cluster has no standard error.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Literal

from rsbench.readings import Score
from rsbench.stats import Interval, cluster_bootstrap_mean, cluster_bootstrap_ratio, effective_n, wilson

Direction = Literal["higher", "lower", "neither"]  # neither: context, such as the number of steps
Method = Literal["wilson-cluster", "cluster-bootstrap", "count"]
Range = tuple[float, float]


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
class Unit:
    """An item (or pair) with the scores of its samples. `cluster` is the twin pair."""

    id: str
    cluster: str
    scores: tuple[Score, ...]

    @property
    def value(self) -> float | None:
        """Mean over the samples that have a value; None if none has."""
        if len(self.scores) == 1:  # nearly every run; the mean of one is that one
            return self.scores[0].value
        known = [score.value for score in self.scores if score.value is not None]
        return sum(known) / len(known) if known else None

    @property
    def low(self) -> float:
        """Mean over all samples, each as low as it could be."""
        if len(self.scores) == 1:
            return self.scores[0].low
        return sum(score.low for score in self.scores) / len(self.scores)

    @property
    def high(self) -> float:
        """Mean over all samples, each as high as it could be."""
        if len(self.scores) == 1:
            return self.scores[0].high
        return sum(score.high for score in self.scores) / len(self.scores)


@dataclass(frozen=True)
class Pooled:
    """An item's summed numerator and denominator, for ratios over all replies."""

    id: str
    cluster: str
    numerator: int
    denominator: int


def estimate_mean(units: Sequence[Unit], direction: Direction, limits: Range, seed: int) -> Estimate:
    """Mean over units.

    `limits` are the least and the greatest value a unit can take; where one is infinite, there are no bounds.

    The interval is Wilson's with the effective n if every unit sits at one of the two limits (a proportion),
    else the cluster bootstrap. So a StepSafe of 1 on every item is treated as the proportion it is, and not
    as certain.
    """
    scored = [(value, unit.cluster) for unit in units if (value := unit.value) is not None]
    values, clusters = [value for value, _ in scored], [cluster for _, cluster in scored]
    bounded = all(isfinite(limit) for limit in limits)
    binary = bounded and all(value in limits for value in values)
    interval: Interval | None = None
    if values and binary:
        interval = _wilson(values, clusters, limits)
    elif values:
        interval = cluster_bootstrap_mean(values, clusters, seed)
    return Estimate(
        value=sum(values) / len(values) if values else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        bound_low=sum([unit.low for unit in units]) / len(units) if units and bounded else None,
        bound_high=sum([unit.high for unit in units]) / len(units) if units and bounded else None,
        n=len(values),
        planned=len(units),
        clusters=len(set(clusters)),
        scored_share=len(values) / len(units) if units else None,
        direction=direction,
        method="wilson-cluster" if binary else "cluster-bootstrap",
    )


def estimate_ratio(units: Sequence[Pooled], direction: Direction, seed: int) -> Estimate:
    """Sum of numerators over sum of denominators.

    No bounds: a missing reply could have had any number of steps.
    """
    used = [unit for unit in units if unit.denominator]
    tops, bottoms = [unit.numerator for unit in used], [unit.denominator for unit in used]
    clusters = [unit.cluster for unit in used]
    interval = cluster_bootstrap_ratio(tops, bottoms, clusters, seed) if used else None
    return Estimate(
        value=sum(tops) / sum(bottoms) if used else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        bound_low=None,
        bound_high=None,
        n=len(used),
        planned=len(units),
        clusters=len(set(clusters)),
        scored_share=len(used) / len(units) if units else None,
        direction=direction,
        method="cluster-bootstrap",
    )


def estimate_count(units: Sequence[Unit], direction: Direction) -> Estimate:
    """How many scored replies have the property, of how many: for groups too small for a rate.

    For binary metrics only: the numerator counts the scores of 1.
    """
    known = [score.value for unit in units for score in unit.scores if score.value is not None]
    scored = [unit for unit in units if unit.value is not None]
    return Estimate(
        value=None,
        low=None,
        high=None,
        bound_low=None,
        bound_high=None,
        n=len(scored),
        planned=len(units),
        clusters=len({unit.cluster for unit in scored}),
        scored_share=len(scored) / len(units) if units else None,
        direction=direction,
        method="count",
        numerator=sum(value == 1 for value in known),
        denominator=len(known),
    )


def as_json(estimate: Estimate) -> dict[str, object]:
    """The estimate as a JSON object, floats rounded to six places so that platforms agree on the bytes."""
    return {key: rounded(value) for key, value in asdict(estimate).items()}


def rounded(value: object) -> object:
    """A float rounded to six places, without a negative zero; anything else as it is."""
    return round(value, 6) + 0.0 if isinstance(value, float) else value


def _wilson(values: list[float], clusters: list[str], limits: Range) -> Interval:
    """Wilson on the values moved to 0 and 1, moved back."""
    low, width = limits[0], limits[1] - limits[0]
    shares = [(value - low) / width for value in values]
    interval = wilson(sum(shares) / len(shares), effective_n(shares, clusters))
    return low + width * interval[0], low + width * interval[1]
