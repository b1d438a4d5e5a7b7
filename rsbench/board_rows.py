"""What the leaderboard keeps of a row while it compares rows: its numbers, and a value an item and metric.

Outcomes are read, checked and let go one row at a time: 500 rows of 10,000 items would not fit. Values are
arrays, a byte each where they are 0, 1 or missing, and the names of items are shared by all rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsbench import compare, units
from rsbench.metric_specs import METRICS
from rsbench.records import digest
from rsbench.rows import Row
from rsbench.sheets import Layout, Sheet

HEADLINE = "safe_effective_path"
# Compared pair by pair on the site, in this order.
PAIRED = (
    HEADLINE,
    "path_safe",
    "path_effective",
    "safe_effective_answer",
    "twin_accuracy",
    "over_refusal",
    "step_safe",
)
FEWEST = 5  # labelled steps at a position, below which the curve says nothing
SECTIONS = ("open", "variants", "unvalidated", "closed")


@dataclass(frozen=True)
class Units:
    """One metric's values by item (or pair), sorted by id, and each one's twin pair.

    `packed` (n,) is int8, with -1 for missing, where every value is 0, 1 or missing; else float64 with NaN.
    """

    ids: tuple[str, ...]
    clusters: tuple[str, ...]
    packed: NDArray[Any]

    @classmethod
    def of(cls, found: units.Units) -> "Units":
        """Those of a metric."""
        ids, clusters = found.members.ids.tolist(), found.members.cluster_ids.tolist()
        return cls(tuple(ids), tuple(clusters), pack(found.values))

    @property
    def values(self) -> NDArray[np.float64]:
        """(n,) with NaN for missing."""
        if self.packed.dtype == np.int8:
            return np.where(self.packed < 0, np.nan, self.packed.astype(np.float64))
        return self.packed

    @cached_property
    def digest(self) -> str:
        """What tells these values from others."""
        return digest(self.ids, self.clusters, self.packed.dtype.str, self.packed.tobytes().hex())


def pack(values: NDArray[np.float64]) -> NDArray[Any]:
    """Values (n,), NaN for missing, in as few bytes as hold them exactly."""
    missing = np.isnan(values)
    if np.all(missing | (values == 0.0) | (values == 1.0)):
        return np.where(missing, -1.0, values).astype(np.int8)
    return values


@dataclass(frozen=True)
class Entry:
    """One row on the board."""

    path: Path
    row: Row
    units: dict[str, Units]
    curve: tuple[tuple[int, float, int], ...]  # position, share of safe steps, labelled steps there
    items: str  # digest of its items with their pairs, categories and kinds

    @property
    def system(self) -> dict[str, Any]:
        """The numbers that users of the deployed system meet."""
        return self.row.estimands["system"]

    @property
    def value(self) -> float | None:
        """The headline."""
        value: float | None = self.system[HEADLINE]["value"]
        return value

    @property
    def ranked(self) -> bool:
        """Whether it enters tied groups: others can vouch for its labels, and its judge was validated."""
        vouched = self.row.standing != "self-reported" and self.row.judge.validation is not None
        return vouched and self.value is not None


def entry_of(path: Path, row: Row, sheet: Sheet) -> Entry:
    """What the board keeps of a row."""
    samples = units.Samples(sheet, "system")
    found = {key: Units.of(samples.units(METRICS[key])) for key in PAIRED}
    return Entry(path, row, found, tuple(_curve(sheet)), _items(sheet.layout))


@lru_cache(maxsize=8)
def _items(layout: Layout) -> str:
    """Digest of the items, with pair, category and kind of each."""
    return digest(layout.ids, layout.pairs, layout.categories, layout.benign.tolist())


def _curve(sheet: Sheet) -> list[tuple[int, float, int]]:
    """Share of safe among safe and unsafe steps, by position."""
    safe: Counter[int] = Counter()
    labelled: Counter[int] = Counter()
    for (index, letter), times in sheet.steps().items():
        if letter in "su":
            labelled[index] += times
            safe[index] += times * (letter == "s")
    return [(at, safe[at] / n, n) for at, n in sorted(labelled.items()) if n >= FEWEST]


def section(row: Row) -> str:
    """The part of the board a row belongs to; the first is the open world, by judges that were validated.

    The embedded model, and what was trained from it, knows nothing but drawings made for it.
    """
    tiny = row.model.family == "tiny" or (row.training is not None and row.training.base == "tiny")
    if tiny or row.task.closed_world:
        return "closed"
    if row.judge.validation is None:
        return "unvalidated"
    return "open" if (row.task.prompt, row.task.condition) == ("default", "both") else "variants"


def settings(row: Row) -> dict[str, str]:
    """How a row's replies were asked for; no part of `alike`."""
    samples = row.counts["planned"] / row.counts["items"]
    return compare.settings(row.model.identity, row.model.parameters, samples)


def differing(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """The settings in which these rows differ, each with its value in every row, in their order."""
    return compare.differing([settings(row) for row in rows])


def alike(row: Row) -> dict[str, str]:
    """What must be the same for two rows to be compared, in words."""
    task = row.task
    return {
        "task": f"{task.name} {task.version}" + (f", split {task.split}" if task.split else ""),
        "task card": task.sha256[:12],
        "data": task.data[:12],
        "prompt": f"{task.prompt} ({task.prompt_sha256[:12]})",
        "condition": task.condition,
        "segmenter": task.segmenter,
        "judge": f"{row.judge.name} ({digest(row.judge.identity)[:12]})",
        "hints": row.judge.identity.get("hints", "yes"),
        "chain": compare.chain_shown(row.model.chain_visibility),
    }
