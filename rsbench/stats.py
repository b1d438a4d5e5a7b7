"""Intervals and tests that know that twins are not independent: pure functions, the seed a parameter.

Owns Wilson, effective n, the sign-flip test and Holm, and what a cluster is; the bootstrap is in `bootstrap`.
Knows nothing of items or metrics. A cluster is a twin pair throughout: two items that share an image or a
query fail together, and counting them as two independent draws would make every interval too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
Interval = tuple[float, float]

EXACT_CLUSTERS = 12  # 2^12 sign patterns are listed; beyond that they are drawn
SIGN_FLIP_DRAWS = 10_000
PICKS = 250_000  # clusters drawn at once, few enough for the processor's cache


@dataclass(frozen=True)
class Clusters:
    """The cluster of each of n values.

    `codes` (n,) run from 0 to `count` - 1 in the order of the clusters' ids, so that no number hangs on the
    order in which values come; each occurs.
    """

    codes: NDArray[np.intp]
    count: int

    @classmethod
    def of(cls, ids: Sequence[str]) -> "Clusters":
        """From one id a value."""
        numbers = {name: n for n, name in enumerate(sorted(set(ids)))}
        return cls(np.array([numbers[name] for name in ids], dtype=np.intp), len(numbers))

    def __len__(self) -> int:
        return len(self.codes)

    def of_some(self, chosen: NDArray[np.bool_]) -> "Clusters":
        """Those of the chosen values."""
        codes = self.codes[chosen]
        there = np.bincount(codes, minlength=self.count) > 0
        if there.all():
            return Clusters(codes, self.count)
        return Clusters((np.cumsum(there) - 1)[codes], int(np.count_nonzero(there)))


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


def effective_n(values: Sequence[float] | NDArray[Any], clusters: Sequence[str] | Clusters) -> float:
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
    x, codes, groups = clustered(values, clusters)
    if groups == 1:
        return 1.0
    p = float(x.mean())
    spread = p * (1 - p)
    if spread <= 0:
        return float(groups)
    residuals = np.bincount(codes, x - p, groups)
    variance = float((residuals**2).sum()) * groups / (groups - 1) / x.size**2
    if variance <= spread / x.size:
        return float(x.size)
    return max(float(groups), spread / variance)


def sign_flip_p(
    differences: Sequence[float] | NDArray[Any], clusters: Sequence[str] | Clusters, seed: int
) -> float:
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
    x, codes, groups = clustered(differences, clusters)
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


def clustered(
    values: Sequence[float] | NDArray[Any], clusters: Sequence[str] | Clusters
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """Values, the number of each one's cluster, cluster count.

    Raises:
        ValueError: if there is no value, or not one cluster id a value.
    """
    if len(values) == 0 or len(values) != len(clusters):
        raise ValueError(f"need one cluster id a value: {len(values)} values, {len(clusters)} cluster ids")
    known = clusters if isinstance(clusters, Clusters) else Clusters.of(clusters)
    return np.asarray(values, dtype=np.float64), known.codes, known.count
