"""What a run's number would be under the labels of people: from a labelled sample of it.

Pure functions. A judge that errs, errs in one direction, and no interval around its reading says so. Two
corrections, both with cluster-robust intervals: prediction-powered inference (Angelopoulos, Duchi and Zrnic,
PPI++, arXiv 2311.01453), which is valid whatever the judge is worth, and Rogan–Gladen (Rogan and Gladen 1978,
Am. J. Epidemiol. 107), which inverts the judge's sensitivity and specificity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from rsbench.stats import wilson

Floats = NDArray[np.float64]
LEAST_YOUDEN = 0.1  # sensitivity + specificity − 1 below which a judge tells nothing that could be inverted


@dataclass(frozen=True)
class Drawn:
    """One reply of the run: the judge's value, and the annotators' if it was drawn and labelled.

    Values lie in 0 to 1. `judged` may be any guess where the judge gave none. Replies of one `stratum` had
    the same chance of being drawn. `weight` is 1 / samples of its item. `cluster` is the twin pair.
    """

    cluster: str
    stratum: str
    judged: float
    label: float | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Corrected:
    """A corrected mean with its 95 % interval; `value` None says why in `problem`.

    `power`: how far PPI++ leaned on the judge, 0 (not at all) to 1. `labelled` replies in `clusters` pairs.
    """

    value: float | None
    low: float | None
    high: float | None
    labelled: int
    clusters: int
    power: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class _Arrays:
    """The population as arrays `(replies,)`; `drawn` is 0 or 1, `inverse` 1 / the stratum's drawn share."""

    judged: Floats
    label: Floats  # 0 where there is none
    drawn: Floats
    weight: Floats
    inverse: Floats
    stratum: NDArray[np.intp]
    cluster: NDArray[np.intp]
    strata: int
    clusters: int


def ppi(population: Sequence[Drawn]) -> Corrected:
    """Prediction-powered mean with power tuning, stratified, Hájek-weighted within strata.

    θ = Σ_i w_i λ f_i / W + Σ_h W_h/W · mean_{labelled of h}(y − λ f). λ in 0 to 1 minimises the estimated
    variance, that of the influence values ψ_i = λ f_i + m_h + (R_i / π_h)(y_i − λ f_i − m_h), summed by
    cluster; m_h is the stratum's mean of y − λ f, π_h its labelled share.
    """
    problem = _lacking(population)
    if problem:
        return _none(population, problem)
    a = _arrays(population)
    of_label, of_judge = _influence(a, a.label), _influence(a, a.judged)
    free = a.judged - of_judge  # what leaning on the judge adds to the influence of the labels alone
    left, right = _sums(a, _centred(a, of_label)), _sums(a, _centred(a, free))
    spread = float(right @ right)
    power = float(np.clip(-(left @ right) / spread, 0.0, 1.0)) if spread > 1e-12 else 0.0
    psi = of_label + power * free
    value = float(np.average(psi, weights=a.weight))
    unseen = _unseen(a, a.label - power * a.judged)
    return _interval(population, value, _variance(a, _centred(a, psi)) + unseen, power)


def rogan_gladen(population: Sequence[Drawn]) -> Corrected:
    """True share from the judge's share p: (p + sp − 1) / (se + sp − 1), for values of 0 and 1.

    Sensitivity and specificity come from the labelled replies, weighted by 1 / π. Delta-method variance from
    the influence of p, se and sp (two-phase, as for `ppi`), summed by cluster.
    """
    problem = _lacking(population)
    if problem:
        return _none(population, problem)
    a = _arrays(population)
    judged = (a.judged > 0.5).astype(np.float64)
    reach = a.weight * a.drawn * a.inverse
    yes, no = reach * a.label, reach * (1 - a.label)
    if yes.sum() <= 0 or no.sum() <= 0:
        return _none(population, "the labels hold only one of the two values")
    sensitivity = float(yes @ judged / yes.sum())
    specificity = float(no @ (1 - judged) / no.sum())
    youden = sensitivity + specificity - 1
    if youden < LEAST_YOUDEN:
        return _none(population, "the judge is hardly better than chance here, so it can't be inverted")
    total = float(a.weight.sum())
    share = float(a.weight @ judged / total)
    value = (share + specificity - 1) / youden
    caught = _influence(a, a.label * (judged - sensitivity)) * total / yes.sum()
    passed = _influence(a, (1 - a.label) * (1 - judged - specificity)) * total / no.sum()
    psi = (judged - share + (1 - value) * passed - value * caught) / youden
    errors = (1 - value) * (1 - a.label) * (1 - judged - specificity) * total / no.sum()
    errors -= value * a.label * (judged - sensitivity) * total / yes.sum()
    variance = _variance(a, _centred(a, psi)) + _unseen(a, errors / youden)
    return _interval(population, value, variance, None)


