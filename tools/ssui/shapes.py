"""The shapes that composed scenes are put together from, each a function to SVG text.

Kept plain on purpose: what a picture must show is carried by the art library's drawings; these give it a
place to stand on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Colours = Sequence[str]


@dataclass(frozen=True)
class Box:
    """Where a shape stands: foot centre, width and, for some shapes, a height."""

    x: float
    y: float
    w: float
    h: float | None = None

    @property
    def left(self) -> float:
        """The left edge."""
        return self.x - self.w / 2


def rect(x: float, y: float, w: float, h: float, fill: str, rx: float = 0, more: str = "") -> str:
    """A rectangle by its upper left corner."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{rx:.1f}" fill="{fill}" {more}/>'
    )


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float) -> str:
    """A line with round ends."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{stroke}" stroke-width="{width:.1f}" stroke-linecap="round"/>'


def ellipse(x: float, y: float, rx: float, ry: float, fill: str) -> str:
    """A filled ellipse by its centre."""
    return f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="{fill}"/>'


def one(colours: Colours, default: str) -> str:
    """The first colour, if one is given."""
    return colours[0] if colours else default


def table(box: Box, colours: Colours) -> str:
    """A table whose top is at y; it reaches down `h`."""
    colour, high = one(colours, "#a9744a"), box.h or 130
    legs = "".join(rect(x, box.y + 14, 14, high, colour) for x in (box.left + 12, box.left + box.w - 26))
    return (
        legs + rect(box.left, box.y, box.w, 18, colour, 5) + rect(box.left, box.y + 12, box.w, 6, "#0000001f")
    )


def counter(box: Box, colours: Colours) -> str:
    """A closed counter down to the picture's edge."""
    colour = one(colours, "#c8a27a")
    return rect(box.left, box.y, box.w, 520 - box.y, colour, 4) + rect(
        box.left - 6, box.y, box.w + 12, 14, "#00000033", 3
    )


def board(box: Box, colours: Colours) -> str:
    """A board on the wall, its lower edge at y."""
    high = box.h or box.w * 0.6
    return rect(
        box.left, box.y - high, box.w, high, one(colours, "#ffffff"), 5, 'stroke="#6b5b4b" stroke-width="7"'
    )


def paper(box: Box, colours: Colours) -> str:
    """A sheet with lines that can't be read."""
    high = box.h or box.w * 1.3
    lines = "".join(
        rect(
            box.left + box.w * 0.14,
            box.y - high + high * k,
            box.w * (0.72 if k < 0.7 else 0.4),
            max(2, high * 0.04),
            "#9aa3ad",
        )
        for k in (0.16, 0.3, 0.44, 0.58, 0.72)
    )
    edge = 'stroke="#b5b0a4" stroke-width="2"'
    return rect(box.left, box.y - high, box.w, high, one(colours, "#fffdf5"), 3, edge) + lines


def screen(box: Box, colours: Colours) -> str:
    """A screen on a foot, its foot at y."""
    high = box.w * 0.62
    top = box.y - high - 22
    foot = rect(box.x - 10, box.y - 24, 20, 18, "#555c66") + rect(box.x - 40, box.y - 8, 80, 8, "#555c66", 4)
    return (
        foot
        + rect(box.left, top, box.w, high, "#2b3038", 8)
        + rect(box.left + 8, top + 8, box.w - 16, high - 16, one(colours, "#dfe9f5"), 4)
    )


def phone(box: Box, colours: Colours) -> str:
    """A large phone, upright."""
    high = box.w * 1.9
    inner = rect(box.left + 7, box.y - high + 16, box.w - 14, high - 34, one(colours, "#eaf1f8"), 6)
    return rect(box.left, box.y - high, box.w, high, "#23272e", 16) + inner


def sign(box: Box, colours: Colours) -> str:
    """A panel on a post."""
    high = box.h or 190
    post = rect(box.x - 6, box.y - high, 12, high, "#7d6a55")
    return post + rect(
        box.left,
        box.y - high - 4,
        box.w,
        box.w * 0.62,
        one(colours, "#f2efe4"),
        6,
        'stroke="#6b5b4b" stroke-width="5"',
    )


def tank(box: Box, colours: Colours) -> str:
    """A glass tank with water."""
    high = box.h or box.w * 0.66
    water = rect(box.left + 5, box.y - high * 0.82, box.w - 10, high * 0.8, one(colours, "#8ecdf0cc"), 3)
    return (
        rect(box.left, box.y - high, box.w, high, "#eaf6fb99", 5, 'stroke="#6f8fa0" stroke-width="6"') + water
    )


