"""Compose training images: icons of the art library on a painted background, with a class for every patch.

Icons are rasterised once (resvg, through tools/scenes.py) and pasted with Pillow: hundreds of images a second
on one core, where rendering each scene as SVG would leave the training waiting. What is shown: world.py.
"""

import io
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is no package
import scenes

from tiny.paint import SIZE, background
from tiny.world import World, held_out_pair, held_out_place

PATCH = 16
GRID = SIZE // PATCH
SPRITE = 96  # px; icons are drawn at 40 to 84 px
COVERED = 0.25  # share of a patch that an icon must cover to be its label


@dataclass(frozen=True)
class Picture:
    """One training image."""

    pixels: NDArray[np.uint8]  # (192, 192, 3)
    labels: NDArray[np.int64]  # (12, 12): index of the object, or number of objects + index of the setting
    # Top to bottom, the raster order of image tokens: learnt far faster than left to right.
    objects: tuple[str, ...]


def rasterise(name: str, icons: Path | None) -> Image.Image:
    """One Noto icon as a square RGBA sprite; copied into the library from `icons` if it isn't there yet."""
    import resvg_py

    root = scenes.drawing(f"noto:{name}", icons)
    svg = ET.tostring(root, encoding="unicode")
    raw = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SPRITE, height=SPRITE, skip_system_fonts=True))
    return Image.open(io.BytesIO(raw)).convert("RGBA").resize((SPRITE, SPRITE))


class Artist:
    """Holds the sprites of a world and composes pictures of it."""

    def __init__(self, world: World, icons: Path | None = None, cache: Path | None = None) -> None:
        """Rasterise every drawing of the world's objects, or take them from `cache`, an .npz file.

        Raises:
            scenes.SceneError: an icon is neither in the art library nor in `icons`.
        """
        self.world = world
        names = [drawing for thing in world.objects.values() for drawing in thing.drawings]
        if cache is not None and cache.exists():
            with np.load(cache) as stored:
                drawn = {name: Image.fromarray(stored[name]) for name in names}
        else:
            drawn = {name: rasterise(name, icons) for name in names}
            if cache is not None:
                np.savez_compressed(cache, **{name: np.asarray(image) for name, image in drawn.items()})
        self.sprites = {name: [drawn[d] for d in thing.drawings] for name, thing in world.objects.items()}
        self.index = {name: n for n, name in enumerate(world.objects)}

    def compose(self, objects: Sequence[str], setting: str, rng: Random) -> Picture:
        """A training scene: every object in its own column, at its own height and size."""
        image = background(setting, rng)
        labels = self._blank(setting)
        best = np.full((GRID, GRID), COVERED)
        order = rng.sample(list(objects), len(objects))
        column = SIZE / len(order)
        placed = []
        for slot, name in enumerate(order):
            side = rng.randint(42, min(84, int(column * 1.15)) if len(order) > 2 else 84)
            x = (slot + 0.5) * column + rng.uniform(-0.18, 0.18) * column - side / 2
            y = rng.randint(14, SIZE - side - 4)
            self._paste(image, labels, best, name, (int(x), y, side), rng)
            placed.append((y + side / 2, name))
        return Picture(_light(image, rng), labels, tuple(name for _, name in sorted(placed)))

    def crowd(self, rng: Random) -> Picture:
        """A picture for the dense stage alone: 4 to 9 icons on a 3×3 grid, many labelled patches an image."""
        setting = rng.choice(list(self.world.settings))
        image = background(setting, rng)
        labels = self._blank(setting)
        best = np.full((GRID, GRID), COVERED)
        names = list(self.world.objects)
        shown: list[str] = []
        for cell in rng.sample(range(9), rng.randint(4, 9)):
            name = rng.choice(names)
            while held_out_place(name, setting) or any(held_out_pair(name, other) for other in shown):
                name = rng.choice(names)
            side = rng.randint(40, 76)
            x = (cell % 3 + 0.5) * 64 - side / 2 + rng.uniform(-9, 9)
            y = (cell // 3 + 0.5) * 64 - side / 2 + rng.uniform(-9, 9)
            self._paste(image, labels, best, name, (int(x), int(y), side), rng)
            shown.append(name)
        return Picture(_light(image, rng), labels, tuple(shown))

    def _blank(self, setting: str) -> NDArray[np.int64]:
        number = len(self.world.objects) + list(self.world.settings).index(setting)
        return np.full((GRID, GRID), number, dtype=np.int64)

    def _paste(
        self,
        image: Image.Image,
        labels: NDArray[np.int64],
        best: NDArray[np.float64],
        name: str,
        box: tuple[int, int, int],
        rng: Random,
    ) -> None:
        """Paste one object at (x, y, side) and label the patches where it covers most."""
        x, y, side = box
        x, y = max(0, min(SIZE - side, x)), max(0, min(SIZE - side, y))
        sprite = rng.choice(self.sprites[name])
        if rng.random() < 0.5:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sprite = sprite.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
        sprite = sprite.resize((side, side), Image.Resampling.BILINEAR)
        image.paste(sprite, (x, y), sprite)
        alpha = np.zeros((SIZE, SIZE), np.float32)
        alpha[y : y + side, x : x + side] = np.asarray(sprite)[..., 3] / 255
        cover = alpha.reshape(GRID, PATCH, GRID, PATCH).mean((1, 3))
        # What lies on top hides what is below: half a patch is enough even where the lower icon covered more.
        wins = cover >= np.minimum(best, 0.5)
        labels[wins] = self.index[name]
        best[wins] = cover[wins]


def _light(image: Image.Image, rng: Random) -> NDArray[np.uint8]:
    """Jitter brightness and offset of the whole picture."""
    pixels = np.asarray(image).astype(np.float32) * rng.uniform(0.85, 1.1) + rng.uniform(-8, 8)
    return pixels.clip(0, 255).astype(np.uint8)
