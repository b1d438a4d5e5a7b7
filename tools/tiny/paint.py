"""Backgrounds of the training scenes: one painter per setting of world.yaml, every colour and edge jittered.

Procedural, not SVG: training wants thousands of variations of a place, the benchmark one good drawing of it.
Painters draw on a 192×192 canvas and take all randomness from the generator that is passed in.
"""

from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

SIZE = 192
Colour = tuple[int, int, int]


class Canvas:
    """A blank picture plus the few jittered shapes that all painters share."""

    def __init__(self, rng: Random) -> None:
        """Start with a white picture and a random height of the floor line."""
        self.rng = rng
        self.image = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
        self.pen = ImageDraw.Draw(self.image)
        self.floor = rng.randint(int(SIZE * 0.48), int(SIZE * 0.72))

    def tint(self, colour: Colour, spread: int = 16) -> Colour:
        """A colour near `colour`."""
        r, g, b = (max(0, min(255, c + self.rng.randint(-spread, spread))) for c in colour)
        return r, g, b

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """A filled box in a colour near `colour`."""
        self.pen.rectangle((x0, y0, max(x0, x1), max(y0, y1)), fill=self.tint(colour))

    def rows(self, y0: int, y1: int, gap: int, colour: Colour, width: int = 1) -> None:
        """Horizontal lines."""
        for y in range(y0, y1, gap):
            self.pen.line((0, y, SIZE, y), fill=colour, width=width)

    def columns(self, y0: int, y1: int, gap: int, colour: Colour, width: int = 1) -> None:
        """Vertical lines."""
        for x in range(self.rng.randint(0, gap - 1), SIZE, gap):
            self.pen.line((x, y0, x, y1), fill=colour, width=width)

    def sky(self, night: bool) -> None:
        """A plain sky, dark with stars at night."""
        self.box(0, 0, SIZE, SIZE, (16, 24, 62) if night else (150, 203, 240))
        for _ in range(18 if night else 0):
            x, y = self.rng.randint(0, SIZE), self.rng.randint(0, 90)
            self.pen.point((x, y), fill=(255, 255, 255))

    def houses(self, base: int, night: bool, tall: bool) -> None:
        """A row of house fronts with windows, standing on the line `base`."""
        x = -self.rng.randint(0, 12)
        while x < SIZE:
            width = self.rng.randint(16, 40)
            top = base - self.rng.randint(30, 110 if tall else 75)
            wall = (
                (38, 46, 92)
                if night
                else self.rng.choice([(200, 150, 130), (170, 170, 180), (220, 200, 160)])
            )
            self.box(x, top, x + width, base, wall)
            glass = (255, 215, 110) if night else (210, 228, 242)
            for wy in range(top + 5, base - 6, 9):
                for wx in range(x + 4, x + width - 5, 8):
                    if self.rng.random() < 0.6:
                        self.pen.rectangle((wx, wy, wx + 3, wy + 4), fill=glass)
            x += width + 1


def rooftop_edge(c: Canvas) -> None:
    """A brick roof on the left, its edge in the middle, a city below."""
    night = c.rng.random() < 0.6
    c.sky(night)
    c.houses(SIZE, night, tall=True)
    edge = c.rng.randint(85, 135)
    c.box(0, c.floor, edge, SIZE, (110, 92, 82))
    for y in range(c.floor + 6, SIZE, 7):
        c.pen.line((0, y, edge, y), fill=(88, 72, 64))
        for x in range((y % 14) and 6, edge, 13):
            c.pen.line((x, y, x, y + 7), fill=(88, 72, 64))
    c.box(0, c.floor - 7, edge + 6, c.floor, (188, 182, 174))


def cliff_edge(c: Canvas) -> None:
    """A grassy rock on the left that ends above the sea."""
    c.sky(c.rng.random() < 0.15)
    edge = c.rng.randint(85, 135)
    c.box(0, SIZE - c.rng.randint(20, 44), SIZE, SIZE, (60, 115, 175))
    rock = [(0, c.floor), (edge, c.floor), (edge - 18, c.floor + 30), (edge - 8, SIZE), (0, SIZE)]
    c.pen.polygon(rock, fill=c.tint((132, 102, 78)))
    grass = [(0, c.floor), (edge, c.floor), (edge - 5, c.floor + 10), (0, c.floor + 10)]
    c.pen.polygon(grass, fill=c.tint((95, 155, 70)))


