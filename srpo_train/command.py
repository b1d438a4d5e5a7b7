"""What the command line calls: options in, a job made, its stages done. Loads nothing heavy by itself."""

from pathlib import Path
from typing import Any

from rsbench.models.registry import ModelOptions
from rsbench.score import slug
from rsbench.shelves import Found, is_path
from rsbench.terminal import err
from srpo_train.job import Job, rank
from srpo_train.recipes import Recipe, changed
from srpo_train.stages import train as do


def train(
    recipe: str,
    stages: tuple[str, ...],
    changes: dict[str, Any],
    out: Path | None,
    branches: Path | None,
    dry_run: bool,
    model_options: ModelOptions,
    judge_options: ModelOptions,
    allow_same_family: bool,
    yes: bool,
    shelves: list[Path],
) -> bool:
    """Do some stages of a recipe; returns whether the runs among them are complete."""
    console = err()

    def make(card: Recipe, found: Found) -> Job:
        asked = changed(card, f"{found.path} with options", **changes)
        place = out or Path("runs") / f"train-{asked.name}-{slug(_short(asked.model))}"
        return Job(
            recipe=asked,
            found=found,
            model=asked.model,
            out=place,
            say=lambda line: None if rank() else console.print(line, markup=False, soft_wrap=True),
            shelves=tuple(shelves),
            model_options=model_options,
            judge_options=judge_options,
            allow_same_family=allow_same_family,
            yes=yes,
            branches_from=branches,
        )

    return do(recipe, stages, make, shelves, dry_run)


def _short(model: str) -> str:
    """A model's name in a folder's: of a path the last part."""
    rest = model.removeprefix("hf/")
    return Path(rest).name if is_path(rest) else rest
