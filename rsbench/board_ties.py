"""Which rows of a table can be told apart: paired tests of every two rows, Holm over them all.

Ranks of close rows are noise, so a row has a range of places instead, and rows that tests don't separate form
a tied group. p values are those of `rsbench compare` (sign flips of twin pairs); ten thousand draws can't
show a p under 1e-4, which Holm over a thousand tests needs, so a bound on the same p serves beyond the draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from rsbench.board_rows import HEADLINE, Entry
from rsbench.stats import holm, sign_flip_p

ALPHA = 0.05
DRAWN = 40  # rows, up to which draws are made; beyond, the bound alone, which is valid and cautious
# Largest ratio of the tail of a sum of weighted random signs to the normal tail: 1 / (4 P(Z > sqrt 2)).
# Source: Bentkus & Dzindzalieta (2015), Bernoulli 21(2).
TAIL = 1 / (4 * (1 - float(ndtr(np.sqrt(2.0)))))


@dataclass(frozen=True)
class Place:
    """Where a row stands: between `first` and `last`, in tied group `group` (1 is the best)."""

    first: int
    last: int
    group: int

    @property
    def words(self) -> str:
        """'3', or '2-4'."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def places(entries: Sequence[Entry], seed: int = 0) -> list[Place]:
    """The places of rows given best first; all must be `ranked` and measured alike."""
    n = len(entries)
    pairs = list(combinations(range(n), 2))
    adjusted = holm(_p_values(entries, pairs, seed))
    apart = {pair for pair, p in zip(pairs, adjusted, strict=True) if p < ALPHA}
    better, worse = [0] * n, [0] * n
    # Told apart by the means over common items, which missing items may order otherwise than the table does.
    for i, j in apart:
        up, down = (i, j) if _difference(entries[i], entries[j])[0] > 0 else (j, i)
        better[down] += 1
        worse[up] += 1
    groups, group = [], 1
    for i in range(n):
        if i and all((a, b) in apart for a in range(i) for b in range(i, n)):
            group += 1
        groups.append(group)
    return [Place(1 + better[i], n - worse[i], groups[i]) for i in range(n)]


def _difference(a: Entry, b: Entry) -> tuple[float, list[float], list[str]]:
    """Summed difference a - b, the differences of common items, and their twin pairs."""
    one, other = a.units[HEADLINE], b.units[HEADLINE]
    common = [
        (value - there, one.clusters[item])
        for item, value in one.values.items()
        if value is not None and (there := other.values.get(item)) is not None
    ]
    differences = [difference for difference, _ in common]
    return sum(differences), differences, [cluster for _, cluster in common]


def _p_values(entries: Sequence[Entry], pairs: Sequence[tuple[int, int]], seed: int) -> list[float]:
    bounds = _bounds(entries)
    if len(entries) > DRAWN:
        return [float(bounds[pair]) for pair in pairs]
    found = []
    for i, j in pairs:
        _, differences, clusters = _difference(entries[i], entries[j])
        drawn = sign_flip_p(differences, clusters, seed) if differences else 1.0
        found.append(min(drawn, float(bounds[i, j])))
    return found


def _bounds(entries: Sequence[Entry]) -> NDArray[np.float64]:
    """An upper bound on the exact sign-flip p of every two rows.

    With D_g the summed difference of twin pair g and T their sum, p <= 2 · TAIL · P(Z > |T| / sqrt(Σ D_g²)).
    """
    items = sorted({item for entry in entries for item in entry.units[HEADLINE].values})
    names = {item: cluster for e in entries for item, cluster in e.units[HEADLINE].clusters.items()}
    order = sorted(items, key=lambda item: names[item])
    starts = [at for at, item in enumerate(order) if not at or names[item] != names[order[at - 1]]]
    rows = [[entry.units[HEADLINE].values.get(item) for item in order] for entry in entries]
    values = np.array(rows, dtype=np.float64).reshape(len(entries), len(order))
    known = ~np.isnan(values)
    values = np.where(known, values, 0.0)
    bounds = np.ones((len(entries), len(entries)))
    for i in range(len(entries)):
        sums = (
            np.add.reduceat((values[i] - values) * (known[i] & known), starts, axis=1) if starts else values
        )
        total, spread = np.abs(sums.sum(axis=1)), np.sqrt((sums**2).sum(axis=1))
        z = np.divide(total, spread, out=np.zeros_like(total), where=spread > 0)
        bounds[i] = np.minimum(1.0, 2 * TAIL * ndtr(-z))
    return bounds
