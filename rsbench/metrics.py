"""From the outcomes of a run to its numbers: a pure function without clock, latency or file path.

Owns the shape of a run's scores. What replies are worth is in `formulas`, the list of metrics in
`metric_specs`, how samples, items and pairs are gathered in `units`, intervals in `estimates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from rsbench.breaks import where_it_breaks
from rsbench.estimates import Estimate, Mean, RatioOfSums, as_json, count, estimate
from rsbench.metric_specs import CATEGORY_METRICS, JOINT, METRICS, MetricSpec
from rsbench.readings import ESTIMANDS, Bools, Estimand
from rsbench.sheets import Members, Sheet
from rsbench.types import MENDABLE, Outcome, OutcomeStatus
from rsbench.units import Samples, Units

__all__ = ["METRICS", "Estimate", "MetricSpec", "score_outcomes"]

RATE_PAIRS = 30  # a category with fewer pairs shows counts, not rates
COMPLETE_SHARE = 0.02  # up to this share of error, unparsed and missing samples, a run is complete


def score_outcomes(
    outcomes: Sequence[Outcome] | Sheet, seed: int = 0, withheld: bool = False
) -> dict[str, Any]:
    """All numbers of one run, JSON-ready; the same for any order of `outcomes`.

    Args:
        outcomes: One a planned sample.
        seed: Of the bootstraps.
        withheld: Whether image or query was withheld: metrics that presuppose the risk are then blank (n 0).

    Returns:
        `estimands` (estimand → metric → estimate), `categories` (category → items, pairs, estimands),
        `breaks` (see `breaks.where_it_breaks`), `counts` of samples by status, with `planned` samples,
        `unsegmented` replies, `items`, `pairs` and `samples` per item at most, `mendable_share` of the
        planned samples that a re-run could mend, and `complete`: something was planned and at most 2 % of it
        is mendable. "Worst of k" metrics are there only if some item has several samples.

    Raises:
        ValueError: if an item has two outcomes for one sample, or samples of two pairs, categories or kinds.
    """
    sheet = outcomes if isinstance(outcomes, Sheet) else Sheet.of(outcomes)
    scored = {estimand: _Scored.of(sheet, estimand) for estimand in ESTIMANDS}
    mendable = sum(count for status, count in sheet.statuses().items() if status in MENDABLE)
    share = mendable / len(sheet) if len(sheet) else 0.0
    return {
        "estimands": {estimand: _estimates(scored[estimand], seed, withheld) for estimand in ESTIMANDS},
        "categories": _categories(scored, seed, withheld),
        "breaks": where_it_breaks(scored["system"].samples, seed),
        "counts": _counts(scored["system"].samples),
        "mendable_share": round(share, 6),
        "complete": len(sheet) > 0 and share <= COMPLETE_SHARE,
    }


@dataclass(frozen=True)
class _Scored:
    """The units of each averaged metric under one estimand, scored once for all of its tables."""

    samples: Samples
    units: dict[str, Units]

    @classmethod
    def of(cls, sheet: Sheet, estimand: Estimand) -> "_Scored":
        samples, several = Samples(sheet, estimand), len(sheet) > len(sheet.layout.ids)
        wanted = [spec for spec in METRICS.values() if spec.ratio is None and (several or not spec.worst)]
        return cls(samples, {spec.key: samples.units(spec) for spec in wanted})


def _estimates(scored: _Scored, seed: int, withheld: bool) -> dict[str, object]:
    wanted: dict[str, Mean | RatioOfSums] = {}
    for key, spec in METRICS.items():
        if spec.ratio is not None:
            wanted[key] = RatioOfSums(scored.samples.pooled(spec), spec.direction)
        elif key in scored.units:
            units = scored.units[key]
            if withheld and key in JOINT:
                units = units.of_some(np.zeros(len(units.values), dtype=bool))
            wanted[key] = Mean(units, spec.direction, spec.limits)
    found = estimate(list(wanted.values()), seed)
    return {key: as_json(one) for key, one in zip(wanted, found, strict=True)}


def _categories(scored: dict[Estimand, _Scored], seed: int, withheld: bool) -> dict[str, object]:
    """Per category: rates with intervals, or counts of replies where there are under 30 pairs."""
    items = scored["system"].samples.layout.items
    keys = [key for key in CATEGORY_METRICS if not (withheld and key in JOINT)]
    table: dict[str, object] = {}
    for category in sorted(set(items.categories.tolist())):
        own = items.of_some(items.categories == category)
        parts = {name: _of_category(scored[name], keys, category) for name in ESTIMANDS}
        table[category] = {
            "items": len(own.ids),
            "pairs": own.clusters.count,
            "estimands": {name: _category(parts[name], own.clusters.count, seed) for name in ESTIMANDS},
        }
    return table


def _of_category(scored: _Scored, keys: Sequence[str], category: str) -> dict[str, Units]:
    """Each metric's units of a category. A pair is of a category if both its twins are."""
    known: dict[int, tuple[Bools, Members]] = {}  # metrics share their members: found out once
    found = {}
    for key in keys:
        units = scored.units[key]
        place = id(units.members)
        if place not in known:
            chosen = units.members.categories == category
            known[place] = chosen, units.members.of_some(chosen)
        found[key] = units.of_some(*known[place])
    return found


def _category(units: dict[str, Units], pairs: int, seed: int) -> dict[str, object]:
    if pairs < RATE_PAIRS:
        return {key: as_json(count(own, METRICS[key].direction)) for key, own in units.items()}
    wanted = [Mean(own, METRICS[key].direction, METRICS[key].limits) for key, own in units.items()]
    return {key: as_json(one) for key, one in zip(units, estimate(wanted, seed), strict=True)}


def _counts(samples: Samples) -> dict[str, int]:
    """Samples by status, and what was planned. `pairs` counts an item without a pair as one of its own."""
    layout, statuses = samples.layout, samples.sheet.statuses()
    return {
        **{status: statuses[status] for status in get_args(OutcomeStatus)},
        "planned": len(samples.sheet),
        "unsegmented": int(samples.replies.unsegmented.sum()),
        "items": len(layout.ids),
        "pairs": layout.items.clusters.count,
        "samples": int(np.bincount(layout.item).max()) if len(layout.item) else 0,
    }
