"""One run from its settings to its scores: find the cards, plan, write the manifest, run, score.

Everything that can be wrong in what the user gave is found here, before the first call.
"""

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rsbench import cards, manifest, steps
from rsbench.data import Dataset
from rsbench.judges import registry as judges
from rsbench.judges.base import Judge
from rsbench.limits import Limiters, RetryPolicy
from rsbench.models import registry as models
from rsbench.models.base import GenParams, Model, Request
from rsbench.prompts import read_template
from rsbench.records import digest
from rsbench.runner import Engine, Plan, Tally, judge_identity
from rsbench.score import score, slug
from rsbench.shelves import Found, inside
from rsbench.store import PLAN, RunFolder
from rsbench.types import Reply, UserError
from rsbench.validate import find_validation

CONDITION = "both"  # image and query together


@dataclass(frozen=True)
class Settings:
    """What the user asked for, as the command line gave it."""

    model: str = "tiny"
    task: str = "rsbench"
    judge: str | None = None
    judge_model: str | None = None
    out: Path | None = None
    data: Path | None = None
    prompt: str = "default"
    subset: str | None = None
    limit: int | None = None
    seed: int = 0
    samples: int = 1
    params: GenParams = GenParams()
    hints: bool = True
    shelves: tuple[Path, ...] = ()
    model_options: models.ModelOptions = models.ModelOptions()
    judge_options: models.ModelOptions = models.ModelOptions()
    max_attempts: int = 6
    allow_change: bool = False
    allow_same_family: bool = False


Watch = Callable[[Tally, int], None]  # called after each change with the tally and the number planned


def default_out(settings: Settings) -> Path:
    """Run folder when none is named: the same settings find the same folder, so a repeat resumes."""
    name = f"{slug(settings.model)}-{slug(Path(settings.task).stem)}"
    if settings.subset:
        name += f"-{slug(settings.subset)}"
    return Path("runs") / name


def run(settings: Settings, watch: Watch, warn: Callable[[str], None]) -> dict[str, Any]:
    """Generate, judge and score; returns the scores.

    Raises:
        UserError: anything the user can mend.
    """
    card, found = cards.load_task(settings.task, list(settings.shelves))
    choice = judges.choose(settings.judge, settings.judge_model, settings.model, card.judge)
    model = models.build(settings.model, settings.model_options)
    plan = make_plan(card, found, settings, model.identity())
    engine, tally = _engine(settings, watch, len(plan))
    judge, judge_model = _judge(choice, settings, engine)
    warning = judges.check_independence(model, judge_model, settings.allow_same_family)
    if warning:
        warn(warning)
    out = settings.out or default_out(settings)
    with RunFolder(out).locked() as folder:
        identity = _identity(card, found, settings, plan, model)
        stored = _resume(folder, identity, {"task": found}, settings, judge, warn)
        stored["mock"] = model.name.partition("/")[0] == "mock"
        stored["settings"] = _rebuild_settings(settings)
        stored["judges"][judge.name] = _judge_entry(choice, judge, judge_model, model, settings)
        folder.write_text(PLAN, _plan_lines(plan))
        _execute(folder, stored, engine, tally, plan, model, judge, settings)
        return score(folder, judge.name)


def judge_again(
    folder_path: Path, settings: Settings, watch: Watch, warn: Callable[[str], None]
) -> dict[str, Any]:
    """Another judge on the replies of a finished run; no reply is generated.

    Raises:
        UserError: as `run`; also if task or data have changed since the run.
    """
    with RunFolder(folder_path).locked() as folder:
        stored = folder.manifest()
        old = stored["settings"]
        settings = dataclasses.replace(
            settings,
            model=stored["identity"]["model"]["name"],
            task=stored["cards"]["task"]["path"],
            data=Path(old["data"]) if old["data"] else None,
            **{key: old[key] for key in ("prompt", "subset", "limit", "seed", "samples")},
            params=GenParams(**stored["identity"]["parameters"]),
        )
        card, found = cards.load_task(settings.task)
        model_identity = {k: v for k, v in stored["identity"]["model"].items() if k != "name"}
        plan = make_plan(card, found, settings, model_identity)
        if _plan_lines(plan) != (folder.path / PLAN).read_text(encoding="utf-8"):
            raise UserError(f"{folder_path}: the task or its data has changed since this run; run it anew")
        choice = judges.choose(settings.judge, settings.judge_model, settings.model, card.judge)
        engine, tally = _engine(settings, watch, len(plan))
        judge, judge_model = _judge(choice, settings, engine)
        model = _Past(settings.model, stored["identity"]["family"], model_identity)
        warning = judges.check_independence(model, judge_model, settings.allow_same_family)
        if warning:
            warn(warning)
        stored["judges"][judge.name] = _judge_entry(choice, judge, judge_model, model, settings)
        _execute(folder, stored, engine, tally, plan, None, judge, settings)
        return score(folder, judge.name)


