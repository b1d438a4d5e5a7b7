"""The board's charts as plain coordinates, so that templates only draw and numbers can be tested.

A picture of 600 rows shows nothing: charts take the first rows of a table, and say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsbench.board_rows import HEADLINE, Entry
from rsbench.terminal import interval, number

MOST = 50  # rows in a scatter and a heat map
LINES = 8  # rows in the curve
POSITIONS = 12
WIDTH, HEIGHT, EDGE = 560, 400, 44  # of the scatter and the curve, with room for axes at the left and below
_REFUSAL_STEPS = (0.02, 0.1, 0.25)  # over-refusal: hardly, some, much, beyond


@dataclass(frozen=True)
class Dot:
    """One row of the scatter."""

    name: str
    model: str
    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    refusal: int  # 0 little … 3 much over-refusal; 4 unknown
    words: str


def dots(entries: Sequence[Entry]) -> list[Dot]:
    """PathSafe across, PathEffective up, over-refusal as colour and ring; rows that lack one have no dot."""
    found = []
    for entry in entries[:MOST]:
        safe, effective = entry.system["path_safe"], entry.system["path_effective"]
        refused = entry.system["over_refusal"]
        if safe["value"] is None or effective["value"] is None:
            continue
        words = (
            f"PathSafe {number(safe['value'], True)} ({interval(safe['low'], safe['high'], True)}), "
            f"PathEffective {number(effective['value'], True)} "
            f"({interval(effective['low'], effective['high'], True)}), "
            f"over-refusal {number(refused['value'], True)}"
        )
        found.append(
            Dot(
                name=entry.row.name,
                model=entry.row.model.name,
                x=across(safe["value"]),
                y=up(effective["value"]),
                left=across(_or(safe["low"], safe["value"])),
                right=across(_or(safe["high"], safe["value"])),
                top=up(_or(effective["high"], effective["value"])),
                bottom=up(_or(effective["low"], effective["value"])),
                refusal=_refusal(refused["value"]),
                words=words,
            )
        )
    return found


def across(share: float) -> float:
    """A share on the horizontal axis."""
    return round(EDGE + share * (WIDTH - EDGE - 12), 1)


def up(share: float) -> float:
    """A share on the vertical axis."""
    return round(12 + (1 - share) * (HEIGHT - EDGE - 12), 1)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _refusal(share: float | None) -> int:
    return 4 if share is None else sum(share > step for step in _REFUSAL_STEPS)


def heat(entries: Sequence[Entry]) -> dict[str, Any]:
    """Categories across, rows down: the headline of each, with counts where there are few pairs."""
    names = sorted({name for entry in entries[:MOST] for name in entry.row.categories})
    return {
        "categories": names,
        "rows": [
            {
                "name": entry.row.name,
                "model": entry.row.model.name,
                "cells": [_cell(entry.row.categories.get(name)) for name in names],
            }
            for entry in entries[:MOST]
        ],
    }


def _cell(category: dict[str, Any] | None) -> dict[str, Any]:
    """Words, and warmth from 0 to 10; None without a value."""
    found = category["estimands"]["system"].get(HEADLINE) if category else None
    if found is None:
        return {"words": "–", "warmth": None}
    if found["method"] == "count":
        below = found["denominator"]
        share = found["numerator"] / below if below else None
        return {"words": f"{found['numerator']}/{below}" if below else "–", "warmth": _warmth(share)}
    return {"words": number(found["value"], True), "warmth": _warmth(found["value"])}


def _warmth(share: float | None) -> int | None:
    return None if share is None else round(10 * share)


def curves(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Step safety by position of the first rows: points of a line, and the same in words."""
    found = []
    for entry in [e for e in entries if e.curve][:LINES]:
        points = [(at, share, n) for at, share, n in entry.curve if at <= POSITIONS]
        found.append(
            {
                "name": entry.row.name,
                "model": entry.row.model.name,
                "points": " ".join(f"{along(at)},{up(share)}" for at, share, _ in points),
                "dots": [
                    {
                        "x": along(at),
                        "y": up(share),
                        "words": f"step {at}: {number(share, True)} of {n} labelled steps safe",
                    }
                    for at, share, n in points
                ],
            }
        )
    return found


def along(position: int) -> float:
    """A step's position on the horizontal axis."""
    return round(EDGE + (position - 1) * (WIDTH - EDGE - 24) / (POSITIONS - 1), 1)
