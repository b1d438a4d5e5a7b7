"""Which rows of a table can be told apart: paired tests of every two rows, Holm over them all.

Ranks of close rows are noise, so a row has a range of places instead, and rows that tests don't separate form
a tied group. p values are those of `rsbench compare` (sign flips of twin pairs); ten thousand draws can't
show a p under 1e-4, which Holm over a thousand tests needs, so a bound on the same p serves beyond the draws.
The sums of all pairs of rows are matrix products: 500 rows of 10,000 items are 125,000 tests, in a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from rsbench.board_rows import HEADLINE, Entry
from rsbench.stats import SIGN_FLIP_DRAWS, holm, sign_flip_p

ALPHA = 0.05
DRAWN = 40  # rows, up to which draws are made; beyond, the bound alone, which is valid and cautious
LEAST = 1 / (1 + SIGN_FLIP_DRAWS)  # the smallest p that draws can show; up to 12 pairs none is under 2 / 2^12
NOTHING = 1e-9  # rounding in a sum of squares whose least true value is the square of a share of few samples
WIDE = 8  # products an item, beyond which clusters are not twins and sums are made row by row
# Largest ratio of the tail of a sum of weighted random signs to the normal tail: 1 / (4 P(Z > sqrt 2)).
# Source: Bentkus & Dzindzalieta (2015), Bernoulli 21(2).
TAIL = 1 / (4 * (1 - float(ndtr(np.sqrt(2.0)))))
Floats = NDArray[np.float64]


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


def places(entries: Sequence[Entry], known: dict[str, Any] | None = None, seed: int = 0) -> list[Place]:
    """The places of rows given best first; all must be `ranked` and measured alike.

    `known` holds results of earlier builds by the digests of both rows' values; new ones are added to it.
    """
    n = len(entries)
    if not n:
        return []
    values, starts = _aligned(entries)
    totals, squares = _sums(values, starts)
    bounds = _bounds(totals, squares)
    pairs = list(combinations(range(n), 2))
    p_values = [float(bounds[pair]) for pair in pairs]
    if n <= DRAWN:
        p_values = _drawn(entries, pairs, p_values, {} if known is None else known, seed)
    apart = np.zeros((n, n), dtype=bool)
    for (i, j), p in zip(pairs, holm(p_values), strict=True):
        apart[i, j] = apart[j, i] = p < ALPHA
    # Told apart by the means over common items, which missing items may order otherwise than the table does.
    leads = apart & (totals > 0)  # (rows, rows): the first is better than the second
    better, worse = leads.sum(axis=0), leads.sum(axis=1)
    cuts = [i > 0 and bool(leads[:i, i:].all()) for i in range(n)]
    groups = 1 + np.cumsum(cuts)
    return [Place(1 + int(better[i]), n - int(worse[i]), int(groups[i])) for i in range(n)]


def _drawn(
    entries: Sequence[Entry],
    pairs: Sequence[tuple[int, int]],
    bounds: Sequence[float],
    known: dict[str, Any],
    seed: int,
) -> list[float]:
    """The smaller of bound and drawn p; nothing is drawn where the bound is under all that draws can show."""
    units = [entry.units[HEADLINE] for entry in entries]
    found = []
    for (i, j), bound in zip(pairs, bounds, strict=True):
        if bound <= LEAST:
            found.append(bound)
            continue
        key = f"flips {seed} {units[i].digest} {units[j].digest}"
        if key not in known:
            differences, clusters = _differences(entries[i], entries[j])
            known[key] = sign_flip_p(differences, clusters, seed) if differences else 1.0
        found.append(min(float(known[key]), bound))
    return found


def _differences(a: Entry, b: Entry) -> tuple[list[float], list[str]]:
    """The differences of common items, and their twin pairs."""
    one, other = a.units[HEADLINE], b.units[HEADLINE]
    there = dict(zip(other.ids, other.values.tolist(), strict=True))
    common = [
        (difference, cluster)
        for item, cluster, value in zip(one.ids, one.clusters, one.values.tolist(), strict=True)
        if (difference := value - there.get(item, np.nan)) == difference
    ]
    return [difference for difference, _ in common], [cluster for _, cluster in common]


def _aligned(entries: Sequence[Entry]) -> tuple[Floats, NDArray[np.intp]]:
    """Values (rows, items), NaN for missing, items of a twin pair side by side; where each pair starts."""
    names: dict[str, str] = {}
    for ids, clusters in {(e.units[HEADLINE].ids, e.units[HEADLINE].clusters) for e in entries}:
        names |= zip(ids, clusters, strict=True)
    order = sorted(names, key=lambda item: (names[item], item))
    starts = [at for at, item in enumerate(order) if not at or names[item] != names[order[at - 1]]]
    column = {item: at for at, item in enumerate(order)}
    places = {ids: [column[item] for item in ids] for ids in {e.units[HEADLINE].ids for e in entries}}
    values = np.full((len(entries), len(order)), np.nan)
    for row, entry in zip(values, entries, strict=True):
        row[places[entry.units[HEADLINE].ids]] = entry.units[HEADLINE].values
    return values, np.array(starts, dtype=np.intp)


def _sums(values: Floats, starts: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """For every two rows a, b (rows, rows): Σ D_g and Σ D_g², D_g the summed a - b of twin pair g.

    Only items that both rows have count. With w the values (0 if missing) and k whether there is one, D_g is
    the sum over its items m of w_am k_bm - k_am w_bm. Its square has a term for every two items of the pair,
    and each term is a product of something of a and something of b: so sums over pairs are matrix products.
    """
    k = (~np.isnan(values)).astype(np.float64)
    w = np.where(k > 0, values, 0.0)
    half = w @ k.T
    sizes = np.diff(np.append(starts, values.shape[1]))
    if float((sizes.astype(np.float64) ** 2).sum()) > WIDE * values.shape[1]:
        return half - half.T, _squares_by_row(w, k, starts)
    squares = (w * w) @ k.T - w @ w.T  # an item with itself
    for first in range(1, int(sizes.max(initial=1))):  # items `first` apart in one pair, both ways round
        left = np.concatenate([s + np.arange(max(n - first, 0)) for s, n in zip(starts, sizes, strict=True)])
        right = left + first
        squares += 2 * (w[:, left] * w[:, right]) @ (k[:, left] * k[:, right]).T
        squares -= 2 * (w[:, left] * k[:, right]) @ (k[:, left] * w[:, right]).T
    return half - half.T, squares + squares.T


def _squares_by_row(w: Floats, k: Floats, starts: NDArray[np.intp]) -> Floats:
    """Σ D_g² for clusters of any size."""
    pairs = (np.add.reduceat(a * k - ka * w, starts, axis=1) for a, ka in zip(w, k, strict=True))
    return np.array([(sums**2).sum(axis=1) for sums in pairs])


def _bounds(totals: Floats, squares: Floats) -> Floats:
    """An upper bound on the exact sign-flip p of every two rows.

    p <= 2 · TAIL · P(Z > |T| / sqrt(Σ D_g²)), with D_g the summed difference of twin pair g and T their sum.
    """
    spread = np.sqrt(np.where(squares > NOTHING, squares, np.inf))
    bounds: Floats = np.minimum(1.0, 2 * TAIL * ndtr(-np.abs(totals) / spread))
    return bounds
