"""How numbers and rows of tables are written."""

from collections.abc import Iterator, Mapping

import numpy as np

from rsbench.two_way import TwoWay

Lines = Iterator[str]


def mean(values: Mapping[str, float]) -> float:
    """Of a row's values by item."""
    return float(np.mean(list(values.values())))


def called(name: str) -> str:
    """A method's name in a table."""
    return name if name == "base" else f"`{name}`"


def percent(value: float) -> str:
    """A share with one decimal."""
    return f"{100 * value:.1f} %"


def points(found: TwoWay) -> str:
    """A difference of shares in points with its interval."""
    if found.low is None or found.high is None:
        return f"{100 * found.mean:+.1f}"
    return f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def p_value(p: float | None) -> str:
    """Three decimals."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def head(*cells: str) -> Lines:
    """Head and rule of a table."""
    yield line(*cells)
    yield line(*("---" for _ in cells))


def line(*cells: object) -> str:
    """One row."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"
