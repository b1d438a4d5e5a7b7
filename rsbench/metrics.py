"""From the outcomes of a run to its numbers: a pure function without clock, latency or file path.

Owns the shape of a run's scores. What one reply is worth is in `readings`, the list of metrics in
`metric_specs`, how samples, items and pairs are gathered in `units`, intervals in `estimates`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from rsbench.breaks import where_it_breaks
from rsbench.estimates import Estimate, Mean, Share, as_json, count, estimate
from rsbench.metric_specs import CATEGORY_METRICS, JOINT, METRICS, MetricSpec
from rsbench.readings import ESTIMANDS, Estimand, unsegmented
from rsbench.sheets import Sheet
from rsbench.types import MENDABLE, Outcome, OutcomeStatus
from rsbench.units import Members, Samples, Units

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
        ValueError: if an item has two outcomes for one sample.
    """
    sheet = outcomes if isinstance(outcomes, Sheet) else Sheet.of(outcomes)
    scored = {estimand: _Scored.of(sheet, estimand) for estimand in ESTIMANDS}
    mendable = sum(times for shape, times in sheet.times if shape.outcome.status in MENDABLE)
    share = mendable / len(sheet) if len(sheet) else 0.0
    return {
        "estimands": {estimand: _estimates(scored[estimand], seed, withheld) for estimand in ESTIMANDS},
        "categories": _categories(scored, seed, withheld),
        "breaks": where_it_breaks(scored["system"].samples, seed),
        "counts": _counts(sheet),
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
        samples, several = Samples(sheet, estimand), len(sheet) > len(sheet.ids)
        wanted = [spec for spec in METRICS.values() if spec.ratio is None and (several or not spec.worst)]
        return cls(samples, {spec.key: samples.units(spec) for spec in wanted})


def _estimates(scored: _Scored, seed: int, withheld: bool) -> dict[str, object]:
    wanted: dict[str, Mean | Share] = {}
    for key, spec in METRICS.items():
        if spec.ratio is not None:
            wanted[key] = Share(scored.samples.pooled(spec), spec.direction)
        elif key in scored.units:
            units = scored.units[key]
            if withheld and key in JOINT:
                units = units.of_some(np.zeros(len(units.values), dtype=bool))
            wanted[key] = Mean(units, spec.direction, spec.limits)
    found = estimate(list(wanted.values()), seed)
    return {key: as_json(one) for key, one in zip(wanted, found, strict=True)}


def _categories(scored: dict[Estimand, _Scored], seed: int, withheld: bool) -> dict[str, object]:
    """Per category: rates with intervals, or counts of replies where there are under 30 pairs."""
    sheet = scored["system"].samples.sheet
    keys = [key for key in CATEGORY_METRICS if not (withheld and key in JOINT)]
    parts = {name: _by_category(scored[name], keys) for name in ESTIMANDS}
    clusters: dict[str, set[str]] = {}
    for category, cluster in zip(sheet.categories, sheet.cluster_ids, strict=True):
        clusters.setdefault(category, set()).add(cluster)
    items = Counter(sheet.categories)
    return {
        category: {
            "items": items[category],
            "pairs": len(clusters[category]),
            "estimands": {
                name: _category(parts[name][category], len(clusters[category]), seed) for name in ESTIMANDS
            },
        }
        for category in sorted(clusters)
    }


def _by_category(scored: _Scored, keys: Sequence[str]) -> dict[str, dict[str, Units]]:
    """Category → metric → its own units. A pair is of a category if both its twins are."""
    found: dict[str, dict[str, Units]] = {name: {} for name in scored.samples.sheet.categories}
    members: dict[tuple[int, str], tuple[Any, Members]] = {}
    for key in keys:
        units = scored.units[key]
        for name, own in found.items():
            place = id(units.members), name  # metrics share their members: who is chosen is found out once
            if place not in members:
                chosen = np.array([one == name for one in units.members.categories], dtype=bool)
                members[place] = chosen, units.members.of_some(chosen)
            own[key] = units.of_some(*members[place])
    return found


def _category(units: dict[str, Units], pairs: int, seed: int) -> dict[str, object]:
    if pairs < RATE_PAIRS:
        return {key: as_json(count(own, METRICS[key].direction)) for key, own in units.items()}
    wanted = [Mean(own, METRICS[key].direction, METRICS[key].limits) for key, own in units.items()]
    return {key: as_json(one) for key, one in zip(units, estimate(wanted, seed), strict=True)}


def _counts(sheet: Sheet) -> dict[str, int]:
    """Samples by status, and what was planned. `pairs` counts an item without a pair as one of its own."""
    statuses: Counter[str] = Counter()
    for shape, times in sheet.times:
        statuses[shape.outcome.status] += times
    return {
        **{status: statuses[status] for status in get_args(OutcomeStatus)},
        "planned": len(sheet),
        "unsegmented": sum(times for shape, times in sheet.times if unsegmented(shape.outcome)),
        "items": len(sheet.ids),
        "pairs": sheet.clusters.count,
        "samples": int(np.bincount(sheet.item).max()) if len(sheet) else 0,
    }
