"""One training job: a recipe, a model, a folder and the items they stand for, checked before torch loads.

The folder's `train.json` says what the job is; a later call with another recipe, model or data is refused
rather than mixed into it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsbench import cards, leakage
from rsbench.data import Dataset
from rsbench.models.base import GenParams
from rsbench.models.hf_loading import TINY, Checkpoint, find_checkpoint
from rsbench.models.registry import ModelOptions
from rsbench.plan import Plan, make_plan
from rsbench.records import digest
from rsbench.settings import Settings
from rsbench.shelves import Found
from rsbench.store import RunFolder, read_noted
from rsbench.types import Item, UserError
from srpo_train.recipes import Recipe

MANIFEST, EXPLORED = "train.json", "explore"
BRANCHES = "branches"  # in the manifest once training began: a digest of the records it takes
SCHEMA = 1
SHOWN_OVERLAPS = 10


@dataclass(frozen=True)
class Job:
    """What `rsbench train` was asked for."""

    recipe: Recipe
    found: Found
    model: str
    out: Path
    say: Callable[[str], None]
    shelves: tuple[Path, ...] = ()
    model_options: ModelOptions = ModelOptions()
    judge_options: ModelOptions = ModelOptions()
    allow_same_family: bool = False
    yes: bool = False
    branches_from: Path | None = None  # a folder explored before; otherwise one in `out`
    _plans: list[Plan] = field(default_factory=list, compare=False)  # read once, as is what they leak
    _leakage: list[str] = field(default_factory=list, compare=False)

    @property
    def explored(self) -> Path:
        """The folder of the exploration."""
        return self.branches_from or self.out / EXPLORED

    @property
    def checkpoint(self) -> Checkpoint:
        """The weights to start from.

        Raises:
            UserError: a model that has no weights here.
        """
        provider, _, rest = self.model.partition("/")
        local = self.model_options.local
        options = (self.model_options.revision, local.adapter, local.dtype, local.device_map)
        if self.model == "tiny":
            return find_checkpoint(str(TINY), *options)
        if provider == "hf" and rest:
            return find_checkpoint(str(Path(rest).expanduser()), *options)
        raise UserError(
            f"--model {self.model!r} can't be trained; allowed are tiny, hf/FOLDER and hf/HUB-ID "
            "(a server can serve the stage explore: docs/train-srpo.md)"
        )

    @property
    def plans(self) -> list[Plan]:
        """The items to train on with their prompts, one plan a task.

        Raises:
            UserError: unreadable data, no such split, or a split that is not for training.
        """
        if not self._plans:
            self._plans.extend(self._plan(task) for task in self.recipe.tasks)
        return self._plans

    def _plan(self, task: str) -> Plan:
        card, found = cards.load_task(task, list(self.shelves))
        recipe = self.recipe
        settings = Settings(
            model=self.model,
            task=task,
            split=recipe.split,
            prompt=recipe.prompt,
            limit=recipe.limit,
            seed=recipe.optimise.seed,
            params=GenParams(),
        )
        plan = make_plan(card, found, settings, self.checkpoint.identity(self.model))
        if card.splits and not plan.dataset.trains:
            trains = ", ".join(name for name, split in card.splits.items() if split.trains) or "none"
            raise UserError(
                f"{self.found.path}: split: {plan.dataset.split!r} of task {task!r} is what models are "
                f"measured on; its splits for training: {trains}"
            )
        return plan

    @property
    def items(self) -> list[Item]:
        """The training items, in the order of tasks and files."""
        return [item for plan in self.plans for item in plan.dataset]

    def check_leakage(self) -> str:
        """What the comparison of training and benchmark items found, in words.

        Raises:
            UserError: a training item repeats a benchmark item, in a way that the recipe does not accept.
        """
        if self._leakage:
            return self._leakage[0]
        items, accepted = self.items, self.recipe.overlap
        bad, compared, passed = [], 0, 0
        for task in dict.fromkeys([*self.recipe.run.tasks, "rsbench"]):
            card, place = cards.load_task(task, list(self.shelves))
            benchmark = list(Dataset(card, place.folder))
            compared += len(benchmark)
            allowed = accepted.allow if accepted is not None and accepted.task == task else []
            found = leakage.find(items, benchmark)
            bad += [overlap for overlap in found if overlap.what not in allowed]
            passed += sum(overlap.what in allowed for overlap in found)
        if bad:
            listed = "\n  ".join(str(overlap) for overlap in bad[:SHOWN_OVERLAPS])
            raise UserError(
                f"{len(bad)} times a training item repeats a benchmark item; nothing was trained:\n  {listed}"
                f"\n({leakage.THRESHOLDS})"
            )
        text = f"none of {len(items)} training items repeats one of {compared} benchmark items"
        if accepted is not None:
            kinds = ", ".join(accepted.allow)
            text += f", {passed} likenesses with {accepted.task} apart ({kinds}), accepted: {accepted.why}"
        self._leakage.append(f"{text} ({leakage.THRESHOLDS})")
        return self._leakage[0]

    @property
    def training(self) -> dict[str, Any]:
        """What a row says of a model that was trained so."""
        seed = self.recipe.optimise.seed
        known = {"recipe": self.recipe.name, "base": self.model, "seed": seed}
        return known | {"recipe_digest": recipe_digest(self.recipe)}

    def identity(self) -> dict[str, Any]:
        """What makes two jobs the same job."""
        return {
            "recipe": _content(self.recipe),
            "model": {"name": self.model, **self.checkpoint.identity(self.model)},
            "data": {
                plan.dataset.card.name: digest([item.hash for item in plan.dataset]) for plan in self.plans
            },
            "prompts": {plan.dataset.card.name: digest(plan.template) for plan in self.plans},
        }

    def begin(self, folder: RunFolder) -> None:
        """Write the manifest, or check that the folder's own says the same.

        Raises:
            UserError: the folder holds another job.
        """
        mine: dict[str, Any] = {
            "schema": SCHEMA,
            "identity": self.identity(),
            "recipe_sha256": self.found.sha256,
        }
        old = read_manifest(folder.path)
        if old is None:
            folder.write(MANIFEST, mine)
            return
        before = said(old["identity"])
        differing = [key for key, value in mine["identity"].items() if before.get(key) != value]
        if differing:
            raise UserError(
                f"{folder.path}: holds a training with another {', '.join(differing)}; take another --out, "
                "or delete the folder to begin anew"
            )


def said(data: dict[str, Any]) -> dict[str, Any]:
    """The keys that have a value: one that a later version added and that is unset makes no other recipe."""
    return {
        key: said(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if value is not None
    }


def recipe_digest(recipe: Recipe) -> str:
    """Of what a recipe trains: the same for all of its seeds, another once any other key is changed."""
    data = _content(recipe)
    for part in (data, data.get("explore", {}), data.get("optimise", {})):
        part.pop("seed", None)
    return digest(data)


def _content(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of the training: measuring may be repeated otherwise, and bases have names."""
    apart = {"run", "description", "model"}
    return said(recipe.model_dump(mode="json", by_alias=True, exclude=apart))


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What a training folder says of itself; None in a fresh one.

    Raises:
        UserError: damaged, or of a newer version.
    """
    path = folder / MANIFEST
    return read_noted(path, "a training manifest", SCHEMA) if path.exists() else None


def rank() -> int:
    """This process's number among those that a launcher started; 0 without one."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes a launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1"))
