"""An item on its way through exploring: the beginnings of its reference path, and what was drawn at each."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from rsbench.plan import Sample
from rsbench.types import Role, Verdict
from srpo_train.brancher import Trunk
from srpo_train.branches import Branch, hash_ids


@dataclass
class Place:
    """A prefix to branch from, and its branches so far."""

    steps: int
    ids: tuple[int, ...]
    text: str
    role: Role | None
    origin: str = ""
    branches: list[Branch] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """One draw at one place."""

    key: str
    at: Place
    draw: int


class OnItsWay:
    """One item on its way: its trunk, and the beginnings of its reference path."""

    def __init__(self, sample: Sample, trunk: Trunk, prefixes: Literal["all", "start"] = "all") -> None:
        self.sample = sample
        self.trunk = trunk
        self.prompt_hash = hash_ids(trunk.prompt_ids)
        self.verdicts: dict[tuple[tuple[int, ...], tuple[int, ...]], asyncio.Future[Verdict]] = {}
        assert sample.item.reference is not None, "the brancher refuses items without one"
        roles = [*(step.role for step in sample.item.reference.steps), None]
        path = trunk.path
        ends = zip(path.cuts, path.starts, roles, strict=True)
        self.places = [
            Place(steps, path.ids[:cut], path.text[:start], role)
            for steps, (cut, start, role) in enumerate(ends)
            if steps == 0 or prefixes == "all"
        ]
        self.probed: list[Place] = []  # in the search for turning steps

    def branches(self) -> list[Branch]:
        """All that were drawn."""
        return [branch for at in (*self.places, *self.probed) for branch in at.branches]
