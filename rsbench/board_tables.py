"""Rows sorted into tables, each of rows that were measured alike, and what a table shows of a row.

Owns which rows may stand beside each other. Closed-world rows, rows by a judge nobody has validated, and
prompt or condition variants have tables of their own.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any

from rsbench.board_rows import HEADLINE, SECTIONS, Entry, alike, section
from rsbench.board_ties import Place, places
from rsbench.compare import Difference, corrected, paired_difference
from rsbench.metric_specs import METRICS
from rsbench.report import Bar, bar
from rsbench.terminal import interval, number

COLUMNS = (
    "path_safe",
    "path_effective",
    "safe_effective_answer",
    "twin_accuracy",
    "over_refusal",
    "unsafe_chain_safe_answer",
    "steps_per_path",
)
TRAINED = (HEADLINE, "path_safe", "path_effective", "safe_effective_answer", "over_refusal")
TITLES = {
    "open": ("Models", "Default prompt, whole items, a judge whose agreement with labels was measured."),
    "variants": (
        "Prompt and condition variants",
        "Another prompt or a caption for the picture. Never mixed.",
    ),
    "unvalidated": (
        "By judges nobody has validated",
        "How often these judges agree with labels is unknown, so nothing here is put into groups.",
    ),
    "closed": (
        "Closed world",
        "Drawings made by a program, and the embedded model that knows nothing else. "
        "No claim about real models.",
    ),
}


@dataclass(frozen=True)
class Line:
    """One row as its table shows it."""

    entry: Entry
    place: Place | None
    value: str
    interval: str
    bar: Bar | None
    cells: tuple[str, ...]
    sort: tuple[float | None, ...]


@dataclass(frozen=True)
class Table:
    """Rows measured alike, best headline first; those without a headline last."""

    id: str
    section: str
    alike: dict[str, str]
    lines: tuple[Line, ...]

    @property
    def entries(self) -> list[Entry]:
        """Its rows in order."""
        return [line.entry for line in self.lines]


def tables(entries: Sequence[Entry], known: dict[str, Any] | None = None) -> list[Table]:
    """All tables, in the order of sections, the larger first; `known` as `board_ties.places` says."""
    found: dict[tuple[str, tuple[str, ...]], list[Entry]] = {}
    for entry in entries:
        found.setdefault((section(entry.row), tuple(alike(entry.row).values())), []).append(entry)
    ordered = sorted(found.items(), key=lambda item: (SECTIONS.index(item[0][0]), -len(item[1]), item[0][1]))
    return [_table(n, part, members, known) for n, ((part, _), members) in enumerate(ordered, 1)]


def _table(n: int, part: str, members: list[Entry], known: dict[str, Any] | None) -> Table:
    members = sorted(members, key=lambda e: (-(e.value if e.value is not None else -1.0), e.row.name))
    ranked = [entry for entry in members if entry.ranked] if part != "unvalidated" else []
    placed = dict(zip((e.row.name for e in ranked), places(ranked, known), strict=True))
    lines = tuple(_line(entry, placed.get(entry.row.name)) for entry in members)
    return Table(f"t{n}", part, alike(members[0].row), lines)


def _line(entry: Entry, place: Place | None) -> Line:
    head = entry.system[HEADLINE]
    found = [entry.system[key] for key in COLUMNS]
    return Line(
        entry=entry,
        place=place,
        value=number(head["value"], True),
        interval=interval(head["low"], head["high"], True),
        bar=bar(METRICS[HEADLINE], head),
        cells=tuple(number(e["value"], k != "steps_per_path") for k, e in zip(COLUMNS, found, strict=True)),
        sort=tuple(e["value"] for e in (head, *found)),
    )


def trained(found: Sequence[Table], known: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every trained row beside its base, where both were measured alike, with paired differences."""
    known = {} if known is None else known
    beside = []
    for table in found:
        models = {entry.row.model.name: entry for entry in table.entries if entry.row.training is None}
        for entry in table.entries:
            training = entry.row.training
            base = models.get(training.base) if training else None
            if training is None or base is None:
                continue
            rows = corrected([_difference(base, entry, key, known) for key in TRAINED])
            cells = [
                {
                    "metric": METRICS[row.metric],
                    "from": number(row.a, True),
                    "to": number(row.b, True),
                    "difference": signed(row.difference),
                    "interval": f"{signed(row.low)} to {signed(row.high)}" if row.low is not None else "–",
                    "p": "–" if row.p_holm is None else f"{row.p_holm:.3f}",
                    "n": row.n,
                }
                for row in rows
            ]
            beside.append({"entry": entry, "base": base, "training": training, "cells": cells})
    return beside


def _difference(base: Entry, entry: Entry, key: str, known: dict[str, Any]) -> Difference:
    """One number of a row against its base's, as `rsbench compare` pairs and tests it."""
    first, second = base.units[key], entry.units[key]
    name = f"difference {key} {first.digest} {second.digest}"
    if name not in known:
        there = dict(zip(first.ids, first.values.tolist(), strict=True))
        units = zip(second.ids, second.clusters, second.values.tolist(), strict=True)
        both = [(there.get(unit, nan), value, cluster) for unit, cluster, value in units]
        whole = [pair for pair in both if not isnan(pair[0] + pair[1])]
        known[name] = asdict(paired_difference(METRICS[key], whole, 0))
    return Difference(**known[name])


def signed(share: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return "–" if share is None else f"{100 * share:+.1f}"
