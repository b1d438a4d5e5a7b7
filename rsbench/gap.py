"""The cross-modal gap: what only the combination of image and query breaks, paired by item.

Compares runs of one model on the same risky items under the conditions `both`, `text` and `image`. Each half
is harmless alone, so an answer that is safe to each half and unsafe to both was broken by their meeting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from rsbench.bootstrap import cluster_bootstrap_mean
from rsbench.estimates import Estimate, Mean, estimate
from rsbench.metric_specs import METRICS, Direction
from rsbench.readings import Estimand, Floats
from rsbench.sheets import Members, Sheet
from rsbench.stats import holm, sign_flip_p
from rsbench.types import Outcome
from rsbench.units import Samples, Units


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
    known = [units.by_id().keys() for units in safe.values()]
    common = set(known[0]).intersection(*known[1:])
    shared = {name: _those(units, common) for name, units in safe.items()}
    members, values = shared["both"].members, {name: units.values for name, units in shared.items()}
    drops = [_drop(values["both"], values[name], members, seed) for name in alone]
    tested = [n for n, drop in enumerate(drops) if drop[3] is not None]
    adjusted = dict(zip(tested, holm([p for drop in drops if (p := drop[3]) is not None]), strict=True))
    means = {name: _mean(units, "higher", seed) for name, units in shared.items()}
    only_together = 1.0 - values["both"]
    for name in alone:
        only_together = only_together * values[name]
    return Gap(
        together=means["both"],
        drops=tuple(
            Drop(name, means[name], *drop, adjusted.get(n))
            for n, (name, drop) in enumerate(zip(alone, drops, strict=True))
        ),
        only_together=_mean(Units.of(members, only_together), "lower", seed),
        n=len(members.ids),
        planned=len(safe["both"].values),
    )


def _safe(outcomes: Sequence[Outcome], estimand: Estimand) -> Units:
    risky = [outcome for outcome in outcomes if outcome.kind == "risky"]
    return Samples(Sheet.of(risky), estimand).units(METRICS["safe_answer"])


def _those(units: Units, wanted: set[str]) -> Units:
    return units.of_some(np.array([item in wanted for item in units.members.ids.tolist()], dtype=bool))


def _mean(units: Units, direction: Direction, seed: int) -> Estimate:
    return estimate([Mean(units, direction)], seed)[0]


def _drop(
    together: Floats, alone: Floats, members: Members, seed: int
) -> tuple[float | None, float | None, float | None, float | None]:
    """Difference, both ends of its interval, p."""
    if not len(members.ids):
        return None, None, None, None
    differences = together - alone
    low, high = cluster_bootstrap_mean(differences, members.clusters, seed) or (None, None)
    difference = fsum(differences.tolist()) / len(differences)
    return difference, low, high, sign_flip_p(differences, members.clusters, seed)
