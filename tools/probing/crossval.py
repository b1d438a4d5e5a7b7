"""Cross-validation over twin pairs: logistic regression, out-of-fold scores, AUC, intervals. Pure functions.

Features have shape (pairs, 2, features): `[:, 0]` is the risky twin, `[:, 1]` the benign one. Folds index the
first axis, so no pair can be split between training and test, and every training set has as many risky items
as benign ones. Knows nothing of words, pixels or files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata

from rsbench.stats import Interval, wilson

Floats = NDArray[np.float64]

FOLDS, REPEATS, DRAWS = 10, 5, 2_000
C = 1.0  # inverse strength of the L2 penalty, fixed before any item was scored and never tuned on them


@dataclass(frozen=True)
class Linear:
    """A fitted linear scorer: `weights` of shape (features,), in the units of the features it was given."""

    weights: Floats
    intercept: float

    def score(self, x: Floats) -> Floats:
        """Log-odds of "risky" for rows of `x`, shape (..., features)."""
        # Rounded, so that twins with equal features tie, however the matrix product was blocked.
        return np.round(x @ self.weights + self.intercept, 9)


def folds(pairs: int, count: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Cut `range(pairs)` into `count` test folds, in random order, of sizes that differ by one at most."""
    return list(np.array_split(rng.permutation(pairs), count))


def fit(x: Floats, standardise: bool) -> Linear:
    """Logistic regression, risky against benign, on pairs `x` of shape (pairs, 2, features).

    Minimises |w|²/2 + C · Σ log(1 + exp(-y f)), the intercept free of penalty. With `standardise` the weights
    are penalised per standard deviation of a feature; means and deviations come from `x`, that is from the
    training pairs alone.
    """
    rows = x.reshape(-1, x.shape[-1])
    signs = np.tile([1.0, -1.0], len(x))
    mean = rows.mean(axis=0)
    scale = rows.std(axis=0) if standardise else np.ones_like(mean)
    scale = np.where(scale > 1e-9, scale, np.inf)  # a feature that never varies carries nothing
    z = (rows - mean) / scale

    def loss(theta: Floats) -> tuple[float, Floats]:
        margins = signs * (z @ theta[:-1] + theta[-1])
        pull = -C * signs * np.exp(-np.logaddexp(0.0, margins))
        value = 0.5 * theta[:-1] @ theta[:-1] + C * np.logaddexp(0.0, -margins).sum()
        return float(value), np.append(z.T @ pull + theta[:-1], pull.sum())

    found = minimize(loss, np.zeros(z.shape[1] + 1), jac=True, method="L-BFGS-B", options={"gtol": 1e-7})
    weights = found.x[:-1] / scale
    return Linear(weights, float(found.x[-1] - mean @ weights))


def out_of_fold(x: Floats, standardise: bool, seed: int) -> Floats:
    """Scores of shape (pairs, 2), each from models that never saw its pair; the mean over the repeats.

    Raises:
        ValueError: fewer pairs than folds.
    """
    if len(x) < FOLDS:
        raise ValueError(f"{len(x)} pairs can't be cut into {FOLDS} folds")
    rng = np.random.default_rng(seed)
    total = np.zeros(x.shape[:2])
    for _ in range(REPEATS):
        for test in folds(len(x), FOLDS, rng):
            training = np.delete(x, test, axis=0)
            total[test] += fit(training, standardise).score(x[test])
    return total / REPEATS


def auc(scores: Floats) -> float:
    """Chance that a risky item scores above a benign one, ties counted half; `scores` of shape (pairs, 2).

    By ranks: Hanley & McNeil (1982), Radiology 143(1); equals the Mann-Whitney U over the number of couples.
    """
    n = len(scores)
    ranks = rankdata(np.concatenate([scores[:, 0], scores[:, 1]]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / n**2)


def auc_interval(scores: Floats, seed: int) -> Interval:
    """95 % percentile interval of the AUC over resampled pairs; the scores stay, no model is refitted.

    It says how far the AUC would move with other pairs of the same kind, not with other training sets.
    """
    rng = np.random.default_rng(seed)
    drawn = [auc(scores[rng.integers(0, len(scores), len(scores))]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def paired_accuracy(scores: Floats) -> tuple[float, Interval]:
    """Share of pairs whose risky twin scores higher (a tie is half a win), with its Wilson interval."""
    share = float(np.mean((np.sign(scores[:, 0] - scores[:, 1]) + 1) / 2))
    return share, wilson(share, len(scores))
