"""Intervals and tests that know that twins are not independent: pure functions, the seed a parameter.

Owns Wilson, effective n, the cluster bootstrap, the sign-flip test and Holm; knows nothing of items or
metrics. A cluster is a twin pair throughout: two items that share an image or a query fail together, and
counting them as two independent draws would make every interval too narrow.
"""

from collections.abc import Sequence
from itertools import product
from math import sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Z95 = 1.959963984540054
Interval = tuple[float, float]

EXACT_CLUSTERS = 12  # 2^12 sign patterns are listed; beyond that they are drawn
SIGN_FLIP_DRAWS = 10_000
PICKS = 250_000  # clusters drawn at once, few enough for the processor's cache


def wilson(p: float, n: float) -> Interval:
    """95 % Wilson score interval of a proportion `p` seen in `n` independent draws.

    `n` may be fractional (an effective n). Source: Wilson (1927), JASA 22(158).

    Raises:
        ValueError: if `n` is not positive or `p` lies outside [0, 1].
    """
    if n <= 0 or not 0 <= p <= 1:
        raise ValueError(f"wilson needs n > 0 and 0 <= p <= 1, got p={p}, n={n}")
    z2 = Z95 * Z95
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At p = 0 (1) centre - half (+ half) is 0 (1) but for rounding error.
    return (0.0 if p == 0 else max(0.0, centre - half), 1.0 if p == 1 else min(1.0, centre + half))


def effective_n(values: Sequence[float], clusters: Sequence[str]) -> float:
    """Number of independent draws that would estimate the mean of these 0/1 values as well as they do.

    With p the mean, n values and G clusters, the cluster-robust variance of the mean (Liang & Zeger 1986,
    with the usual G/(G-1) correction) is v = G/(G-1) · Σ_g (Σ_{i in g} (x_i - p))² / n². Independent draws
    would have p(1-p)/n_eff, so n_eff = p(1-p)/v. It is clamped to [G, n]: twins that always agree still make
    one draw each pair, so fewer than G is noise in v; more than n (twins that disagree more than chance) is a
    luck that a benchmark should not bank on. At p = 0 or 1, v is 0 whatever the dependence, so the data
    cannot tell copies from independent twins: the cautious end, G, is taken. 0 of 48 items in 24 pairs is
    then Wilson(0, 24) = [0, 0.138], not certainty.

    Raises:
        ValueError: if there is no value, or not one cluster id a value.
    """
    _check(values, clusters)
    if len(set(clusters)) == 1:
        return 1.0
    import numpy as np  # here and below where it is needed: a first look at one pair does without

    x, codes, groups = _clustered(values, clusters)
    p = float(x.mean())
    spread = p * (1 - p)
    if spread <= 0:
        return float(groups)
    residuals = np.bincount(codes, x - p, groups)
    variance = float((residuals**2).sum()) * groups / (groups - 1) / x.size**2
    if variance <= spread / x.size:
        return float(x.size)
    return max(float(groups), spread / variance)


def cluster_bootstrap_mean(
    values: Sequence[float], clusters: Sequence[str], seed: int, draws: int = 2_000
) -> Interval | None:
    """95 % percentile interval of a mean; whole clusters are resampled. See `cluster_bootstrap_ratio`."""
    return cluster_bootstrap_ratio(values, [1.0] * len(values), clusters, seed, draws)


def cluster_bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    clusters: Sequence[str],
    seed: int,
    draws: int = 2_000,
) -> Interval | None:
    """95 % expanded-percentile interval of Σ numerators / Σ denominators; whole clusters are resampled.

    Clusters whose denominators sum to 0 carry nothing and are left out. Returns None, never a zero-width
    interval, with fewer than two clusters or when all clusters have the same ratio: no variance seen is not
    certainty.

    Raises:
        ValueError: if there is no value, or the lengths differ.
    """
    _check(numerators, clusters)
    if len(set(clusters)) == 1:
        return None
    import numpy as np

    top, codes, groups = _clustered(numerators, clusters)
    bottom = np.asarray(denominators, dtype=np.float64)
    tops, bottoms = np.bincount(codes, top, groups), np.bincount(codes, bottom, groups)
    tops, bottoms = tops[bottoms > 0], bottoms[bottoms > 0]
    if tops.size < 2 or np.ptp(tops / bottoms) < 1e-12:
        return None
    low, high = np.quantile(_resampled(tops, bottoms, seed, draws), percentiles(tops.size))
    return float(low), float(high)


