"""One session of a build: find pictures and prompts, ask the agents, write what became of every candidate.

Two passes: all queries first, since only then near-duplicates can be told in an order that does not hang on
who answered first; then the rest, for those that stay. Everything that can be wrong in what the user gave is
found before the first call.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from rsbench import cards, shelves
from rsbench.budget import Caller, CapReached, is_paid, prices_of, spent
from rsbench.data import Dataset
from rsbench.execute import session_noted
from rsbench.forecast import Ask
from rsbench.models import registry as models
from rsbench.models.base import GenParams, Model
from rsbench.models.cards import card_for, parameters_for
from rsbench.records import digest
from rsbench.runner import Engine, Tally
from rsbench.session import Watch, make_engine
from rsbench.settings import Settings
from rsbench.spending import MODEL
from rsbench.ssui.calls import CHECKS, Desk, Speaker, Unfinished
from rsbench.ssui.candidates import Outcome, Spot, items_of, spots
from rsbench.ssui.expected import expected
from rsbench.ssui.near import repeats
from rsbench.ssui.schemas import QueryOut
from rsbench.ssui.stages import Agents, Dropped, Prompts, find_prompts
from rsbench.ssui.state import BUILD, resume, write_candidates
from rsbench.store import RunFolder
from rsbench.types import FINAL_REPLY, Item, UserError

VERSION = "1"  # of the stages and their order; part of a build's identity
AUTHOR = GenParams(max_tokens=4096)
CHECKER = GenParams(max_tokens=2048, temperature=0.0)
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is asked for, checked."""

    settings: Settings  # models, limits, caps; its `task` plays no part
    out: Path
    spots: list[Spot]
    prompts: Prompts
    categories: tuple[str, ...]
    others: dict[str, list[Item]]  # items of tasks that no candidate may repeat
    author: GenParams
    checker: GenParams


def make_plan(
    settings: Settings, out: Path, images: Path, per_image: int, against: Iterable[str], given: dict[str, Any]
) -> Plan:
    """Read pictures, prompts and the tasks to keep clear of.

    Raises:
        UserError: whatever the user can mend.
    """
    extra = list(settings.shelves)
    card, _ = cards.load_task("rsbench")
    categories = tuple(card.categories or ())
    others = {}
    for task in against:
        other, found = cards.load_task(task, extra)
        others[task] = list(Dataset(other, found.folder))
    judge = settings.judge_model or settings.model
    return Plan(
        settings,
        out,
        spots(images, per_image, categories),
        find_prompts([root for root, _ in shelves.roots("tasks", extra)]),
        categories,
        others,
        parameters_for(settings.model, AUTHOR, given),
        parameters_for(judge, CHECKER),
    )


def build(plan: Plan, watch: Watch, warn: Warn, ask: Ask) -> list[Outcome] | None:
    """Run the pipeline as far as it goes; None if `ask` did not want to go on.

    Raises:
        UserError: anything the user can mend.
        CapReached: a cap left no room for the next call; what was finished is kept.
    """
    settings = plan.settings
    engine, tally = make_engine(settings, watch, len(plan.spots))
    judge = settings.judge_model or settings.model
    author = models.build(settings.model, settings.model_options)
    checker = author
    if judge == settings.model:
        warn("the checks are made by the model that writes the candidates; --judge-model names another")
    else:
        checker = models.build(judge, settings.judge_options)
    callers = {MODEL: Caller.of(author, settings.model), CHECKS: Caller.of(checker, judge)}
    for who, caller in callers.items():
        settings.caps.check_priced(who, spent(0, 0, 0, caller.prices))
    count = partial(
        expected, RunFolder(plan.out), plan.spots, plan.prompts, plan.author, plan.checker, callers
    )
    if not ask(is_paid(callers), count):
        return None
    for model, argument in ((author, settings.model), (checker, judge)):
        engine.keep_pace(model, card_for(argument))
        engine.price(model, prices_of(argument))
    with RunFolder(plan.out).locked() as folder:
        stored = resume(folder, _identity(plan, author, checker), settings.allow_change, warn)
        _keep_pictures(plan)
        with session_noted(folder, BUILD, stored, engine, tally, settings.caps, callers):
            return _session(
                plan, folder, engine, tally, author, checker, lambda: watch(tally, len(plan.spots))
            )


def _identity(plan: Plan, author: Model, checker: Model) -> dict[str, Any]:
    """What makes two builds the same build. Pictures may be added, so they are not part of it."""
    return {
        "pipeline": VERSION,
        "prompts": {name: digest(text) for name, text in plan.prompts.texts.items()},
        "model": {"name": author.name, **author.identity()},
        "checks": {"name": checker.name, **checker.identity()},
        "parameters": {"model": asdict(plan.author), "checks": asdict(plan.checker)},
        "mock": models.is_mock(author) or models.is_mock(checker),
    }


