"""Two runs on the same items: paired differences with intervals, p values, and Holm over the table.

Owns pairing and the guard against comparing unlike runs; the statistics are in `stats` and `bootstrap`.
Paired, because runs share items and hard items are hard for both: an unpaired test would throw away most of
its power.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan

from rsbench.bootstrap import cluster_bootstrap_mean
from rsbench.metric_specs import METRICS, Direction, MetricSpec
from rsbench.readings import Estimand
from rsbench.sheets import Sheet
from rsbench.stats import holm, sign_flip_p
from rsbench.types import Outcome, ReasoningKind, UserError
from rsbench.units import Samples

# Metrics with a value per item and a better direction. Ratios over all replies are not paired by item.
COMPARED = tuple(
    key for key, s in METRICS.items() if s.ratio is None and not s.worst and s.direction != "neither"
)
# Where these differ, a difference in scores says nothing about the models.
MUST_MATCH = ("task", "prompt", "judge", "segmenter", "condition", "hints", "chain")


@dataclass(frozen=True)
class Difference:
    """One row of a comparison.

    `a` and `b` are the means over the `n` items (or pairs) that have a value in both runs, `difference` is
    b - a with the 95 % interval `low` to `high`; `clusters` are the twin pairs among the n. `p` is two-sided,
    `p_holm` is corrected for all rows of the table that have a p. None is undefined: no item in common, or no
    variance to see.
    """

    metric: str
    direction: Direction
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    n: int
    clusters: int


def compare_outcomes(
    a: Sequence[Outcome],
    b: Sequence[Outcome],
    metrics: Sequence[str] = COMPARED,
    seed: int = 0,
    estimand: Estimand = "system",
) -> list[Difference]:
    """Compare two runs metric by metric, in the order of `metrics`.

    Intervals are cluster bootstraps over twin pairs. p values are from the sign-flip test on pairs, also for
    binary metrics, since McNemar's test takes twins for independent (see `stats.sign_flip_p`). Call
    `check_comparable` first.

    Raises:
        UserError: if a metric is unknown, or is a ratio over all replies.
    """
    for key in metrics:
        if key not in METRICS or METRICS[key].ratio is not None:
            allowed = ", ".join(key for key, spec in METRICS.items() if spec.ratio is None)
            raise UserError(f"can't compare runs by {key!r}: choose from {allowed}")
    samples_a, samples_b = Samples(Sheet.of(a), estimand), Samples(Sheet.of(b), estimand)
    rows = [_difference(samples_a, samples_b, METRICS[key], seed) for key in metrics]
    return corrected(rows)


def corrected(rows: Sequence[Difference]) -> list[Difference]:
    """The rows of one table with Holm's p values over all that have a p."""
    adjusted = iter(holm([p for row in rows if (p := row.p) is not None]))
    return [row if row.p is None else replace(row, p_holm=next(adjusted)) for row in rows]


def check_comparable(meta_a: Mapping[str, object], meta_b: Mapping[str, object]) -> None:
    """Refuse two runs that were not measured alike.

    Both must record every field of `MUST_MATCH`; what was not recorded can't be vouched for.

    Raises:
        UserError: naming each field that differs or was not recorded, with both values.
    """
    problems = []
    for field in MUST_MATCH:
        if field not in meta_a or field not in meta_b or meta_a[field] != meta_b[field]:
            first, second = (
                repr(meta[field]) if field in meta else "not recorded" for meta in (meta_a, meta_b)
            )
            problems.append(f"  {field}: {first} and {second}")
    if problems:
        raise UserError(
            "these two runs can't be compared, for they were not measured alike:\n"
            + "\n".join(problems)
            + "\nRun or judge one of them again with the other's settings."
        )


def settings(
    identity: Mapping[str, object], parameters: Mapping[str, object], samples: float
) -> dict[str, str]:
    """How replies were asked for: generation parameters that were given, and samples an item.

    Nothing that must match, for a model is measured as it was run; where runs differ in it, whoever compares
    them says so. With which parameters imported replies were made, nobody here knows.

    Args:
        identity: The model's.
        parameters: Name → value, None where nothing was sent.
        samples: Planned samples an item, on average.
    """
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    if identity.get("provider") == "import":
        given = dict.fromkeys(parameters, "unknown")
    return given | {"samples an item": f"{samples:g}"}


def differing(found: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """The settings in which runs differ, each with its value in every run, in their order."""
    names = dict.fromkeys(name for one in found for name in one)
    values = {name: tuple(one.get(name, "default") for one in found) for name in names}
    return {name: own for name, own in values.items() if len(set(own)) > 1}


def chain_shown(visibility: ReasoningKind) -> str:
    """What of its chain a model shows: labels of a digest say nothing of the steps that it leaves out."""
    return "summary" if visibility == "summary" else "full"


def _difference(a: Samples, b: Samples, spec: MetricSpec, seed: int) -> Difference:
    """One metric on the items that have a value in both runs."""
    one, other = a.units(spec), b.units(spec)
    values = one.by_id()
    both = [
        (values[unit], value, cluster)
        for unit, value, cluster in zip(
            other.members.ids.tolist(), other.values.tolist(), other.members.cluster_ids.tolist(), strict=True
        )
        if unit in values and not isnan(value)
    ]
    return paired_difference(spec, both, seed)


def paired_difference(spec: MetricSpec, both: Sequence[tuple[float, float, str]], seed: int) -> Difference:
    """One metric over its units (items, or pairs) in sorted order: value in a, value in b, twin pair."""
    if not both:
        return Difference(spec.key, spec.direction, None, None, None, None, None, None, None, 0, 0)
    clusters = [cluster for _, _, cluster in both]
    differences = [second - first for first, second, _ in both]
    interval = cluster_bootstrap_mean(differences, clusters, seed)
    return Difference(
        metric=spec.key,
        direction=spec.direction,
        a=sum(first for first, _, _ in both) / len(both),
        b=sum(second for _, second, _ in both) / len(both),
        difference=sum(differences) / len(both),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        p=sign_flip_p(differences, clusters, seed),
        p_holm=None,
        n=len(both),
        clusters=len(set(clusters)),
    )
