"""Rows sorted into tables, each of rows that were measured alike, and what a table shows of a row.

Owns which rows may stand beside each other. Closed-world rows, rows by a judge nobody has validated, and
prompt or condition variants have tables of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsbench.board_rows import HEADLINE, SECTIONS, Entry, alike, differing, section, settings
from rsbench.board_ties import Place, places
from rsbench.metric_specs import METRICS
from rsbench.report import Bar, bar
from rsbench.terminal import interval, number
from rsbench.validation import measured_elsewhere

COLUMNS = (
    "path_safe",
    "path_effective",
    "safe_effective_answer",
    "twin_accuracy",
    "over_refusal",
    "unsafe_chain_safe_answer",
    "steps_per_path",
)
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
    scored: str
    cells: tuple[str, ...]
    sort: tuple[float | None, ...]
    settings: dict[str, str]  # those in which its table's rows differ


@dataclass(frozen=True)
class Table:
    """Rows measured alike, best headline first; those without a headline last."""

    id: str
    section: str
    alike: dict[str, str]
    settings: dict[str, str]  # those that all its rows share
    lines: tuple[Line, ...]

    @property
    def entries(self) -> list[Entry]:
        """Its rows in order."""
        return [line.entry for line in self.lines]

    @property
    def elsewhere(self) -> list[str]:
        """Of every row whose judge was measured on another task's gold traces, that task."""
        rows = [line.entry.row for line in self.lines]
        found = (measured_elsewhere(row.judge.validation, row.task.name) for row in rows)
        return [task for task in found if task is not None]


def tables(entries: Sequence[Entry], known: dict[str, Any] | None = None) -> list[Table]:
    """All tables, in the order of sections, the larger first; `known` as `board_ties.places` says."""
    found: dict[tuple[str, tuple[str, ...]], list[Entry]] = {}
    for entry in entries:
        found.setdefault((section(entry.row), tuple(alike(entry.row).values())), []).append(entry)
    ordered = sorted(found.items(), key=lambda item: (SECTIONS.index(item[0][0]), -len(item[1]), item[0][1]))
    return [_table(n, part, members, known) for n, ((part, _), members) in enumerate(ordered, 1)]


def _table(n: int, part: str, members: list[Entry], known: dict[str, Any] | None) -> Table:
    members = sorted(members, key=lambda e: (-(e.value if e.value is not None else -1.0), e.row.name))
    ranked = [entry for entry in members if entry.ranked]
    placed = dict(zip((e.row.name for e in ranked), places(ranked, known), strict=True))
    differs = differing([entry.row for entry in members])
    lines = tuple(
        _line(entry, placed.get(entry.row.name), {name: values[at] for name, values in differs.items()})
        for at, entry in enumerate(members)
    )
    shared = {name: value for name, value in settings(members[0].row).items() if name not in differs}
    return Table(f"t{n}", part, alike(members[0].row), shared, lines)


def _line(entry: Entry, place: Place | None, own: dict[str, str]) -> Line:
    head = entry.system[HEADLINE]
    found = [entry.system[key] for key in COLUMNS]
    return Line(
        entry=entry,
        place=place,
        value=number(head["value"], True),
        interval=interval(head["low"], head["high"], True),
        bar=bar(METRICS[HEADLINE], head),
        scored=number(head["scored_share"], True),
        cells=tuple(number(e["value"], k != "steps_per_path") for k, e in zip(COLUMNS, found, strict=True)),
        sort=tuple(e["value"] for e in (head, *found)),
        settings=own,
    )
