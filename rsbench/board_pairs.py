"""What the page that compares any two rows computes from: every row's values, item by item, packed small.

The browser does the arithmetic of `rsbench compare`: paired differences, intervals, sign flips. Values are
one character an item where they are 0, 1 or missing: fifty rows weigh less than a picture. Where all of them
are too heavy for one page, each row's are in a page of its own, which the comparison opens in a frame: a
frame works from a disk as well, where a page may fetch nothing. Both pages bear a digest of the values: a
page that an older build left behind, or that a copy of the site forgot, is known by it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rsbench.board_rows import PAIRED, Units
from rsbench.board_tables import Line, Table
from rsbench.bootstrap import percentiles
from rsbench.metric_specs import METRICS
from rsbench.pages import shown
from rsbench.records import digest

WEIGHT = 1_000_000  # characters of values in the page itself
# A character for each unit; or the distinct numbers, each once and exact, and which of them each unit has.
Packed = str | dict[str, list[Any]]
Values = dict[str, Packed]  # by metric


def pair_data(tables: Sequence[Table]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What the page carries, and by row what it leaves to pages of their own: values and their digest.

    The page: tables of rows measured alike, with the units of each metric by number, as metrics share them;
    the distinct lists of units; which percentiles make an interval of two twin pairs, of three, and so on;
    and rows, with their values, or their digest where those are apart.
    """
    heavy = sum(len(e.units[key].ids) for t in tables for e in t.entries for key in PAIRED) > WEIGHT
    units: dict[str, str | list[int]] = {}  # by their own text, each once
    own, rows, apart, most = [], [], {}, 0
    for table in tables:
        clusters = {key: _clusters(table, key) for key in PAIRED}
        packed = {key: _units(found) for key, found in clusters.items()}
        most = max(most, *(len(set(found.values())) for found in clusters.values()))
        units |= {str(found): found for found in packed.values()}
        numbers = {text: n for n, text in enumerate(units)}
        own.append(
            {
                "id": table.id,
                "alike": {name: shown(value) for name, value in table.alike.items()},
                "section": table.section,
                "units": {key: numbers[str(found)] for key, found in packed.items()},
            }
        )
        orders = {key: tuple(found) for key, found in clusters.items()}
        order = digest(orders) if heavy else ""
        for line in table.lines:
            values: Values = {key: _values(line.entry.units[key], orders[key]) for key in PAIRED}
            row = _row(table, line)
            if heavy:
                row["digest"] = digest(order, values)
                apart[line.entry.row.name] = {"digest": row["digest"], "values": values}
            else:
                row["values"] = values
            rows.append(row)
    page = {
        "metrics": [_metric(key) for key in PAIRED],
        "units": list(units.values()),
        "tails": [round(percentiles(n)[0], 7) for n in range(2, most + 1)],
        "tables": own,
        "rows": rows,
    }
    return page, apart


def _row(table: Table, line: Line) -> dict[str, Any]:
    row = line.entry.row
    return {
        "name": row.name,
        "model": shown(row.model.name),
        "table": table.id,
        "standing": row.standing,
        "settings": {shown(name): shown(value) for name, value in line.settings.items()},
    }


def _metric(key: str) -> dict[str, str]:
    spec = METRICS[key]
    return {
        "key": key,
        "name": spec.name,
        "direction": spec.direction,
        "sentence": spec.sentence,
        "formula": spec.formula,
    }


def _clusters(table: Table, key: str) -> dict[str, str]:
    """Unit → twin pair, over all rows of a table, sorted by unit."""
    names: dict[str, str] = {}
    for ids, clusters in {(e.units[key].ids, e.units[key].clusters) for e in table.entries}:
        names |= zip(ids, clusters, strict=True)
    return dict(sorted(names.items()))


def _units(clusters: dict[str, str]) -> str | list[int]:
    """The number of each unit's twin pair, by sorted unit; pairs are numbered by their sorted names.

    Sorted units mostly come pair by pair; then a character each says whether a new pair begins.
    """
    numbers = {cluster: n for n, cluster in enumerate(sorted(set(clusters.values())))}
    found = [numbers[cluster] for cluster in clusters.values()]
    steps = np.diff(found, prepend=-1)
    return "".join(map(str, steps)) if np.isin(steps, (0, 1)).all() else found


def _values(units: Units, ids: tuple[str, ...]) -> Packed:
    """A row's values by the sorted units of its table.

    Numbers travel as JSON writes a double, which reads back as the same double. Rounded to six places, a
    difference of 2/3 and 1/3 was no longer that of 1 and 2/3, and the sign-flip test saw no tie.
    """
    packed = units.packed
    if units.ids != ids:
        column = {unit: n for n, unit in enumerate(ids)}
        whole = np.full(len(ids), -1 if packed.dtype == np.int8 else np.nan, dtype=packed.dtype)
        whole[[column[unit] for unit in units.ids]] = packed
        packed = whole
    if packed.dtype == np.int8:
        return packed.astype(np.uint8).tobytes().translate(_CHARACTERS).decode("ascii")
    different, which = np.unique(packed, return_inverse=True)  # few: shares of a few steps
    numbers = [None if value != value else value for value in different.tolist()]
    return {"numbers": numbers, "which": which.tolist()}


_CHARACTERS = bytes.maketrans(bytes((0, 1, 255)), b"01-")
