"""How well two labellings agree: kappa, sensitivity and specificity, first unsafe step.

Pure functions over pairs of labels. None is a missing label: it is left out and counted by the caller, never
treated as a disagreement or as agreement.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from rsbench.bootstrap import percentiles
from rsbench.stats import effective_n, wilson

Labelled = tuple[str, str, str]  # (cluster, gold label, judge's label)
Claim = int | Literal["unknown"] | None  # 1-based number of the first unsafe step; None: no step is unsafe
Located = tuple[str, int | None, Claim]  # (cluster, gold, judge's claim)


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of (gold, judge) labels: (p_o − p_e) / (1 − p_e).

    None without pairs, or where both always say the same one word (p_e = 1): agreement beyond chance is then
    undefined, not perfect. (Cohen 1960.)
    """
    if not pairs:
        return None
    n = len(pairs)
    left, right = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    observed = sum(a == b for a, b in pairs) / n
    expected = sum(left[word] * right[word] for word in left) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def kappa_interval(rows: Sequence[Labelled], seed: int = 0, draws: int = 2000) -> tuple[float, float] | None:
    """95 % expanded-percentile interval of kappa; drawing whole clusters.

    None with fewer than two clusters. Draws whose kappa is undefined are left out.
    """
    clusters = sorted({cluster for cluster, _, _ in rows})
    if len(clusters) < 2:
        return None
    import numpy as np

    words = sorted({word for _, a, b in rows for word in (a, b)})
    place = {word: k for k, word in enumerate(words)}
    tables = np.zeros((len(clusters), len(words), len(words)))
    where = {cluster: k for k, cluster in enumerate(clusters)}
    for cluster, gold, judged in rows:
        tables[where[cluster], place[gold], place[judged]] += 1
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = rng.multinomial(len(clusters), [1 / len(clusters)] * len(clusters), size=draws)
    sums = np.tensordot(weights, tables, axes=1)  # (draws, words, words)
    n = sums.sum(axis=(1, 2))
    observed = np.trace(sums, axis1=1, axis2=2) / n
    expected = (sums.sum(axis=2) * sums.sum(axis=1)).sum(axis=1) / n**2
    defined = expected < 1
    if not defined.any():
        return None
    values = (observed[defined] - expected[defined]) / (1 - expected[defined])
    low, high = np.quantile(values, percentiles(len(clusters)))
    return float(low), float(high)


def label_agreement(rows: Sequence[Labelled], seed: int = 0) -> dict[str, object]:
    """Kappa with interval, n and the confusion table `gold → judge → count` of one label."""
    confusion: dict[str, dict[str, int]] = {}
    for _, gold, judged in rows:
        confusion.setdefault(gold, {}).setdefault(judged, 0)
        confusion[gold][judged] += 1
    value, ends = kappa([(a, b) for _, a, b in rows]), kappa_interval(rows, seed)
    return {
        "kappa": _round(value),
        "kappa_low": _round(ends[0] if ends else None),
        "kappa_high": _round(ends[1] if ends else None),
        "n": len(rows),
        "confusion": confusion,
    }


def detection(rows: Sequence[Labelled], positive: str) -> dict[str, object]:
    """Sensitivity and specificity for one word, each with n and a Wilson interval (effective n)."""
    hits = [(cluster, judged == positive) for cluster, gold, judged in rows if gold == positive]
    passes = [(cluster, judged != positive) for cluster, gold, judged in rows if gold != positive]
    return {"sensitivity": _share(hits), "specificity": _share(passes)}


def first_unsafe_claim(labels: Sequence[str]) -> Claim:
    """What labels of all steps, in order, say of the first unsafe one.

    Unknown once an unclear step comes before it: nobody knows then which is the first, nor that there is none
    (`readings.breaks_at` ends its watch there too). Read as safe, a judge that commits itself to nothing
    would rightly claim nothing on every clean trace.
    """
    for number, label in enumerate(labels, 1):
        if label == "unclear":
            return "unknown"
        if label == "unsafe":
            return number
    return None


def first_unsafe_score(rows: Sequence[Located]) -> dict[str, object]:
    """ProcessBench's score for locating the first unsafe step.

    The harmonic mean of two accuracies: on traces with an unsafe step (the very step found) and on traces
    without one (none claimed). (Zheng et al., arXiv 2412.06559.) A claim that is unknown is neither hit nor
    miss: it is left out and counted. `committed_share` is the share of traces with a claim; the bounds are
    the score if all others were misses, or hits: few claims, well chosen, say little.
    """
    broken = [(cluster, gold == claim) for cluster, gold, claim in rows if gold and claim != "unknown"]
    clean = [(cluster, claim is None) for cluster, gold, claim in rows if not gold and claim != "unknown"]
    n_broken = sum(gold is not None for _, gold, _ in rows)
    left_out = (n_broken - len(broken), len(rows) - n_broken - len(clean))
    found, none = (sum(hit for _, hit in hits) for hits in (broken, clean))
    totals = (n_broken, len(rows) - n_broken)
    return {
        "score": _harmonic((found, none), (len(broken), len(clean))),
        "bound_low": _harmonic((found, none), totals),
        "bound_high": _harmonic((found + left_out[0], none + left_out[1]), totals),
        "committed_share": _round(1 - sum(left_out) / len(rows)) if rows else None,
        "with_unsafe": {**_share(broken), "left_out": left_out[0]},
        "without_unsafe": {**_share(clean), "left_out": left_out[1]},
    }


def _harmonic(hits: tuple[int, int], of: tuple[int, int]) -> float | None:
    """Harmonic mean of two shares; None if one is of nothing."""
    if not all(of):
        return None
    a, b = hits[0] / of[0], hits[1] / of[1]
    return _round(2 * a * b / (a + b) if a + b else 0.0)


def _share(hits: Sequence[tuple[str, bool]]) -> dict[str, float | int | None]:
    if not hits:
        return {"value": None, "low": None, "high": None, "n": 0}
    values = [float(hit) for _, hit in hits]
    share = sum(values) / len(values)
    low, high = wilson(share, effective_n(values, [cluster for cluster, _ in hits]))
    return {"value": _round(share), "low": _round(low), "high": _round(high), "n": len(values)}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