def _resampled(tops: "NDArray[Any]", bottoms: "NDArray[Any]", seed: int, draws: int) -> "NDArray[np.float64]":
    """Ratio of sums in each of `draws` resamples, a few draws at a time.

    The same draws and the same sums as all at once, four times as fast for thousands of clusters: what is
    picked stays in the processor's cache.
    """
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, PICKS // tops.size)
    ratios = []
    for first in range(0, draws, at_once):
        picks = rng.integers(0, tops.size, size=(min(at_once, draws - first), tops.size))
        ratios.append(tops[picks].sum(axis=1) / bottoms[picks].sum(axis=1))
    return np.concatenate(ratios)


def percentiles(clusters: int) -> tuple[float, float]:
    """Which percentiles of a bootstrap over `clusters` make a 95 % interval.

    2.5 and 97.5 % are too narrow for few clusters: the bootstrap's spread lacks the factor √(G/(G−1)), and a
    normal quantile stands where a t quantile belongs. Both are put back by wider percentiles, Φ(±√(G/(G−1)) ·
    t_{G−1}): for 30 clusters 1.9 and 98.1 %. Source: Hesterberg (2015), Am. Stat. 69(4), "expanded
    percentile".

    Raises:
        ValueError: fewer than two clusters.
    """
    if clusters < 2:
        raise ValueError(f"percentiles need two clusters or more, got {clusters}")
    from scipy.special import ndtr, stdtrit

    reach = sqrt(clusters / (clusters - 1)) * float(stdtrit(clusters - 1, 0.975))
    return float(ndtr(-reach)), float(ndtr(reach))


def sign_flip_p(differences: Sequence[float], clusters: Sequence[str], seed: int) -> float:
    """Two-sided p value of "the two runs are exchangeable within each cluster".

    Each cluster's summed difference gets a random sign; p is the share of sign patterns whose total is at
    least as far from 0 as the one seen. Exact up to 12 clusters that differ at all, else 10,000 seeded draws
    with the +1 correction (Phipson & Smyth 2010), so that p is never 0. For single items with 0/1 scores the
    exact test *is* the exact McNemar test; unlike McNemar it stays valid when twins move together, hence
    there is no McNemar here. Clusters without any difference change no total and drop out; if none is left, p
    is 1.

    Raises:
        ValueError: if there is no value, or not one cluster id a value.
    """
    import numpy as np

    _check(differences, clusters)
    x, codes, groups = _clustered(differences, clusters)
    sums = np.bincount(codes, x, groups)
    sums = sums[np.abs(sums) > 1e-12]
    if sums.size == 0:
        return 1.0
    # Equal totals must count as equal, though sums in another order differ in the last bit.
    seen = abs(float(sums.sum())) - 1e-9 * float(np.abs(sums).sum())
    if sums.size <= EXACT_CLUSTERS:
        signs = np.array(list(product((-1.0, 1.0), repeat=sums.size)))
        return float(np.mean(np.abs(signs @ sums) >= seen))
    rng = np.random.Generator(np.random.PCG64(seed))
    at_once, extreme = max(1, PICKS // sums.size), 0
    for first in range(0, SIGN_FLIP_DRAWS, at_once):
        kept = rng.integers(0, 2, size=(min(at_once, SIGN_FLIP_DRAWS - first), sums.size))
        # What keeps its sign minus what doesn't: twice the one, less all.
        totals = 2 * (kept.astype(np.float64) @ sums) - sums.sum()
        extreme += int(np.count_nonzero(np.abs(totals) >= seen))
    return (1 + extreme) / (1 + SIGN_FLIP_DRAWS)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given. Source: Holm (1979), Scand. J. Stat. 6(2)."""
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = running
    return adjusted


def _check(values: Sequence[float], clusters: Sequence[str]) -> None:
    if not values or len(values) != len(clusters):
        raise ValueError(f"need one cluster id a value: {len(values)} values, {len(clusters)} cluster ids")


def _clustered(
    values: Sequence[float], clusters: Sequence[str]
) -> "tuple[NDArray[np.float64], NDArray[np.intp], int]":
    """Values, the number of each one's cluster (by sorted id: order is no seed), cluster count."""
    import numpy as np

    numbers = {name: n for n, name in enumerate(sorted(set(clusters)))}
    codes = np.array([numbers[cluster] for cluster in clusters], dtype=np.intp)
    return np.asarray(values, dtype=np.float64), codes, len(numbers)