def make_plan(card: cards.TaskCard, found: Found, settings: Settings, model: dict[str, str]) -> Plan:
    """Load the data and the prompt.

    Raises:
        UserError: bad data, unknown prompt variant or subset.
    """
    if settings.prompt not in card.prompts:
        raise UserError(f"--prompt {settings.prompt!r}: task {card.name} has {', '.join(card.prompts)}")
    template_path = inside(found.folder, card.prompts[settings.prompt])
    template = read_template(template_path)
    dataset = Dataset(card, found.folder, settings.data)
    dataset.select(settings.subset, settings.limit, settings.seed)
    return Plan(dataset, template, template_path, model, settings.params, settings.samples)


class _Past:
    """The model of a run that is over, as far as a judge's independence asks for it."""

    account = ""

    def __init__(self, name: str, family: str | None, identity: dict[str, str]) -> None:
        self.name = name
        self.family = family
        self._identity = identity

    def identity(self) -> dict[str, str]:
        return self._identity

    async def generate(self, request: Request) -> Reply:
        raise UserError("a finished run generates nothing")

    async def close(self) -> None: ...


def _engine(settings: Settings, watch: Watch, planned: int) -> tuple[Engine, Tally]:
    tally = Tally()
    limiters = Limiters(settings.model_options.max_connections)
    policy = RetryPolicy(max_attempts=settings.max_attempts)
    return Engine(limiters, policy, tally, lambda: watch(tally, planned)), tally


def _judge(choice: judges.JudgeChoice, settings: Settings, engine: Engine) -> tuple[Judge, Model | None]:
    made: list[Model] = []

    def make(name: str) -> Model:
        made.append(models.build(name, settings.judge_options))
        return made[-1]

    judge = judges.build(choice, list(settings.shelves), make, engine.around)
    return judge, made[0] if made else None


def _identity(
    card: cards.TaskCard, found: Found, settings: Settings, plan: Plan, model: Model
) -> dict[str, Any]:
    return {
        "task": {"name": card.name, "version": card.version, "sha256": found.sha256},
        "prompt": {"variant": settings.prompt, "sha256": digest(plan.template)},
        "data": digest([item.hash for item in plan.dataset]),
        "condition": CONDITION,
        "segmenter": f"{steps.SEGMENTER}/{steps.VERSION}",
        "samples": settings.samples,
        "model": {"name": model.name, **model.identity()},
        "family": model.family,
        "parameters": dataclasses.asdict(settings.params),
    }


def _rebuild_settings(settings: Settings) -> dict[str, Any]:
    """What `rsbench judge` needs to plan the same samples again."""
    data = str(settings.data.resolve()) if settings.data else None
    fields = ("prompt", "subset", "limit", "seed", "samples")
    return {"data": data, **{name: getattr(settings, name) for name in fields}}


def _judge_entry(
    choice: judges.JudgeChoice, judge: Judge, judge_model: Model | None, model: Model, settings: Settings
) -> dict[str, Any]:
    card, found = cards.load_judge(choice.card, list(settings.shelves))
    identity = judge_identity(judge, settings.hints)
    same = judge_model is not None and judge_model.family is not None and judge_model.family == model.family
    return {
        "card": manifest.card_entry(found),
        "kind": card.kind,
        "identity": identity,
        "same_family": same,
        "mock": card.kind == "mock",
        "validation": find_validation(found.folder, identity),
    }


def _resume(
    folder: RunFolder,
    identity: dict[str, Any],
    found: dict[str, Found],
    settings: Settings,
    judge: Judge,
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """The manifest to go on with: a fresh one, or the old one after its identity was checked."""
    old = folder.manifest_or_none()
    if old is None:
        return manifest.fresh(identity, found, datetime.now(UTC).isoformat(timespec="seconds"))
    before = {**old["identity"], "judge": {name: j["identity"] for name, j in old["judges"].items()}}
    now = {**identity, "judge": {**before["judge"], judge.name: judge_identity(judge, settings.hints)}}
    for line in manifest.check_unchanged(before, now, folder.path, settings.allow_change):
        warn(f"changed since the run began: {line}")
    cards_now = {name: manifest.card_entry(f) for name, f in found.items()}
    return {**old, "identity": identity, "cards": cards_now}


def _plan_lines(plan: Plan) -> str:
    lines = []
    for sample in plan:
        item = sample.item
        row = {
            "item": item.id,
            "sample": sample.number,
            "key": sample.key,
            "pair": item.pair,
            "kind": item.kind,
            "category": item.category,
            "item_hash": item.hash,
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _execute(
    folder: RunFolder,
    stored: dict[str, Any],
    engine: Engine,
    tally: Tally,
    plan: Plan,
    model: Model | None,
    judge: Judge,
    settings: Settings,
) -> None:
    """Run the plan; whatever happens, the session is noted in the manifest."""
    folder.write("manifest.json", stored)
    began, clock = datetime.now(UTC), time.monotonic()
    accounts = {m for m in (model.account if model else None, judge.account) if m}
    connections = settings.model_options.max_connections
    workers = 1 if connections == 1 else connections * max(1, len(accounts))

    async def work() -> None:
        try:
            await engine.run(plan, folder, model, judge, settings.hints, workers)
        finally:
            if model is not None:
                await model.close()
            await judge.close()

    try:
        asyncio.run(work())
    finally:
        stored["sessions"].append(
            {
                "started": began.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - clock, 3),
                "calls": tally.calls,
                "retries": tally.retries,
                "statuses": tally.statuses,
            }
        )
        folder.write("manifest.json", stored)
