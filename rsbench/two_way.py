"""Means over seeds and clusters at once: intervals and tests that know that both were drawn.

A method trained with five seeds and measured on 120 twin pairs is one draw of seeds and one of pairs.
Counting the 600 numbers as 600 draws, or the seeds as fixed, makes every interval too narrow. Owns the
variance components and the two-way bootstrap; knows nothing of recipes or metrics.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
POWER_80 = 2.8  # standard errors: what 4 of 5 repetitions would find, two-sided at 5 % (1.96 + 0.84)


@dataclass(frozen=True)
class TwoWay:
    """A mean over a table of seeds × clusters.

    `low` to `high` is a 95 % interval; `se` the standard error; `df` its degrees of freedom; `p` two-sided,
    of "the mean is 0". All None where the table shows no variance: none seen is not certainty.
    """

    mean: float
    low: float | None
    high: float | None
    se: float | None
    df: float | None
    p: float | None

    @property
    def detectable(self) -> float | None:
        """The smallest difference that four of five repetitions would find."""
        return None if self.se is None else POWER_80 * self.se


def two_way(table: Floats, seed: int = 0, draws: int = 4_000) -> TwoWay:
    """Mean of a (seeds, clusters) table, both taken as random draws.

    The standard error comes from the variance components of a crossed layout with one value a cell, as in an
    analysis of variance: v = (MS_seeds + MS_clusters − MS_rest) / (S·C), never less than either part alone;
    degrees of freedom after Satterthwaite (1946). The interval is a percentile interval of the bootstrap that
    draws seeds and clusters independently (the "pigeonhole bootstrap": Owen 2007, Ann. Appl. Stat. 1(2)), at
    percentiles moved so that its spread is that of v and its tails those of t with these degrees of freedom:
    with five seeds the plain percentiles would be far too narrow. Where the draws do not reach so far out (of
    three seeds far apart no draw lies beyond the outermost), it is mean ± t · standard error instead.

    Raises:
        ValueError: a value that is not finite; fewer than two clusters or three seeds: with two seeds 95 %
            intervals held the truth 75 to 96 % of the time in simulations, with five 93 to 96 %.
    """
    from scipy.special import ndtr, stdtr, stdtrit

    seeds, clusters = table.shape
    if seeds < 3 or clusters < 2 or not np.isfinite(table).all():
        raise ValueError(f"two_way needs at least 3 × 2 finite values, got {seeds} × {clusters}")
    mean = float(table.mean())
    variance, df = _variance(table)
    if variance <= 1e-18:
        return TwoWay(mean, None, None, None, None, None)
    se = sqrt(variance)
    rng = np.random.Generator(np.random.PCG64(seed))
    by_seed = rng.multinomial(seeds, [1 / seeds] * seeds, size=draws) / seeds
    by_cluster = rng.multinomial(clusters, [1 / clusters] * clusters, size=draws) / clusters
    means = np.einsum("ds,sc,dc->d", by_seed, table, by_cluster, optimize=True)
    half = float(stdtrit(df, 0.975)) * se
    tail = float(ndtr(-half / float(means.std())))
    low, high = np.quantile(means, (tail, 1 - tail)) if tail * draws >= 1 else (mean - half, mean + half)
    return TwoWay(mean, float(low), float(high), se, df, 2 * float(stdtr(df, -abs(mean) / se)))


def _variance(table: Floats) -> tuple[float, float]:
    """Of the mean, and its degrees of freedom."""
    seeds, clusters = table.shape
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - rows[:, None] - columns[None, :] + mean
    free = np.array([seeds - 1, clusters - 1, (seeds - 1) * (clusters - 1)], dtype=np.float64)
    squares = np.array(
        [clusters * ((rows - mean) ** 2).sum(), seeds * ((columns - mean) ** 2).sum(), (rest**2).sum()]
    )
    of_seeds, of_clusters, of_rest = squares / free
    terms = np.array([of_seeds, of_clusters, -of_rest])
    if min(of_seeds, of_clusters) < of_rest:  # one of them differs no more than chance makes it
        terms = np.array([of_seeds, 0.0, 0.0] if of_seeds > of_clusters else [0.0, of_clusters, 0.0])
    total = float(terms.sum())
    if total <= 0:
        return 0.0, 1.0
    df = total**2 / float((terms**2 / free).sum())
    return total / (seeds * clusters), max(df, 1.0)
