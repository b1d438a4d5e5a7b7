"""One run from its settings to its scores: find the cards, plan, write the manifest, run, score.

Everything that can be wrong in what the user gave is found here, before the first call.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rsbench import cards
from rsbench.budget import Budget, Caller, is_paid, prices_of, spent
from rsbench.conditions import WITHHELD
from rsbench.execute import execute
from rsbench.forecast import Ask, forecast
from rsbench.identity import identity, judge_entry, rebuild_settings, resume
from rsbench.importing import ImportedModel
from rsbench.judges import registry as judges
from rsbench.judges.base import Choosy, Judge, name_with_hints
from rsbench.judges.panel import Panel
from rsbench.limits import Limiters, RetryPolicy
from rsbench.models import registry as models
from rsbench.models.base import GenParams, Model, Request
from rsbench.models.cards import card_for
from rsbench.plan import Plan, make_plan, plan_lines
from rsbench.runner import Engine, Tally, judge_name
from rsbench.score import score
from rsbench.settings import Settings, default_out
from rsbench.spending import MODEL, open_batches
from rsbench.store import PLAN, RunFolder
from rsbench.types import FINAL_REPLY, Reply, UserError

Watch = Callable[[Tally, int], None]  # called after each change with the tally and the number planned
JudgeModels = Mapping[str, Model]  # the models behind a judge, by what the user typed for each


def run(
    settings: Settings,
    watch: Watch,
    warn: Callable[[str], None],
    ask: Ask,
    imported: ImportedModel | None = None,
) -> dict[str, Any] | None:
    """Generate (unless the replies are imported), judge and score; returns the scores.

    None if `ask` did not want to go on: then nothing was called and nothing written.

    Raises:
        UserError: anything the user can mend.
        CapReached: a cap on the spending left no room for the next call; what was finished is kept.
    """
    settings = _seeing_alike(settings)
    card, found = cards.load_task(settings.task, list(settings.shelves))
    carded = card_for(settings.model)
    if imported is None:
        models.check_known(settings.model)  # before it is said that such a model needs a judge
    choice = judges.choose(settings.judge, settings.judge_model, settings.model, card.judge)
    model = imported or models.build(settings.model, settings.model_options)
    plan = make_plan(card, found, settings, model.identity())
    if plan.dataset.trains:
        warn(f"split {plan.dataset.split!r} is for training: no benchmark result, and it can't become a row")
    records = imported.records(plan) if imported else []
    engine, tally = make_engine(settings, watch, len(plan))
    engine.keep_pace(model, carded)
    judge, judge_models = make_judge(choice, settings, engine)
    _check_judge(judge, judge_models, model, plan, settings, warn)
    out = settings.out or default_out(settings)
    generating = None if imported else model
    engine.price(model, prices_of(settings.model))
    if settings.batch and generating is not None:
        engine.batch(generating, settings.batch_poll, judging=False)
    _check_batches(engine, settings)
    callers = callers_of(generating, judge, judge_models, settings, engine)
    _warn_of_batches(out, judge_name(judge, settings.hints), callers, warn)
    if not ask(is_paid(callers), partial(forecast, plan, out, judge, settings.hints, callers)):
        return None
    with RunFolder(out).locked() as folder:
        used = {"task": found} | ({"model": carded[1]} if carded else {})
        stored = resume(folder, identity(card, found, settings, plan, model), used, settings, judge, warn)
        stored["mock"] = models.is_mock(model)
        stored["settings"] = rebuild_settings(settings)
        entry = judge_entry(choice, judge, judge_models, model, card.name, settings)
        folder.write_text(PLAN, plan_lines(plan))
        if records:
            _store(records, folder)
        execute(folder, stored, entry, engine, tally, plan, generating, judge, settings, callers)
        return score(folder, judge_name(judge, settings.hints))


def _store(records: list[dict[str, Any]], folder: RunFolder) -> None:
    """Put imported replies where generated ones would be."""
    replies = folder.replies(FINAL_REPLY).open()
    try:
        for record in records:
            if not replies.done(record["key"]):
                replies.append(record)
    finally:
        replies.close()


def judge_again(
    folder_path: Path, settings: Settings, watch: Watch, warn: Callable[[str], None], ask: Ask
) -> dict[str, Any] | None:
    """Another judge on the replies of a finished run; no reply is generated. None: as for `run`.

    Raises:
        UserError: as `run`; also if task or data have changed since the run.
    """
    stored = RunFolder(folder_path).manifest()  # before the lock: a mistyped name makes no folder
    with RunFolder(folder_path).locked() as folder:
        old = stored["settings"]
        settings = dataclasses.replace(
            settings,
            model=stored["identity"]["model"]["name"],
            task=stored["cards"]["task"]["path"],
            data=Path(old["data"]) if old["data"] else None,
            **{key: old[key] for key in ("prompt", "subset", "limit", "seed", "samples")},
            split=old.get("split"),
            params=GenParams(**stored["identity"]["parameters"]),
            condition=stored["identity"]["condition"],
        )
        settings = _seeing_alike(settings)
        card, found = cards.load_task(settings.task)
        model_identity = {k: v for k, v in stored["identity"]["model"].items() if k != "name"}
        plan = make_plan(card, found, settings, model_identity)
        if plan_lines(plan) != (folder.path / PLAN).read_text(encoding="utf-8"):
            raise UserError(f"{folder_path}: the task or its data has changed since this run; run it anew")
        choice = judges.choose(settings.judge, settings.judge_model, settings.model, card.judge)
        engine, tally = make_engine(settings, watch, len(plan))
        judge, judge_models = make_judge(choice, settings, engine)
        model = _Past(settings.model, stored["identity"]["family"], model_identity)
        _check_judge(judge, judge_models, model, plan, settings, warn)
        _check_batches(engine, settings)
        callers = callers_of(None, judge, judge_models, settings, engine)
        _warn_of_batches(folder_path, judge_name(judge, settings.hints), callers, warn)
        if not ask(is_paid(callers), partial(forecast, plan, folder_path, judge, settings.hints, callers)):
            return None
        entry = judge_entry(choice, judge, judge_models, model, card.name, settings)
        execute(folder, stored, entry, engine, tally, plan, None, judge, settings, callers)
        return score(folder, judge_name(judge, settings.hints))


def _seeing_alike(settings: Settings) -> Settings:
    """Note and reference speak of image and query together: hidden where the model was not shown both."""
    return dataclasses.replace(settings, hints=False) if settings.condition in WITHHELD else settings


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


def make_engine(settings: Settings, watch: Watch, planned: int) -> tuple[Engine, Tally]:
    """The engine with its limits and caps, and the tally that `watch` is shown."""
    tally = Tally()
    limiters = Limiters(settings.model_options.max_connections)
    policy = RetryPolicy(max_attempts=settings.max_attempts)
    return Engine(limiters, policy, tally, lambda: watch(tally, planned), Budget(settings.caps)), tally


def make_judge(choice: judges.JudgeChoice, settings: Settings, engine: Engine) -> tuple[Judge, JudgeModels]:
    """The judge that was chosen, and the models behind it, priced and paced."""
    made: dict[str, Model] = {}

    def make(name: str) -> Model:
        if name not in made:
            made[name] = models.build(name, settings.judge_options)
            engine.keep_pace(made[name], card_for(name))
            engine.price(made[name], prices_of(name))
            if settings.judge_batch:
                engine.batch(made[name], settings.batch_poll, judging=True)
        return made[name]

    return judges.build(choice, list(settings.shelves), make, engine.around), made


def callers_of(
    model: Model | None, judge: Judge, judge_models: JudgeModels, settings: Settings, engine: Engine
) -> dict[str, Caller]:
    """Who makes calls in this session, at which prices.

    Raises:
        UserError: a cap on the cost, and no prices.
    """
    callers: dict[str, Caller] = {}
    if model is not None:
        callers[MODEL] = Caller.of(model, settings.model, engine.by_batch(model))
    alone = [(judge.name, argument) for argument in judge_models]
    named = list(judge.callers.items()) if isinstance(judge, Panel) else alone
    for name, argument in named:
        who = name_with_hints(name, settings.hints)
        behind = judge_models[argument]
        callers[who] = Caller.of(behind, argument, engine.by_batch(behind))
    for who, caller in callers.items():
        settings.caps.check_priced(who, spent(0, 0, 0, caller.prices))
    return callers


def _check_batches(engine: Engine, settings: Settings) -> None:
    """`--batch` must reach somebody: the user counts on the price.

    Raises:
        UserError: nobody here has a batch API.
    """
    if (settings.batch or settings.judge_batch) and not engine.batches:
        raise UserError("--batch: no model of this run has a batch API; openai and anthropic have one")


def _warn_of_batches(
    place: Path, judge: str, callers: Mapping[str, Caller], warn: Callable[[str], None]
) -> None:
    """What went by batch in an earlier session, and is not recorded, is asked for again by live calls."""
    whose = {who: MODEL if who == MODEL else judge for who in callers}
    # A panel goes on by batch if any of its members does.
    live = set(whose.values()) - {whose[who] for who, caller in callers.items() if caller.batch}
    waiting = [entry for entry in open_batches(RunFolder(place)) if entry["who"] in live]
    if waiting:
        count = sum(len(entry["requests"]) for entry in waiting)
        warn(
            f"{count} requests of an earlier session went by batch, and what came of them is not all "
            "recorded. Without --batch they are asked for, and paid for, again."
        )


def _check_judge(
    judge: Judge,
    judge_models: JudgeModels,
    model: Model,
    plan: Plan,
    settings: Settings,
    warn: Callable[[str], None],
) -> None:
    """Refuse a judge that may not, or can't, judge these replies, before they are paid for."""
    for judge_model in judge_models.values():
        if warning := judges.check_independence(model, judge_model, settings.allow_same_family):
            warn(warning)
    families = {judge_model.family for judge_model in judge_models.values()}
    if len(judge_models) > 1 and len(families) == 1 and None not in families:
        warn(f"all judges are of one family ({families.pop()}): they may err together")
    if isinstance(judge, Choosy):
        for sample in plan:
            judge.check(sample.item)
    if not judge.needs_reference:
        return
    lacking = next((item.id for item in plan.dataset if item.reference is None), None)
    if lacking is not None or not settings.hints:
        hidden = f"--condition {settings.condition}" if settings.condition in WITHHELD else "--hint-blind"
        why = f"item {lacking!r} has none" if settings.hints else f"{hidden} hides it"
        raise UserError(f"The judge {judge.name} needs the reference path, but {why}; choose another --judge")
