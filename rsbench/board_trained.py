"""Trained rows beside the row they came from: paired differences, and over seeds what the recipe does.

Only rows that have a place on the board: what a recipe does would else hang on labels that nobody can check,
the base's or one seed's.

Rows of one recipe that differ in nothing but the seed are one method, measured several times: they share a
block, whose intervals draw seeds and twin pairs. A single seed says what one training did.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsbench.board_rows import HEADLINE, Entry, differing
from rsbench.board_tables import Table
from rsbench.compare import Difference, corrected, paired_difference
from rsbench.metric_specs import METRICS
from rsbench.rows import Training
from rsbench.terminal import number
from rsbench.two_way import two_way

COMPARED = (HEADLINE, "path_safe", "path_effective", "safe_effective_answer", "over_refusal")
ENOUGH_SEEDS = 3  # below that no interval over seeds is worth printing


@dataclass(frozen=True)
class Trained:
    """One block: a recipe's rows by seed, their base, and a line a number."""

    recipe: str
    base: Entry
    entries: tuple[Entry, ...]
    cells: tuple[dict[str, Any], ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """In order; several rows of one seed each count."""
        return tuple(map(_seed, self.entries))

    @property
    def settings(self) -> dict[str, tuple[str, ...]]:
        """Settings in which the base and these rows differ: the base's value, then theirs."""
        return differing([self.base.row, *(entry.row for entry in self.entries)])


def trained(found: Sequence[Table], known: dict[str, Any] | None = None) -> list[Trained]:
    """Every recipe beside its base, where both were measured alike, best gain first within a table."""
    known = {} if known is None else known
    blocks: list[Trained] = []
    for table in found:
        # Best first, so that of two bases of one name the better one stays: no gain comes from the choice.
        models: dict[str, Entry] = {}
        ranked = [entry for entry in table.entries if entry.ranked]
        for entry in ranked:
            if entry.row.training is None:
                models.setdefault(entry.row.model.name, entry)
        recipes: dict[tuple[str, str, str], list[Entry]] = {}
        for entry in ranked:
            if entry.row.training is not None and entry.row.training.base in models:
                recipes.setdefault(_recipe(entry.row.training), []).append(entry)
        own = []
        for (base, name, content), entries in recipes.items():
            several = sum(key[:2] == (base, name) for key in recipes) > 1
            recipe = f"{name} ({content[:8] or 'content unknown'})" if several else name
            entries.sort(key=lambda one: (_seed(one), one.row.name))
            rows = corrected([_difference(models[base], entries, key, known) for key in COMPARED])
            gain = rows[0].difference
            own.append((-1.0 if gain is None else gain, recipe, models[base], tuple(entries), _cells(rows)))
        own.sort(key=lambda one: (-one[0], one[1]))
        blocks += [Trained(recipe, base, entries, cells) for _, recipe, base, entries, cells in own]
    return blocks


def _recipe(training: Training) -> tuple[str, str, str]:
    """What seeds of one method share: the base, and the recipe by its name and by what it says."""
    return training.base, training.recipe, training.recipe_digest or ""


def _seed(entry: Entry) -> int:
    return entry.row.training.seed if entry.row.training else 0


def _cells(rows: Sequence[Difference]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "metric": METRICS[row.metric],
            "from": number(row.a, True),
            "to": number(row.b, True),
            "difference": signed(row.difference),
            "interval": f"{signed(row.low)} to {signed(row.high)}" if row.low is not None else "–",
            "p": _p(row.p_holm),
            "n": row.n,
        }
        for row in rows
    )


def _p(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _difference(base: Entry, entries: Sequence[Entry], key: str, known: dict[str, Any]) -> Difference:
    """One number of a recipe against its base's; of one seed as `rsbench compare` pairs and tests it."""
    after = (f"{_seed(one)} {one.units[key].digest}" for one in entries)
    name = f"difference {key} {base.units[key].digest} {' '.join(after)}"
    if name not in known:
        known[name] = asdict(_tested(base, entries, key))
    return Difference(**known[name])


def _tested(base: Entry, entries: Sequence[Entry], key: str) -> Difference:
    there = dict(zip(base.units[key].ids, base.units[key].values.tolist(), strict=True))
    one = entries[0].units[key]
    after = np.array([_values(entry, key, one.ids) for entry in entries])
    before = np.array([there.get(unit, nan) for unit in one.ids])
    whole = ~np.isnan(after.sum(axis=0) + before)
    before, after = before[whole], after[:, whole]
    clusters = [cluster for cluster, kept in zip(one.clusters, whole, strict=True) if kept]
    # With one row this is the whole answer; with several it is the frame that the seeds' result fills.
    pairs = list(zip(before.tolist(), after.mean(axis=0).tolist(), clusters, strict=True))
    single = paired_difference(METRICS[key], pairs, 0)
    if len(entries) == 1 or single.difference is None:
        return single
    seeds = {_seed(entry) for entry in entries}
    # A seed that is there twice was not drawn twice.
    if len(seeds) < max(ENOUGH_SEEDS, len(entries)) or single.clusters < 2:
        return replace(single, low=None, high=None, p=None)
    over = two_way(_by_cluster(after - before, clusters))
    return replace(single, difference=over.mean, low=over.low, high=over.high, p=over.p)


def _values(entry: Entry, key: str, ids: Sequence[str]) -> list[float]:
    own = dict(zip(entry.units[key].ids, entry.units[key].values.tolist(), strict=True))
    return [own.get(unit, nan) for unit in ids]


def _by_cluster(differences: NDArray[np.float64], clusters: Sequence[str]) -> NDArray[np.float64]:
    """(seeds, items) → (seeds, clusters): means over each cluster's items, weighted by how many they are.

    A seed's row has the mean over its items, so that the difference is that of the two means beside it: with
    an item missing, the mean of the clusters' means is another number. A cluster's value is the seed's mean
    plus its items' summed distance from it, over the usual size of a cluster (the ratio's linear form).
    """
    _, codes = np.unique(np.array(clusters), return_inverse=True)
    sizes = np.bincount(codes)
    sums = np.array([np.bincount(codes, row) for row in differences])
    means = differences.mean(axis=1, keepdims=True)
    return np.asarray(means + (sums - means * sizes) / sizes.mean())


def signed(share: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return "–" if share is None or isnan(share) else f"{100 * share:+.1f}"