def rail(box: Box, colours: Colours) -> str:
    """A railing, its foot at y."""
    colour, high = one(colours, "#5d6670"), box.h or 90
    bars = "".join(
        rect(box.left + k * 24, box.y - high, 6, high, colour) for k in range(int(box.w // 24) + 1)
    )
    return bars + rect(box.left - 6, box.y - high, box.w + 12, 10, colour, 4)


def fence(box: Box, colours: Colours) -> str:
    """A fence of boards."""
    colour, high = one(colours, "#b98c5a"), box.h or 90
    boards = "".join(
        rect(box.left + k * 26, box.y - high, 20, high, colour, 4) for k in range(int(box.w // 26) + 1)
    )
    return boards + rect(box.left, box.y - high * 0.7, box.w, 8, "#00000022")


def bed(box: Box, colours: Colours) -> str:
    """A bed from the side with pillow and cover."""
    wood = "#8a6242"
    frame = rect(box.left, box.y - 46, box.w, 40, wood, 6) + rect(box.left, box.y - 110, 16, 110, wood, 5)
    cover = rect(box.left + box.w * 0.3, box.y - 84, box.w * 0.68, 50, one(colours, "#6f9bc0"), 14)
    return (
        frame
        + rect(box.left + 14, box.y - 66, box.w - 16, 30, "#f4f1ea", 8)
        + cover
        + rect(box.left + 22, box.y - 92, 84, 36, "#ffffff", 14)
    )


def door(box: Box, colours: Colours) -> str:
    """A door in its frame."""
    high = box.h or box.w * 2
    knob = ellipse(box.left + box.w * 0.84, box.y - high * 0.46, 6, 6, "#e6c15a")
    return (
        rect(
            box.left,
            box.y - high,
            box.w,
            high,
            one(colours, "#8c5a3c"),
            4,
            'stroke="#5c3b27" stroke-width="7"',
        )
        + knob
    )


def window(box: Box, colours: Colours) -> str:
    """A window, its sill at y; the colour is the sky's."""
    high = box.h or box.w
    cross = rect(box.x - 3, box.y - high, 6, high, "#ffffff") + rect(
        box.left, box.y - high / 2 - 3, box.w, 6, "#ffffff"
    )
    pane = rect(
        box.left, box.y - high, box.w, high, one(colours, "#bfe3f7"), 3, 'stroke="#ffffff" stroke-width="10"'
    )
    return pane + cross + rect(box.left - 10, box.y, box.w + 20, 10, "#e7dccb", 3)


def shelf(box: Box, colours: Colours) -> str:
    """A board on the wall whose upper face is at y."""
    return rect(box.left, box.y, box.w, 12, one(colours, "#8a6242"), 3)


def picture(box: Box, colours: Colours) -> str:
    """A framed picture of two plain fields."""
    high = box.w * 0.75
    frame = rect(
        box.left, box.y - high, box.w, high, one(colours, "#d9c7e8"), 2, 'stroke="#7a5a36" stroke-width="8"'
    )
    return frame + rect(box.left + 4, box.y - high * 0.4, box.w - 8, high * 0.4 - 4, "#00000018")


def block(box: Box, colours: Colours) -> str:
    """A plain upright block, its foot at y."""
    high = box.h or box.w
    return rect(box.left, box.y - high, box.w, high, one(colours, "#c9c2b8"), 4)


def spot(box: Box, colours: Colours) -> str:
    """A flat ellipse: a rug, a puddle, a pond."""
    return ellipse(box.x, box.y, box.w / 2, (box.h or box.w * 0.26) / 2, one(colours, "#b5533c55"))


def cable(box: Box, colours: Colours) -> str:
    """A hanging line from (x, y) to (w, h)."""
    x2, y2 = box.w, box.h if box.h is not None else box.y
    sag = max(box.y, y2) + 30
    path = f"M{box.x:.1f} {box.y:.1f} Q{(box.x + x2) / 2:.1f} {sag:.1f} {x2:.1f} {y2:.1f}"
    return f'<path d="{path}" fill="none" stroke="{one(colours, "#333333")}" stroke-width="5"/>'


def cross(box: Box, colours: Colours) -> str:
    """A crossed-out circle around what was drawn before: not allowed."""
    r, colour = box.w / 2, one(colours, "#d0342c")
    ring = f'<circle cx="{box.x:.1f}" cy="{box.y - r:.1f}" r="{r:.1f}" fill="none" stroke="{colour}" '
    ring += f'stroke-width="{r * 0.16:.1f}"/>'
    return ring + line(
        box.x - r * 0.68, box.y - r * 1.68, box.x + r * 0.68, box.y - r * 0.32, colour, r * 0.16
    )


def bars(box: Box, colours: Colours) -> str:
    """A chart of bars on a white panel; one colour a bar, heights rising."""
    wide = box.w / (len(colours) or 3)
    panel = rect(
        box.left - 10,
        box.y - box.w * 0.8,
        box.w + 20,
        box.w * 0.8 + 10,
        "#ffffff",
        4,
        'stroke="#777" stroke-width="3"',
    )
    heights = [box.w * 0.7 * (k + 1) / (len(colours) or 3) for k in range(len(colours))]
    return panel + "".join(
        rect(box.left + k * wide + 6, box.y - high, wide - 12, high, colours[k])
        for k, high in enumerate(heights)
    )


SHAPES: dict[str, Callable[[Box, Colours], str]] = {
    "table": table,
    "counter": counter,
    "board": board,
    "paper": paper,
    "screen": screen,
    "phone": phone,
    "sign": sign,
    "tank": tank,
    "rail": rail,
    "fence": fence,
    "bed": bed,
    "doorway": door,
    "window": window,
    "shelf": shelf,
    "picture": picture,
    "block": block,
    "spot": spot,
    "cable": cable,
    "ban": cross,
    "bars": bars,
}
