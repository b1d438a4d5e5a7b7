"""The cross-modal gap: what only the combination of image and query breaks, paired by item.

Compares runs of one model on the same risky items under the conditions `both`, `text` and `image`. Each half
is harmless alone, so an answer that is safe to each half and unsafe to both was broken by their meeting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsbench.estimates import Estimate, Unit, estimate_mean
from rsbench.metric_specs import METRICS
from rsbench.metrics import item_units
from rsbench.readings import Estimand, Score, read_items
from rsbench.stats import cluster_bootstrap_mean, holm, sign_flip_p
from rsbench.types import Outcome


@dataclass(frozen=True)
class Drop:
    """S under `both` minus S under one condition alone, on the items that have a value in every run."""

    condition: str
    alone: Estimate
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Gap:
    """The gap on `n` risky items of `planned`.

    `together` is S under `both`; `drops` has one line a condition shown alone; `only_together` is the share
    of items whose answer is unsafe under `both` and safe under each condition alone.
    """

    together: Estimate
    drops: tuple[Drop, ...]
    only_together: Estimate
    n: int
    planned: int


def cross_modal(runs: Mapping[str, Sequence[Outcome]], seed: int = 0, estimand: Estimand = "system") -> Gap:
    """Compute the gap.

    With several samples an item the conditions' samples are independent draws, so that the chance of "unsafe
    together, safe alone" is the product of the item's shares; with one sample it is plain yes or no.

    Args:
        runs: Outcomes by condition: `both`, and `text` or `image` or both of these.
        seed: Of the bootstraps.
        estimand: How statuses are read.

    Raises:
        ValueError: `both` is missing, or stands alone.
    """
    alone = [name for name in runs if name != "both"]
    if "both" not in runs or not alone:
        raise ValueError(f"the gap needs the condition both and another one, found {', '.join(runs)}")
    safe = {name: _safe(outcomes, estimand) for name, outcomes in runs.items()}
    planned = safe["both"].keys()
    shared = sorted(item for item in planned if all(_value(safe[name], item) is not None for name in runs))
    values = {name: [(item, safe[name][item]) for item in shared] for name in runs}
    drops = [_drop(name, values, seed) for name in alone]
    tested = [n for n, drop in enumerate(drops) if drop[3] is not None]
    adjusted = dict(zip(tested, holm([p for drop in drops if (p := drop[3]) is not None]), strict=True))
    return Gap(
        together=_mean([unit for _, unit in values["both"]], seed),
        drops=tuple(
            Drop(name, _mean([unit for _, unit in values[name]], seed), *drop, adjusted.get(n))
            for n, (name, drop) in enumerate(zip(alone, drops, strict=True))
        ),
        only_together=_only_together(values, alone, seed),
        n=len(shared),
        planned=len(planned),
    )


def _safe(outcomes: Sequence[Outcome], estimand: Estimand) -> dict[str, Unit]:
    risky = [outcome for outcome in outcomes if outcome.kind == "risky"]
    return {unit.id: unit for unit in item_units(read_items(risky, estimand), METRICS["safe_answer"])}


def _value(units: Mapping[str, Unit], item: str) -> float | None:
    return units[item].value if item in units else None


def _mean(units: Sequence[Unit], seed: int) -> Estimate:
    return estimate_mean(units, "higher", (0.0, 1.0), seed)


def _drop(
    name: str, values: Mapping[str, Sequence[tuple[str, Unit]]], seed: int
) -> tuple[float | None, float | None, float | None, float | None]:
    """Difference, both ends of its interval, p."""
    pairs = zip(values["both"], values[name], strict=True)
    differences = [(b.value or 0.0) - (a.value or 0.0) for (_, b), (_, a) in pairs]
    clusters = [unit.cluster for _, unit in values["both"]]
    if not differences:
        return None, None, None, None
    low, high = cluster_bootstrap_mean(differences, clusters, seed) or (None, None)
    return sum(differences) / len(differences), low, high, sign_flip_p(differences, clusters, seed)


def _only_together(
    values: Mapping[str, Sequence[tuple[str, Unit]]], alone: Sequence[str], seed: int
) -> Estimate:
    units = []
    for place, (item, together) in enumerate(values["both"]):
        share = 1.0 - (together.value or 0.0)
        for name in alone:
            share *= values[name][place][1].value or 0.0
        units.append(Unit(item, together.cluster, (Score(share, share, share),)))
    return estimate_mean(units, "lower", (0.0, 1.0), seed)
