"""What an exploration is: its settings, the manifest that a resumed one must match, what a sampler sees."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rsbench.judges.base import Judge
from rsbench.models.base import GenParams
from rsbench.runner import judge_identity
from rsbench.store import RunFolder
from rsbench.types import UserError
from srpo_train.brancher import Brancher
from srpo_train.branches import Branch, group, pairs
from srpo_train.experience import Seen
from srpo_train.labels import BranchLabel
from srpo_train.samplers import Adaptive, Sampler, Uniform

MANIFEST, SUMMARY = "explore.json", "exploration.json"  # the second is there once exploring has ended
SamplerName = Literal["uniform", "adaptive"]


@dataclass(frozen=True)
class Exploration:
    """What a recipe says about exploring; everything but `workers` is part of the branches' identity."""

    sampler: SamplerName = "adaptive"
    k: int = 10  # branches a prefix: all of them with `uniform`, at most with `adaptive`
    pairs_per_prefix: int = 4
    branch_label: BranchLabel = "step"
    temperature: float = 0.7
    top_p: float | None = None
    max_tokens: int = 512
    seed: int = 0
    hints: bool = True
    first: int = 3
    min_chance: float = 0.1
    across_items: bool = True  # `adaptive`: later items leave out what did not pay at earlier ones
    prefixes: Literal["all", "start"] = "all"  # start: whole replies alone
    turns: int = 0  # unsafe branches an item to search for the step at which they turn
    workers: int = 4  # items at a time

    def __post_init__(self) -> None:
        for name, allowed in (("sampler", SamplerName), ("branch_label", BranchLabel)):
            if getattr(self, name) not in get_args(allowed):
                words = ", ".join(get_args(allowed))
                raise UserError(f"explore: {name}: {getattr(self, name)!r}; allowed are {words}")
        for name, least in (
            ("k", 2),
            ("pairs_per_prefix", 1),
            ("max_tokens", 1),
            ("first", 1),
            ("workers", 1),
        ):
            if getattr(self, name) < least:
                raise UserError(f"explore: {name}: {getattr(self, name)}; at least {least}")
        if not self.temperature > 0:
            raise UserError("explore: temperature: must be above 0, or all branches of a prefix are the same")

    def make_sampler(self) -> Sampler:
        """The sampler asked for."""
        if self.sampler == "uniform":
            return Uniform(self.k)
        return Adaptive(self.k, self.pairs_per_prefix, self.first, self.min_chance)

    @property
    def learns(self) -> bool:
        """Whether what one item shows decides where others are drawn from."""
        return self.across_items and self.sampler == "adaptive"

    @property
    def params(self) -> GenParams:
        """How branches are sampled."""
        return GenParams(self.max_tokens, self.temperature, self.top_p)


def check_same(folder: RunFolder, settings: Exploration, brancher: Brancher, judge: Judge) -> None:
    """Write what this exploration is, or compare it with what the folder says.

    Raises:
        UserError: it is another one; mixed in one file, neither could be used.
    """
    own = dataclasses.asdict(settings)
    del own["workers"]
    now: dict[str, Any] = {"schema": 1, "settings": own, "model": brancher.identity()}
    now["judge"] = {"name": judge.name, **judge_identity(judge, settings.hints)}
    path = folder.path / MANIFEST
    if not path.exists():
        folder.write(MANIFEST, now)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{part}.{key}: {before[part].get(key)!r} there, {now[part].get(key)!r} now"
            for part in ("settings", "model", "judge")
            for key in sorted(before[part].keys() | now[part].keys())
            if before[part].get(key) != now[part].get(key)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: can't be read ({error!r}); explore into a new folder") from error
    if changed:
        raise UserError(
            f"{folder.path} holds another exploration: {'; '.join(changed)}. Explore into a new folder."
        )


def look(branches: Sequence[Branch], settings: Exploration, role: str | None) -> Seen:
    """What a sampler may know of a prefix; `role`: of the step that its branches take the place of."""
    if not branches:
        return Seen(role=role or "answer")
    (one,) = group(branches, "one prefix")
    nats = [branch.nats for branch in branches if branch.nats is not None]
    return Seen(
        draws=len(branches),
        favourable=sum(branch.label.favourable is True for branch in branches),
        unfavourable=sum(branch.label.favourable is False for branch in branches),
        pairs=len(pairs([one], settings.pairs_per_prefix, settings.seed)),
        generated=sum(branch.n_generated for branch in branches),
        nats=sum(nats) / len(nats) if nats else None,
        role=role or "answer",
    )
