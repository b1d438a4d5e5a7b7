"""Doing the comparison: explorations, trainings, runs and rows, several processes side by side.

Everything is resumed: an exploration by its records, a training by its checkpoint, a run by its keys. A
training whose row and line of facts are there is not done again, whoever made them.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from comparing.plan import Plan, Run
from rsbench.models.base import GenParams
from rsbench.models.registry import ModelOptions
from rsbench.rows import make_row
from rsbench.settings import Settings
from rsbench.show import run_and_show
from rsbench.store import RunFolder
from srpo_train.command import train
from srpo_train.stages import note_training

BATCH = 120  # replies made together; the model is tiny
RUN = ModelOptions(batch_size=BATCH)


@dataclass(frozen=True)
class Places:
    """Where things go: `work` is scratch that can be resumed, the others are kept."""

    work: Path
    rows: Path
    facts: Path  # a folder: one JSON a training, trial or exploration


def explore(plan: Plan, places: Places, bank: str, seed: int) -> str:
    """Explore one bank with one seed; returns its name."""
    name = f"{bank}-seed-{seed}"
    if (places.facts / "banks" / f"{name}.json").exists() and _bank(places, bank, seed).exists():
        return name
    _train(plan.banks[bank][0], ("explore",), seed, places.work / "banks" / name, None)
    summary = json.loads((_bank(places, bank, seed) / "exploration.json").read_text(encoding="utf-8"))
    _write(places.facts / "banks" / f"{name}.json", {"bank": bank, "seed": seed, **summary})
    return name


def tune(plan: Plan, places: Places, trial: Run) -> str:
    """One trial: train with its learning rate, measure on the split for tuning."""
    facts = places.facts / "tuning" / f"{trial.name}.json"
    if facts.exists():
        return trial.name
    out = places.work / "tuning" / trial.name
    recipe = _with_rate(trial, out)
    _train(str(recipe), ("optimise",), trial.seed, out, _shared(plan, places, trial))
    score = _measure(plan, out / "model", out / "validation", plan.task, plan.judge, plan.tuning.split)
    _write(facts, {"recipe": trial.recipe, "learning_rate": trial.rate, **_headline(score)})
    _clean(out)
    return trial.name


def run(plan: Plan, places: Places, one: Run) -> str:
    """One training of the tables, its run and its row."""
    facts = places.facts / "runs" / f"{one.name}.json"
    if facts.exists():
        return one.name
    out = places.work / "runs" / one.name
    clock = time.process_time()
    _train(one.recipe, ("optimise",), one.seed, out, _shared(plan, places, one))
    _measure(plan, out / "model", out / "run", plan.task, plan.judge)
    training = {"recipe": one.recipe, "base": plan.base, "seed": one.seed}
    note_training(out / "run", training)
    row = make_row(RunFolder(out / "run"), plan.judge, places.rows)
    report = json.loads((out / "model" / "training.json").read_text(encoding="utf-8"))["report"]
    kept = ("steps", "questions", "pairs", "tokens_a_question", "cpu_seconds", "seconds", "held_out")
    _write(
        facts,
        {**training, "row": row.name, **{key: report[key] for key in kept if key in report}}
        | {"cpu_seconds_in_all": time.process_time() - clock},
    )
    _clean(out)
    return one.name


def beside(plan: Plan, places: Places, one: Run | None) -> str:
    """The other task, for a trained model or (None) for the base."""
    name = one.name if one else plan.base
    facts = places.facts / "beside" / f"{name}.json"
    if facts.exists():
        return name
    model = places.work / "runs" / name / "model" if one else None
    score = _measure(plan, model, places.work / "beside" / name, plan.beside.task, plan.beside.judge)
    known = {"recipe": one.recipe, "seed": one.seed} if one else {"recipe": "base", "seed": 0}
    _write(facts, {**known, "estimands": score["estimands"]})
    return name


def together(jobs: Iterable[tuple[Callable[..., str], tuple[Any, ...]]], workers: int, what: str) -> None:
    """Do jobs in `workers` processes, in their order, and say how far they are.

    Raises:
        Whatever the first failing job raised; those under way are finished.
    """
    waiting = list(jobs)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        futures = [pool.submit(function, *given) for function, given in waiting]
        for done, future in enumerate(as_completed(futures), 1):
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {what} {done}/{len(waiting)}: {future.result()}\n")
            sys.stdout.flush()


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
) -> dict[str, Any]:
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
    found: dict[str, Any] = json.loads((place / "scores" / f"{judge}.json").read_text(encoding="utf-8"))
    return found


def _headline(score: dict[str, Any]) -> dict[str, Any]:
    metrics = score["estimands"]["system"]
    return {key: metrics[key]["value"] for key in ("safe_effective_path", "s", "over_refusal")}


def _with_rate(trial: Run, out: Path) -> Path:
    """The trial's recipe, written as a file beside its folder."""
    from rsbench.shelves import find

    data = yaml.safe_load(find("baselines", trial.recipe, []).path.read_text(encoding="utf-8"))
    data["optimise"]["learning_rate"] = trial.rate
    path = out.with_name(f"{out.name}-recipe") / f"{trial.recipe}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def _shared(plan: Plan, places: Places, one: Run) -> Path | None:
    bank = plan.bank_of(one.recipe)
    return None if bank is None else _bank(places, bank, one.seed)


def _bank(places: Places, bank: str, seed: int) -> Path:
    return places.work / "banks" / f"{bank}-seed-{seed}" / "explore"


def _clean(out: Path) -> None:
    """Checkpoints are three times the model and of no more use."""
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def _write(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)
