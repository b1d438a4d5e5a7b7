"""What stands behind a composed scene: walls, floors, land, water, rows of houses, as SVG text."""

from collections.abc import Callable

from ssui.shapes import Colours, ellipse, line, one, rect


def room(colours: Colours, horizon: float = 360) -> str:
    """Wall and floor with a skirting board."""
    wall, floor = colours[0], colours[1]
    return (
        rect(0, 0, 512, horizon, wall)
        + rect(0, horizon, 512, 512 - horizon, floor)
        + rect(0, horizon - 6, 512, 8, "#00000022")
    )


def land(colours: Colours, horizon: float = 300) -> str:
    """Sky and ground, with a hill between them if a third colour is given."""
    hill = ellipse(150, horizon + 20, 340, 90, colours[2]) if len(colours) > 2 else ""
    return rect(0, 0, 512, horizon, colours[0]) + hill + rect(0, horizon, 512, 512 - horizon, colours[1])


def sea(colours: Colours, horizon: float = 220, shore: float = 360) -> str:
    """Sky, water with waves, and a shore."""
    waves = "".join(
        line(x, y, x + 40, y, "#ffffff88", 3) for x, y in ((60, 260), (300, 280), (180, 320), (420, 310))
    )
    sky, water, sand = colours
    body = rect(0, horizon, 512, shore - horizon, water) + waves
    return rect(0, 0, 512, horizon, sky) + body + rect(0, shore, 512, 512 - shore, sand)


def stripes(colours: Colours, top: float = 0, bottom: float = 350, step: float = 36) -> str:
    """Upright stripes on a wall."""
    places = range(0, 512, int(step))
    return "".join(rect(x, top, step / 2, bottom - top, one(colours, "#ffffff55")) for x in places)


def tiles(colours: Colours, top: float = 0, bottom: float = 350, step: float = 48) -> str:
    """A grid of joints."""
    colour, out = one(colours, "#00000014"), []
    for x in range(0, 513, int(step)):
        out.append(line(x, top, x, bottom, colour, 2))
    for y in range(int(top), int(bottom) + 1, int(step)):
        out.append(line(0, y, 512, y, colour, 2))
    return "".join(out)


def row(colours: Colours, top: float = 120, bottom: float = 310, n: float = 5) -> str:
    """A row of house fronts with windows."""
    out, wide = [], 512 / n
    for k in range(int(n)):
        up = top + (k * 37) % 50
        out.append(rect(k * wide, up, wide - 4, bottom - up, colours[k % len(colours)]))
        for a in range(2):
            for b in range(2):
                out.append(rect(k * wide + 14 + a * wide * 0.42, up + 20 + b * 46, 22, 28, "#ffffffaa", 3))
    return "".join(out)


BACKDROPS: dict[str, Callable[..., str]] = {
    "room": room,
    "land": land,
    "sea": sea,
    "stripes": stripes,
    "tiles": tiles,
    "row": row,
}