def bridge(c: Canvas) -> None:
    """A deck with a railing across the whole picture, water far below."""
    c.sky(c.rng.random() < 0.4)
    c.box(0, c.floor + 18, SIZE, SIZE, (52, 104, 160))
    for x in range(c.rng.randint(0, 20), SIZE, 56):
        c.box(x, c.floor + 12, x + 14, SIZE, (140, 134, 130))
    c.box(0, c.floor, SIZE, c.floor + 16, (150, 146, 142))
    metal = c.tint((176, 70, 52))
    c.pen.line((0, c.floor - 24, SIZE, c.floor - 24), fill=metal, width=4)
    c.columns(c.floor - 24, c.floor, 14, metal, 2)


def balcony(c: Canvas) -> None:
    """A house wall with a window, a slab and a light balustrade, the street far below."""
    c.sky(c.rng.random() < 0.4)
    c.houses(SIZE, False, tall=False)
    wall = c.rng.randint(60, 90)
    c.box(0, 0, wall, SIZE, (226, 196, 160))
    c.pen.rectangle(
        (14, c.floor - 80, wall - 14, c.floor), fill=c.tint((120, 160, 190)), outline=(250, 250, 245), width=3
    )
    end = wall + c.rng.randint(70, 100)
    c.box(0, c.floor, end, c.floor + 10, (190, 186, 180))
    for x in range(wall, end, 10):
        c.pen.line((x, c.floor - 26, x, c.floor), fill=(245, 245, 245), width=3)
    c.pen.line((wall, c.floor - 27, end, c.floor - 27), fill=(245, 245, 245), width=4)


def bathroom(c: Canvas) -> None:
    """Blue-white tiles."""
    c.box(0, 0, SIZE, SIZE, (216, 236, 243))
    c.rows(0, c.floor, 16, (188, 212, 222))
    c.columns(0, c.floor, 16, (188, 212, 222))
    c.box(0, c.floor, SIZE, SIZE, (182, 170, 160))
    if c.rng.random() < 0.6:
        x = c.rng.randint(10, 120)
        c.pen.ellipse((x, 12, x + 44, 62), fill=c.tint((186, 220, 236)), outline=(150, 150, 156), width=3)


def kitchen(c: Canvas) -> None:
    """Wall cupboards, a worktop, lower cupboards."""
    c.box(0, 0, SIZE, SIZE, (245, 225, 190))
    wood = c.tint((172, 112, 72))
    depth = c.rng.randint(24, 40)
    c.box(0, 0, SIZE, depth, wood)
    c.columns(0, depth, 38, (110, 72, 44), 2)
    c.box(0, c.floor, SIZE, c.floor + 8, (120, 120, 126))
    c.box(0, c.floor + 8, SIZE, SIZE, wood)
    c.columns(c.floor + 8, SIZE, 38, (110, 72, 44), 2)


def bedroom(c: Canvas) -> None:
    """A lilac wall with a window, a carpet."""
    c.box(0, 0, SIZE, SIZE, c.rng.choice([(205, 190, 225), (232, 208, 214)]))
    x = c.rng.randint(10, 130)
    glass = c.rng.choice([(30, 40, 90), (165, 210, 240)])
    c.pen.rectangle((x, 14, x + 46, 62), fill=c.tint(glass), outline=(250, 250, 240), width=4)
    c.pen.line((x + 23, 14, x + 23, 62), fill=(250, 250, 240), width=3)
    c.box(0, c.floor, SIZE, SIZE, (150, 100, 92))
    c.box(0, c.floor, SIZE, c.floor + 5, (245, 240, 235))


def garage(c: Canvas) -> None:
    """A grey roller door, a concrete floor."""
    c.box(0, 0, SIZE, SIZE, (150, 150, 156))
    c.rows(8, c.floor - 12, 14, (114, 114, 120), 2)
    c.box(0, c.floor, SIZE, SIZE, (100, 100, 106))