def _keep_pictures(plan: Plan) -> None:
    """Copy the pictures, so that the build needs no other folder afterwards."""
    for spot in plan.spots:
        kept = plan.out / "images" / spot.image_name
        if not kept.exists() or sha256(kept.read_bytes()).hexdigest() != spot.sha256:
            kept.parent.mkdir(exist_ok=True)
            try:
                shutil.copyfile(spot.image, kept)
            except OSError as error:
                raise UserError(f"{spot.image}: can't be copied to {kept} ({error.strerror})") from error


def _session(
    plan: Plan,
    folder: RunFolder,
    engine: Engine,
    tally: Tally,
    author: Model,
    checker: Model,
    changed: Callable[[], None],
) -> list[Outcome]:
    replies, checks = folder.replies(FINAL_REPLY).open(), folder.verdicts(FINAL_REPLY).open()
    desk = Desk(
        Speaker(author.name, author.identity(), plan.author, engine.around(author), replies),
        Speaker(checker.name, checker.identity(), plan.checker, engine.around(checker), checks, CHECKS),
        tally,
    )
    work = _Work(plan, Agents(desk, plan.prompts, plan.categories), tally, changed)
    work.source = f"rsbench ssui build: written by {author.name}, checked by {checker.name}"

    async def run() -> None:
        try:
            await work.run()
        finally:
            for model in {id(one): one for one in (author, checker)}.values():
                await model.close()

    try:
        asyncio.run(run())
    finally:
        replies.close()
        checks.close()
        write_candidates(folder, work.outcomes())
    if work.stopped:
        raise CapReached(work.stopped)
    return work.outcomes()


class _Work:
    """The candidates of one session on their way."""

    def __init__(self, plan: Plan, agents: Agents, tally: Tally, changed: Callable[[], None]) -> None:
        self.stopped = ""
        self.source = ""
        self._plan = plan
        self._agents = agents
        self._tally = tally
        self._changed = changed
        self._asked: dict[str, QueryOut] = {}
        self._fates: dict[str, Outcome] = {}

    def outcomes(self) -> list[Outcome]:
        """Every candidate, in order; one that nobody came to is unfinished."""
        return [self._fates.get(spot.id, _left(spot, "not reached")) for spot in self._plan.spots]

    async def run(self) -> None:
        """Both passes."""
        self._tally.stage = "queries"
        await self._each(self._plan.spots, self._query)
        proposals = [(spot, self._asked[spot.id]) for spot in self._plan.spots if spot.id in self._asked]
        for candidate, reason in repeats(proposals, self._plan.others).items():
            spot = next(spot for spot, _ in proposals if spot.id == candidate)
            self._end(spot, "dropped", "near-duplicate", reason)
        self._tally.stage = "paths and checks"
        await self._each([s for s, _ in proposals if s.id not in self._fates], self._pair)

    async def _query(self, spot: Spot) -> None:
        self._asked[spot.id] = await self._agents.query(spot)

    async def _pair(self, spot: Spot) -> None:
        asked = self._asked[spot.id]
        paths = await self._agents.pair(spot, asked)
        self._end(spot, "passed", items=items_of(spot, asked, paths, self.source))

    async def _each(self, todo: list[Spot], step: Callable[[Spot], Awaitable[None]]) -> None:
        """A fixed number of workers draws from one iterator; with one connection all is plain serial."""
        left = iter(todo)

        async def worker() -> None:
            for spot in left:
                if self.stopped:
                    return
                try:
                    await step(spot)
                except Dropped as error:
                    self._end(spot, "dropped", error.stage, error.reason)
                except Unfinished as error:
                    self._end(spot, "unfinished", reason=str(error))
                except CapReached as reached:
                    self.stopped = str(reached)

        jobs = [
            asyncio.ensure_future(worker()) for _ in range(self._plan.settings.model_options.max_connections)
        ]
        try:
            await asyncio.gather(*jobs)
        finally:  # on the first failure the rest is cancelled, and waited for
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    def _end(
        self, spot: Spot, fate: str, stage: str = "", reason: str = "", items: tuple[dict[str, Any], ...] = ()
    ) -> None:
        if fate == "unfinished":
            self._fates[spot.id] = _left(spot, reason)
        elif fate == "dropped":
            self._fates[spot.id] = Outcome(spot.id, f"images/{spot.image_name}", "dropped", stage, reason)
        else:
            self._fates[spot.id] = Outcome(spot.id, f"images/{spot.image_name}", "passed", items=items)
        self._tally.done = len(self._fates)
        self._changed()


def _left(spot: Spot, reason: str) -> Outcome:
    return Outcome(spot.id, f"images/{spot.image_name}", "unfinished", reason=reason)
