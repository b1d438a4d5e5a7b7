"""`rsbench train`: explore, optimise, run; each stage reads files and writes files, and can be repeated.

A stage that is done is not done again: exploring skips branches on record, optimising goes on from its last
checkpoint and stops at a finished model, running resumes as any run does.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rsbench import cards
from rsbench.judges import registry as judges
from rsbench.models.base import GenParams
from rsbench.models.cards import provider_of
from rsbench.settings import Settings
from rsbench.shelves import Found
from rsbench.show import run_and_show
from rsbench.store import MANIFEST, RunFolder
from rsbench.terminal import Watch
from rsbench.types import UserError
from srpo_train.branches import FILE
from srpo_train.job import Job, rank
from srpo_train.judging import check_judge
from srpo_train.model_card import is_finished
from srpo_train.recipes import KINDS, Kind, Recipe, load_recipe, named

STAGES = ("explore", "optimise", "run")
MODEL = "model"


def train(
    recipe: str,
    stages: tuple[str, ...],
    make: Callable[[Recipe, Found], Job],
    shelves: list[Path],
    dry_run: bool,
) -> bool:
    """Do some stages of a recipe; returns whether the runs among them are complete.

    Raises:
        UserError: a bad recipe, unreadable data, an overlap with the benchmark, or a stage's own.
    """
    card, found = load_recipe(recipe, shelves)
    job = make(card, found)
    if KINDS[card.kind].makes == "judge":  # type: ignore[attr-defined] # every kind of recipe has one
        return _make_judge(job, dry_run)
    job.items  # noqa: B018 - unreadable data is found here
    paid = check_judge(job, stages)
    run_judges = {task: _run_judge(job, task) for task in card.run.tasks} if "run" in stages else {}
    leak = job.check_leakage()
    if dry_run:
        job.say(named("srpo_train.estimate:text")(job, stages))
        return True
    job.say(f"leakage: {leak}")
    if paid and rank() == 0:
        with Watch(f"training {card.name}") as watch:
            watch.confirm(named("srpo_train.estimate:text")(job, stages), job.yes)
    with RunFolder(job.out) as folder:
        if rank() == 0:  # one process holds the folder for all that a launcher started
            job.begin(folder.locked())
        return _do(job, stages, run_judges)


def _make_judge(job: Job, dry_run: bool) -> bool:
    """The one stage of a recipe that makes a judge."""
    leak = job.check_leakage()
    if dry_run:
        job.say(f"{len(job.items)} items to learn from; {leak}")
        return True
    job.say(f"leakage: {leak}")
    with RunFolder(job.out) as folder:
        job.begin(folder.locked())
        named(KINDS[job.recipe.kind].optimise)(job)  # type: ignore[attr-defined]
    return True


def _do(job: Job, stages: tuple[str, ...], run_judges: dict[str, str]) -> bool:
    kind = KINDS[job.recipe.kind]  # type: ignore[attr-defined] # every kind of recipe has one
    if "explore" in stages and kind.explores and job.branches_from is None:
        named("srpo_train.exploring:explore_for")(job)
    if "optimise" in stages:
        _optimise(job, kind)
    return _run(job, run_judges) if "run" in stages and rank() == 0 else True


def _optimise(job: Job, kind: Kind) -> None:
    if is_finished(job.out / MODEL):
        if kind.explores and (job.explored / FILE).exists():
            named("srpo_train.gathering:take")(job)  # of other branches it would be another model
        job.say(f"{job.out / MODEL} is trained already")
        return
    named(kind.optimise)(job)
    if rank() == 0:
        job.say(f"trained: {job.out / MODEL}")


def _run_judge(job: Job, task: str) -> str:
    """Who judges the run, found out before anything is spent."""
    own = cards.load_task(task, list(job.shelves))[0].judge
    wanted = job.recipe.run.judge or (own if provider_of(job.model) in judges.OFFLINE else None)
    if wanted is None:
        raise UserError(f"{job.found.path}: run.judge: missing; a real model needs a judge by name")
    return wanted


def note_training(place: Path, training: dict[str, Any]) -> None:
    """Write into a run's manifest what its model was trained from (recipe, base, seed), for the row."""
    with RunFolder(place).locked() as folder:
        folder.write(MANIFEST, folder.manifest() | {"training": training})


def _run(job: Job, run_judges: dict[str, str]) -> bool:
    if not is_finished(job.out / MODEL):
        raise UserError(f"{job.out / MODEL}: no trained model there; --stage optimise makes it")
    wanted, complete = job.recipe.run, True
    # The trained model is a folder here, whatever server and revision its start came from.
    own = dataclasses.replace(job.model_options, base_url=None, api_key_env=None, revision=None)
    for task in wanted.tasks:
        settings = Settings(
            model=f"hf/{job.out / MODEL}",
            task=task,
            judge=run_judges[task],
            judge_model=wanted.judge_model,
            limit=wanted.limit,
            shelves=job.shelves,
            params=GenParams(max_tokens=wanted.max_tokens),
            model_options=own,
            judge_options=job.judge_options,
            allow_same_family=job.allow_same_family,
            yes=job.yes,
        )
        place = job.out / "run" / Path(task).name
        complete &= run_and_show(settings, place)
        note_training(place, job.training)
        job.say(f"row: rsbench leaderboard add {place}")
    return complete