def laboratory(c: Canvas) -> None:
    """White walls with two shelves, a green bench."""
    c.box(0, 0, SIZE, SIZE, (228, 240, 240))
    for y in (18, 48):
        c.box(0, y, SIZE, y + 6, (120, 160, 166))
        for x in range(c.rng.randint(2, 20), SIZE, 26):
            c.box(x, y - 10, x + 6, y, c.rng.choice([(200, 120, 90), (110, 150, 200), (140, 190, 120)]))
    c.box(0, c.floor, SIZE, SIZE, (70, 130, 136))
    c.box(0, c.floor, SIZE, c.floor + 6, (245, 250, 250))


def classroom(c: Canvas) -> None:
    """A green board in a wooden frame, a plank floor."""
    c.box(0, 0, SIZE, SIZE, (240, 228, 196))
    x = c.rng.randint(6, 34)
    board = (x, 12, SIZE - c.rng.randint(6, 34), c.floor - 22)
    c.pen.rectangle(board, fill=c.tint((44, 96, 74)), outline=(170, 120, 70), width=4)
    c.box(0, c.floor, SIZE, SIZE, (190, 148, 104))
    c.rows(c.floor, SIZE, 12, (160, 120, 82))


def street(c: Canvas) -> None:
    """House fronts above an asphalt road with a dashed line."""
    night = c.rng.random() < 0.3
    c.sky(night)
    c.houses(c.floor, night, tall=False)
    c.box(0, c.floor, SIZE, c.floor + 6, (170, 168, 164))
    c.box(0, c.floor + 6, SIZE, SIZE, (84, 84, 90))
    middle = (c.floor + SIZE) // 2
    for x in range(c.rng.randint(0, 20), SIZE, 28):
        c.pen.rectangle((x, middle, x + 14, middle + 3), fill=(240, 240, 220))


def forest(c: Canvas) -> None:
    """Round dark trees in a row."""
    c.box(0, 0, SIZE, SIZE, (150, 205, 166))
    x = c.rng.randint(0, 20)
    while x < SIZE:
        c.box(x, 20, x + 7, c.floor, (96, 66, 42))
        c.pen.ellipse(
            (x - 17, c.rng.randint(-20, 20), x + 23, c.rng.randint(60, 88)), fill=c.tint((40, 120, 60))
        )
        x += c.rng.randint(26, 40)
    c.box(0, c.floor, SIZE, SIZE, (92, 138, 70))


def lake_shore(c: Canvas) -> None:
    """A strip of water with waves, sand in front."""
    far = c.floor - c.rng.randint(34, 56)
    c.sky(c.rng.random() < 0.15)
    c.box(0, far, SIZE, c.floor, (50, 120, 190))
    for x in range(0, SIZE, 18):
        y = far + 6 + (x % 4) * 8
        c.pen.arc((x, y, x + 16, y + 7), 0, 180, fill=(200, 230, 250))
    c.box(0, c.floor, SIZE, SIZE, (226, 206, 150))


def park(c: Canvas) -> None:
    """A wide lawn with a light path, hedges and a few flowers."""
    c.sky(False)
    c.box(0, c.floor - 16, SIZE, c.floor, (70, 140, 76))
    c.box(0, c.floor, SIZE, SIZE, (128, 192, 96))
    x = c.rng.randint(30, 110)
    c.pen.polygon(
        [(x, c.floor), (x + 16, c.floor), (x + 54, SIZE), (x - 34, SIZE)], fill=c.tint((224, 208, 172))
    )
    for _ in range(14):
        fx, fy = c.rng.randint(0, SIZE), c.rng.randint(c.floor + 4, SIZE)
        c.pen.ellipse(
            (fx, fy, fx + 3, fy + 3), fill=c.rng.choice([(250, 250, 250), (240, 120, 150), (250, 220, 90)])
        )


PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "rooftop edge": rooftop_edge,
    "cliff edge": cliff_edge,
    "bridge": bridge,
    "balcony": balcony,
    "bathroom": bathroom,
    "kitchen": kitchen,
    "bedroom": bedroom,
    "garage": garage,
    "laboratory": laboratory,
    "classroom": classroom,
    "street": street,
    "forest": forest,
    "lake shore": lake_shore,
    "park": park,
}


def background(setting: str, rng: Random) -> Image.Image:
    """A fresh variation of one setting, 192×192 RGB."""
    canvas = Canvas(rng)
    PAINTERS[setting](canvas)
    return canvas.image
