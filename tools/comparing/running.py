"""Doing the comparison: explorations, trainings, runs and rows, several processes side by side.

Everything is resumed: an exploration by its records, a training by its checkpoint, a run by its keys. What
has a line of facts is not done again, whoever did it.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from comparing.facts import Facts, What
from comparing.labels import agreement
from comparing.plan import Plan, Run
from rsbench.models.base import GenParams
from rsbench.models.registry import ModelOptions
from rsbench.rows import make_row
from rsbench.settings import Settings
from rsbench.shelves import find
from rsbench.show import run_and_show
from rsbench.store import RunFolder
from srpo_train.command import train
from srpo_train.job import recipe_digest
from srpo_train.recipes import changed, load_recipe
from srpo_train.stages import note_training

RUN = ModelOptions(batch_size=120)  # replies made together; the model is tiny
Found = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One thing to do in a process of its own, and the line of facts it gives."""

    what: What
    name: str
    do: Callable[..., Found]
    given: tuple[Any, ...]


def explorations(plan: Plan, runs: Sequence[Run], work: Path) -> list[Job]:
    """The explorations that these runs share, seed by seed."""
    shared = {(one.seed, bank) for one in runs if (bank := plan.bank_of(one.recipe)) is not None}
    return [
        Job("bank", f"{bank}-seed-{seed}", explore, (plan, work, bank, seed)) for seed, bank in sorted(shared)
    ]


def trials(plan: Plan, work: Path) -> list[Job]:
    """The tuning."""
    return [Job("trial", one.name, tune, (plan, work, one)) for one in plan.trials()]


def trainings(plan: Plan, work: Path, rows: Path) -> list[Job]:
    """The trainings of the tables."""
    return [Job("run", one.name, run, (plan, work, rows, one)) for one in plan.runs()]


def others(plan: Plan, work: Path) -> list[Job]:
    """The other task, for the base and for some seeds of the main table."""
    chosen = [one for one in plan.runs() if one.recipe in plan.main.recipes and one.seed in plan.beside.seeds]
    trained = [Job("beside", one.name, beside, (plan, work, one)) for one in chosen]
    return [Job("beside", plan.base, beside, (plan, work, None)), *trained]


def together(jobs: Sequence[Job], facts: Facts, workers: int) -> None:
    """Do what is not done yet, in this order, in `workers` processes, and say how far they are.

    Raises:
        Whatever the first failing job raised; those under way are finished.
    """
    waiting = [job for job in jobs if not facts.has(job.what, job.name)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        futures = {pool.submit(job.do, *job.given): job for job in waiting}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                job = futures[future]
                facts.add(job.what, job.name, future.result())
                sys.stdout.write(f"{time.strftime('%H:%M:%S')} {job.what} {done}/{len(waiting)} {job.name}\n")
                sys.stdout.flush()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def explore(plan: Plan, work: Path, bank: str, seed: int) -> Found:
    """Explore one bank with one seed."""
    place = _bank(work, bank, seed)
    clock = time.process_time()
    _train(plan.banks[bank][0], ("explore",), seed, place.parent, None)
    took = time.process_time() - clock
    found: Found = json.loads((place / "exploration.json").read_text(encoding="utf-8"))
    labels = agreement(place, plan.task, plan.judge)
    return {"bank": bank, "seed": seed, "cpu_seconds": took, "labels": labels, **found}


def tune(plan: Plan, work: Path, trial: Run) -> Found:
    """One trial: train with its learning rate, measure on the split for tuning."""
    out = work / "tuning" / trial.name
    recipe = _with_rate(trial, out)
    _train(str(recipe), ("optimise",), trial.seed, out, _shared(plan, work, trial))
    score = _measure(plan, out / "model", out / "validation", plan.task, plan.judge, plan.tuning.split)
    _clean(out)
    return {"recipe": trial.recipe, "learning_rate": trial.rate, **_headline(score)}


def run(plan: Plan, work: Path, rows: Path, one: Run) -> Found:
    """One training of the tables, its run and its row."""
    out = work / "runs" / one.name
    _train(one.recipe, ("optimise",), one.seed, out, _shared(plan, work, one))
    _measure(plan, out / "model", out / "run", plan.task, plan.judge)
    training = {"recipe": one.recipe, "base": plan.base, "seed": one.seed}
    said = recipe_digest(changed(load_recipe(one.recipe)[0], one.recipe, seed=one.seed))
    note_training(out / "run", training | {"recipe_digest": said})
    row = make_row(RunFolder(out / "run"), plan.judge, rows)
    report = json.loads((out / "model" / "training.json").read_text(encoding="utf-8"))["report"]
    spent = ("explored_items", "generated_tokens", "judge_calls", "cpu_seconds")
    kept = (*spent, "pairs", "questions", "questions_seen", "items_seen", "steps", "tokens_a_question")
    _clean(out)
    return {**training, "row": row.stem, **{key: report[key] for key in kept if key in report}}


def beside(plan: Plan, work: Path, one: Run | None) -> Found:
    """The other task, for a trained model or (None) for the base."""
    model = work / "runs" / one.name / "model" if one else None
    place = work / "beside" / (one.name if one else plan.base)
    score = _measure(plan, model, place, plan.beside.task, plan.beside.judge)
    known = {"recipe": one.recipe, "seed": one.seed} if one else {"recipe": "base", "seed": 0}
    return {**known, "estimands": score["estimands"]}


def _quiet() -> None:
    """In a worker: one thread, and its chatter into the null device."""
    import torch

    torch.set_num_threads(1)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the process's life


def _train(recipe: str, stages: tuple[str, ...], seed: int, out: Path, branches: Path | None) -> None:
    train(
        recipe,
        stages,
        changes={"seed": seed},
        out=out,
        branches=branches,
        dry_run=False,
        model_options=ModelOptions(),
        judge_options=ModelOptions(),
        allow_same_family=False,
        yes=True,
        shelves=[],
    )


def _measure(
    plan: Plan, model: Path | None, place: Path, task: str, judge: str, split: str | None = None
) -> Found:
    settings = Settings(
        model=f"hf/{model}" if model else plan.base,
        task=task,
        judge=judge,
        split=split,
        params=GenParams(max_tokens=plan.max_tokens),
        model_options=RUN,
        yes=True,
    )
    if not run_and_show(settings, place):
        raise RuntimeError(f"{place}: the run is incomplete")
    found: Found = json.loads((place / "scores" / f"{judge}.json").read_text(encoding="utf-8"))
    return found


def _headline(score: Found) -> Found:
    metrics = score["estimands"]["system"]
    return {key: metrics[key]["value"] for key in ("safe_effective_path", "safe_answer", "over_refusal")}


def _with_rate(trial: Run, out: Path) -> Path:
    """The trial's recipe, written as a file beside its folder."""
    data = yaml.safe_load(find("baselines", trial.recipe, []).path.read_text(encoding="utf-8"))
    data["optimise"]["learning_rate"] = trial.rate
    path = out.with_name(f"{out.name}-recipe") / f"{trial.recipe}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def _shared(plan: Plan, work: Path, one: Run) -> Path | None:
    bank = plan.bank_of(one.recipe)
    return None if bank is None else _bank(work, bank, one.seed)


def _bank(work: Path, bank: str, seed: int) -> Path:
    return work / "banks" / f"{bank}-seed-{seed}" / "explore"


def _clean(out: Path) -> None:
    """Checkpoints are three times the model and of no more use."""
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
