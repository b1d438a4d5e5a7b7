"""The comparison's figure: gains over the base with their intervals, as an SVG that needs nothing."""

from collections.abc import Iterator, Sequence
from html import escape

from rsbench.two_way import TwoWay

WIDTH, ROW, LEFT, RIGHT, TOP = 720, 30, 150, 90, 46


def forest(drawn: Sequence[tuple[str, TwoWay]]) -> str:
    """One line a method, its mean as a dot, its 95 % interval as a bar; the base is the upright at 0."""
    height = TOP + ROW * len(drawn) + 34
    return "\n".join(_lines(drawn, height)) + "\n"


def _lines(drawn: Sequence[tuple[str, TwoWay]], height: int) -> Iterator[str]:
    ends = [value for _, one in drawn for value in (one.mean, one.low, one.high) if value is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = (high - low or 1.0) * 0.04
    low, high = low - room, high + room

    def across(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    title = "Gain in SafeEffectivePath over the base, points"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{title}" font-family="system-ui, sans-serif" font-size="13">'
    )
    yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    yield f'<text x="{LEFT}" y="22" font-size="15" font-weight="600" fill="#1b1f24">{title}</text>'
    step = 0.1 if high - low > 0.25 else 0.05
    for tick in (n * step for n in range(int(low / step), int(high / step) + 1)):
        x, colour = across(tick), "#57606a" if abs(tick) < 1e-9 else "#d8dee4"
        yield f'<line x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{height - 26}" stroke="{colour}"/>'
        yield f'<text x="{x}" y="{height - 8}" text-anchor="middle" fill="#57606a">{100 * tick:+.0f}</text>'
    for number, (name, one) in enumerate(drawn):
        y = TOP + ROW * number + ROW / 2
        ours = name.startswith("srpo")
        colour = "#0b57a4" if ours else "#3b4148"
        weight = "600" if name == "srpo" else "400"
        yield (
            f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end" font-weight="{weight}" fill="{colour}">'
            f"{escape(name)}</text>"
        )
        if one.low is not None and one.high is not None:
            yield (
                f'<line x1="{across(one.low)}" x2="{across(one.high)}" y1="{y}" y2="{y}" '
                f'stroke="{colour}" stroke-width="3" stroke-linecap="round"/>'
            )
        yield f'<circle cx="{across(one.mean)}" cy="{y}" r="5" fill="{colour}"/>'
        yield (f'<text x="{WIDTH - RIGHT + 14}" y="{y + 4}" fill="{colour}">{100 * one.mean:+.1f}</text>')
    yield "</svg>"