def _lacking(population: Sequence[Drawn]) -> str:
    """Why nothing can be said; empty if something can."""
    strata = {one.stratum for one in population}
    labelled = {one.stratum for one in population if one.label is not None}
    if not labelled:
        return "nothing is labelled"
    if strata - labelled:
        return f"no reply of the stratum {min(strata - labelled)!r} is labelled"
    if len({one.cluster for one in population if one.label is not None}) < 2:
        return "fewer than two pairs are labelled"
    return ""


def _arrays(population: Sequence[Drawn]) -> _Arrays:
    _, stratum = np.unique([one.stratum for one in population], return_inverse=True)
    _, cluster = np.unique([one.cluster for one in population], return_inverse=True)
    weight = np.array([one.weight for one in population])
    drawn = np.array([float(one.label is not None) for one in population])
    strata, clusters = int(stratum.max()) + 1, int(cluster.max()) + 1
    whole = np.bincount(stratum, weight, strata)
    seen = np.bincount(stratum, weight * drawn, strata)
    return _Arrays(
        judged=np.array([one.judged for one in population]),
        label=np.array([one.label or 0.0 for one in population]),
        drawn=drawn,
        weight=weight,
        inverse=(whole / seen)[stratum],
        stratum=stratum.astype(np.intp),
        cluster=cluster.astype(np.intp),
        strata=strata,
        clusters=clusters,
    )


def _influence(a: _Arrays, values: Floats) -> Floats:
    """m_h + (R/π)(value − m_h) of every reply; a stratum with one label has no residual to see."""
    count = np.bincount(a.stratum, a.drawn, a.strata)
    seen = np.bincount(a.stratum, a.weight * a.drawn, a.strata)
    mean = (np.bincount(a.stratum, a.weight * a.drawn * values, a.strata) / seen)[a.stratum]
    whole = np.bincount(a.stratum, minlength=a.strata)
    # Residuals around a mean that they made themselves are too small; not so where all are labelled.
    small = np.where((count > 1) & (count < whole), np.sqrt(count / np.maximum(count - 1, 1)), 1.0)
    return mean + a.drawn * a.inverse * (values - mean) * small[a.stratum]


def _unseen(a: _Arrays, values: Floats) -> float:
    """Variance that the labels of a stratum may hide because they are few.

    Fifteen labels that agree do not mean that the stratum does: each stratum borrows the pooled variance
    within strata at the weight of one label. Without this, intervals near 0 and 1 hold 92 % (coverage.py).
    """
    count = np.bincount(a.stratum, a.drawn, a.strata)
    whole = np.bincount(a.stratum, minlength=a.strata)
    mean = np.bincount(a.stratum, a.drawn * values, a.strata) / count
    squares = np.bincount(a.stratum, a.drawn * (values - mean[a.stratum]) ** 2, a.strata)
    own = squares / np.maximum(count - 1, 1)
    pooled = squares.sum() / max(1.0, float(count.sum()) - a.strata)
    more = np.maximum(0.0, (count * own + pooled) / (count + 1) - own)
    share = np.bincount(a.stratum, a.weight, a.strata) / a.weight.sum()
    return float(np.sum(share**2 * (1 - count / whole) / count * more))


def _centred(a: _Arrays, psi: Floats) -> Floats:
    return a.weight * (psi - np.average(psi, weights=a.weight))


def _sums(a: _Arrays, values: Floats) -> Floats:
    return np.bincount(a.cluster, values, a.clusters).astype(np.float64)


def _variance(a: _Arrays, centred: Floats) -> float:
    sums = _sums(a, centred)
    total = float(a.weight.sum())
    return float(sums @ sums) / total**2 * a.clusters / max(1, a.clusters - 1)


def _interval(population: Sequence[Drawn], value: float, variance: float, power: float | None) -> Corrected:
    """Wilson's interval with the n that independent draws would need for this variance.

    Without a variance to see, or at 0 or 1, that n is the number of labelled pairs: agreement on 20 pairs is
    not certainty. Both corrections can give an estimate beyond 0 or 1; a share is no more than that.
    """
    value = min(1.0, max(0.0, value))
    labelled = [one for one in population if one.label is not None]
    clusters = len({one.cluster for one in labelled})
    spread = value * (1 - value)
    n = spread / variance if variance > 1e-15 and spread > 1e-12 else float(clusters)
    low, high = wilson(value, max(1.0, n) if isfinite(n) else float(clusters))
    return Corrected(value, low, high, len(labelled), clusters, power)


def _none(population: Sequence[Drawn], problem: str) -> Corrected:
    labelled = [one for one in population if one.label is not None]
    clusters = len({one.cluster for one in labelled})
    return Corrected(None, None, None, len(labelled), clusters, None, problem)
