"""What the page that compares any two rows computes from: every row's values, item by item, packed small.

The browser does the arithmetic of `rsbench compare`: paired differences, intervals, sign flips. Values are
one character an item where they are 0, 1 or missing: fifty rows weigh less than a picture.
"""

from collections.abc import Sequence
from typing import Any

from rsbench.board_rows import PAIRED, Entry
from rsbench.board_tables import Table
from rsbench.metric_specs import METRICS

WEIGHT = 4_000_000  # characters of values; beyond, metrics are left out, the headline last


def pair_data(tables: Sequence[Table]) -> dict[str, Any]:
    """Tables of rows measured alike, units of each metric, and values by row."""
    metrics = list(PAIRED)
    while len(metrics) > 1 and _weight(tables, metrics) > WEIGHT:
        metrics.pop()
    heavy = _weight(tables, metrics) > WEIGHT
    return {
        "metrics": [_metric(key) for key in metrics],
        "tables": [
            {
                "id": table.id,
                "alike": table.alike,
                "section": table.section,
                "units": {key: _units(table, key) for key in metrics},
            }
            for table in tables
        ],
        "rows": [
            {
                "name": entry.row.name,
                "model": entry.row.model.name,
                "table": table.id,
                "standing": entry.row.standing,
                "values": {} if heavy else {key: _values(table, entry, key) for key in metrics},
            }
            for table in tables
            for entry in table.entries
        ],
    }


def _weight(tables: Sequence[Table], metrics: Sequence[str]) -> int:
    return sum(len(e.units[key].values) for t in tables for e in t.entries for key in metrics)


def _metric(key: str) -> dict[str, str]:
    spec = METRICS[key]
    return {
        "key": key,
        "name": spec.name,
        "direction": spec.direction,
        "sentence": spec.sentence,
        "formula": spec.formula,
    }


def _ids(table: Table, key: str) -> list[str]:
    return sorted({unit for entry in table.entries for unit in entry.units[key].values})


def _units(table: Table, key: str) -> list[int]:
    """The number of each unit's twin pair, by sorted unit; pairs are numbered by their sorted names."""
    names = {u: c for entry in table.entries for u, c in entry.units[key].clusters.items()}
    numbers = {cluster: n for n, cluster in enumerate(sorted(set(names.values())))}
    return [numbers[names[unit]] for unit in _ids(table, key)]


def _values(table: Table, entry: Entry, key: str) -> str | list[float | None]:
    values = [entry.units[key].values.get(unit) for unit in _ids(table, key)]
    if all(value in (None, 0.0, 1.0) for value in values):
        return "".join("-" if value is None else str(int(value)) for value in values)
    return [None if value is None else round(value, 6) for value in values]
