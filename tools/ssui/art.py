"""Draw a composed scene: a few words of a small placing language become one SVG, and a small palette PNG.

`icon@x,y,w` puts a drawing of the art library with its foot at (x, y), `obj:name` one of our own objects,
`P1@x,y,h` a person, `word#colour@x,y,w` a shape of `shapes`. A line of text a thing keeps hundreds of scenes
readable; pixels depend on text, seed and a pinned rasteriser alone.
"""

import io
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is no package
import scenes

from ssui.backdrops import BACKDROPS
from ssui.shapes import SHAPES, Box

SIZE = 512
COLOURS = 64  # of the palette; drawings are flat, so few are needed
CLOTHES = ("#8e5ea2", "#22507f", "#c0563f", "#3f7d58", "#d39b2a", "#4a4f57", "#b8476b", "#2f8f9d", "#7a5c3e")
TROUSERS = ("#2d3440", "#39424e", "#5b4a3a", "#274060", "#4d4d57")
_THING = re.compile(
    r"(?P<name>[A-Za-z0-9][\w:-]*)(?P<colours>(#[0-9a-f]{3,8})*)@(?P<at>-?[\d.,-]+)(?P<flip>~?)$"
)


class ArtError(ValueError):
    """A scene line that can't be drawn: names the line and what is wrong in it."""


@dataclass(frozen=True)
class Person:
    """Who stands in a slot: the head's icon and how the texts call them."""

    icon: str
    noun: str  # "an old man"
    pronouns: tuple[str, str, str]  # he, him, his


@dataclass(frozen=True)
class Thing:
    """One parsed line of a scene."""

    name: str
    colours: tuple[str, ...]
    at: tuple[float, ...]
    flip: bool


def parse(line: str) -> Thing:
    """One line of the placing language.

    Raises:
        ArtError: it doesn't follow the form `name#colour@x,y,w`.
    """
    match = _THING.fullmatch(line.replace(" ", ""))
    if match is None:
        raise ArtError(f"{line!r}: write name@x,y,width or name#colour@x,y,width")
    numbers = tuple(float(part) for part in match["at"].split(","))
    return Thing(
        match["name"], tuple(re.findall(r"#[0-9a-f]+", match["colours"])), numbers, bool(match["flip"])
    )


def scene(
    backdrop: Sequence[str], things: Sequence[str], people: Mapping[str, Person], seed: float, mirrored: bool
) -> str:
    """The scene as SVG text with every drawing inlined.

    Things keep their order (later ones in front) and are moved by a few pixels; a mirrored scene is turned
    as a whole, so that what stands on what stays so.
    """
    rng = Random(seed)
    parts = [_draw(parse(line), people, rng, 0) for line in backdrop]
    shift = (rng.uniform(-14, 14), rng.uniform(-6, 6))  # one shift for all: a cup stays on its table
    parts.append(f'<g transform="translate({shift[0]:.1f} {shift[1]:.1f})">')
    parts += [_draw(parse(line), people, rng, 1) for line in things]
    parts.append("</g>")
    body = "".join(parts)
    if mirrored:
        body = f'<g transform="translate({SIZE} 0) scale(-1 1)">{body}</g>'
    head = f'<svg xmlns="{scenes.SVG}" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}">'
    root = ET.fromstring(f"{head}{body}</svg>")
    scenes.inline(root)
    return ET.tostring(root, encoding="unicode")


def png(svg: str) -> bytes:
    """SVG → PNG with a palette, the same bytes for the same text."""
    import resvg_py
    from PIL import Image

    raw = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, background="#ffffff"))
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    image = image.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def same_picture(a: bytes, b: bytes) -> bool:
    """Equal but for rounding: processors differ in the last bit, and a palette may then differ."""
    import numpy as np
    from PIL import Image

    left, right = (np.asarray(Image.open(io.BytesIO(x)).convert("RGB"), dtype=np.int16) for x in (a, b))
    return left.shape == right.shape and float(np.abs(left - right).mean()) < 0.5


def icons(things: Sequence[str]) -> set[str]:
    """The Noto drawings that scene lines need."""
    return {name for line in things if not _ours(name := parse(line).name)}


def _ours(name: str) -> bool:
    return name in SHAPES or name in BACKDROPS or name.startswith("obj:") or _slot(name)


def _slot(name: str) -> bool:
    return bool(re.fullmatch(r"P\d", name))


def _draw(thing: Thing, people: Mapping[str, Person], rng: Random, jitter: float) -> str:
    if thing.name in BACKDROPS:
        return BACKDROPS[thing.name](thing.colours, *thing.at)
    if len(thing.at) < 3:
        raise ArtError(f"{thing.name}: needs x, y and width")
    x, y, w, *rest = thing.at
    x += jitter * rng.uniform(-2, 2)
    if _slot(thing.name):
        if thing.name not in people:
            raise ArtError(f"{thing.name}: nobody stands in this slot")
        return _person(people[thing.name], x, y, w, rng)
    if thing.name in SHAPES:
        return SHAPES[thing.name](Box(x, y, w, rest[0] if rest else None), thing.colours)
    ref = thing.name.replace("obj:", "object:") if thing.name.startswith("obj:") else f"noto:{thing.name}"
    use = f'<use href="{ref}" x="{x - w / 2:.1f}" y="{y - w:.1f}" width="{w:.1f}" height="{w:.1f}"/>'
    return f'<g transform="translate({2 * x:.1f} 0) scale(-1 1)">{use}</g>' if thing.flip else use


def _person(person: Person, x: float, foot: float, tall: float, rng: Random) -> str:
    """A standing figure: drawn body and clothes, the head from the library."""
    child = person.noun.endswith(("boy", "girl"))
    head = tall * (0.42 if child else 0.34)
    shirt, legs = rng.choice(CLOTHES), rng.choice(TROUSERS)
    wide, hip, neck = tall * 0.24, foot - tall * 0.36, foot - tall + head * 0.86
    half, leg = wide / 2, wide * 0.3
    arm = rng.choice((0.1, 0.35, 0.6))  # how far the arms are lifted
    hand = neck + (hip - neck) * (1.05 - arm)
    out = []
    for side in (-1, 1):
        out.append(
            f'<line x1="{x + side * half * 0.5:.1f}" y1="{hip - 6:.1f}" x2="{x + side * half * 0.6:.1f}" '
            f'y2="{foot - 4:.1f}" stroke="{legs}" stroke-width="{leg:.1f}" stroke-linecap="round"/>'
            f'<line x1="{x + side * half * 0.8:.1f}" y1="{neck + leg:.1f}" '
            f'x2="{x + side * half * (1.3 + arm):.1f}" y2="{hand:.1f}" stroke="{shirt}" '
            f'stroke-width="{leg * 0.8:.1f}" stroke-linecap="round"/>'
        )
    body = f'<rect x="{x - half:.1f}" y="{neck:.1f}" width="{wide:.1f}" height="{hip - neck + 4:.1f}" '
    out.append(f'{body}rx="{half * 0.7:.1f}" fill="{shirt}"/>')
    face = f'x="{x - head / 2:.1f}" y="{foot - tall:.1f}" width="{head:.1f}" height="{head:.1f}"'
    out.append(f'<use href="noto:{person.icon}" {face}/>')
    return "".join(out)
