"""Feeds the training: each step's data is made from the step's own seed, here or in worker processes.

The data of a step depends on seed, stage and number alone, not on how many workers drew it. Workers send
NumPy arrays through pipes: shared memory is scarce in containers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tiny.draw import Artist, Picture
from tiny.sampler import Sampler
from tiny.text import Composer, Pack, pack


class Maker(Protocol):
    """Makes the data of one step."""

    def __call__(self, number: int) -> tuple[NDArray[Any], ...]:
        """Arrays, the pixels first."""
        ...


@dataclass(frozen=True)
class DenseMaker:
    """Pictures and the class of every patch; three pictures in four are crowds."""

    artist: Artist
    sampler: Sampler
    seed: int
    size: int

    def __call__(self, number: int) -> tuple[NDArray[Any], ...]:
        """(size, 192, 192, 3) pixels and (size, 144) labels."""
        rng = Random(f"{self.seed}-dense-{number}")
        pictures = [self._scene(rng) if n % 4 == 0 else self.artist.crowd(rng) for n in range(self.size)]
        return np.stack([p.pixels for p in pictures]), np.stack([p.labels for p in pictures])

    def _scene(self, rng: Random) -> Picture:
        draft = self.sampler.draft(rng)
        return self.artist.compose(draft.objects, draft.setting or "", rng)


@dataclass(frozen=True)
class JointMaker:
    """Pictures with packed conversations; up to step `captions` every other step is captions alone."""

    composer: Composer
    seed: int
    size: int
    caption_size: int
    captions: int

    def is_caption(self, number: int) -> bool:
        """Whether this step trains the first step of the reply only."""
        return number % 2 == 1 and number < self.captions

    def __call__(self, number: int) -> tuple[NDArray[Any], ...]:
        """Pixels, the fields of the pack, the number of conversations."""
        rng = Random(f"{self.seed}-joint-{number}")
        captions = self.is_caption(number)
        size = self.caption_size if captions else self.size
        examples = [self.composer.example(rng, captions) for _ in range(size)]
        batch = pack([turns for _, turns in examples])
        arrays = (getattr(batch, field.name).numpy() for field in fields(batch))
        count = np.asarray(sum(len(turns) for _, turns in examples))
        return np.stack([pixels for pixels, _ in examples]), *arrays, count


def as_pack(arrays: tuple[NDArray[Any], ...]) -> Pack:
    """The arrays of a `JointMaker` between pixels and count as a pack."""
    return Pack(*map(torch.from_numpy, arrays))


class _Steps(torch.utils.data.Dataset[tuple[NDArray[Any], ...]]):
    def __init__(self, make: Maker, steps: int) -> None:
        self.make, self.steps = make, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> tuple[NDArray[Any], ...]:
        return self.make(number)


def feed(make: Maker, steps: int, workers: int) -> Iterator[tuple[NDArray[Any], ...]]:
    """The data of every step in order, drawn ahead by `workers` processes (0: by this one)."""
    if workers == 0:
        yield from map(make, range(steps))
        return
    loader = torch.utils.data.DataLoader(
        _Steps(make, steps),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        collate_fn=_as_is,
        multiprocessing_context="fork",
    )
    yield from loader


def _as_is(arrays: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    return arrays
