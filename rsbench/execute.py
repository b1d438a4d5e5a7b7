"""Work off a plan in a locked run folder; however it ends, the manifest notes what this session did.

So does a build's manifest (`rsbench.ssui`), by the same `session_noted`.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rsbench.budget import Callers, CapReached, Caps
from rsbench.judges.base import Judge
from rsbench.models.base import Model
from rsbench.models.registry import in_process
from rsbench.plan import Plan
from rsbench.runner import Engine, Tally, judge_name
from rsbench.settings import Settings
from rsbench.spending import MODEL, Account, open_batches
from rsbench.store import MANIFEST, RunFolder
from rsbench.types import UserError


def execute(
    folder: RunFolder,
    stored: dict[str, Any],
    entry: dict[str, Any],
    engine: Engine,
    tally: Tally,
    plan: Plan,
    model: Model | None,
    judge: Judge,
    settings: Settings,
    callers: Callers,
) -> None:
    """Run the plan; whatever happens, the session is noted in the manifest."""
    name = judge_name(judge, settings.hints)
    accounts = {m for m in (model.account if model else None, judge.account) if m}
    connections = settings.model_options.max_connections
    workers = 1 if connections == 1 else connections * max(1, len(accounts))
    stored["judges"][name] = entry
    with session_noted(folder, MANIFEST, stored, engine, tally, settings.caps, callers):
        try:
            asyncio.run(_work(engine, tally, plan, folder, model, judge, settings, workers))
        except UserError:
            if not _has_judged(folder, name):  # a mistyped judge would stay a judge of this run for ever
                del stored["judges"][name]
            raise
    if engine.stopped:
        raise CapReached(engine.stopped)


@contextmanager
def session_noted(
    folder: RunFolder,
    manifest: str,
    stored: dict[str, Any],
    engine: Engine,
    tally: Tally,
    caps: Caps,
    callers: Callers,
) -> Iterator[None]:
    """One session in a locked folder: its budget begins with what was spent there, and its end is noted.

    Args:
        folder: A run's or a build's.
        manifest: The file that `stored` is, written when the session begins and again however it ends.
        stored: Its content; the session's entry goes into it, and the spending.
        engine: Its budget is begun.
        tally: What happened, for the entry.
        caps: Refused if they need a price that nobody knows.
        callers: Who may make calls.

    Raises:
        UserError: a cap on the cost, and earlier calls without a price.
    """
    account = Account(folder, stored, callers)
    caps.check_priced("calls made earlier in this folder", account.before + account.held)
    engine.budget.begin(account.before)
    engine.budget.hold(account.held, submitted=True)
    folder.write(manifest, stored)
    began, clock = datetime.now(UTC), time.monotonic()
    try:
        yield
    finally:
        session = {
            "started": began.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 3),
            "calls": tally.calls,
            "retries": tally.retries,
            "statuses": tally.statuses,
            **account.close(engine.budget.here, stored),
        }
        stored["sessions"].append(session)
        folder.write(manifest, stored)


async def _work(
    engine: Engine,
    tally: Tally,
    plan: Plan,
    folder: RunFolder,
    model: Model | None,
    judge: Judge,
    settings: Settings,
    workers: int,
) -> None:
    async def stage(label: str, model: Model | None, judge: Judge | None) -> None:
        """Walk the plan; by batch again and again, as long as there is something to ask for."""
        calls = [c for c in engine.batches.values() if c.judging == (model is None)]
        try:
            for one in calls:
                await one.open(folder, judge_name(judge, settings.hints) if judge else MODEL)
            while True:
                tally.stage = label
                await engine.run(plan, folder, model, judge, settings.hints, workers)
                if not any([await one.settle() for one in calls]):
                    break
            for one in calls:
                if not engine.stopped:  # a walk that a cap on live calls broke off has not read all results
                    one.finish()
            for one in calls:
                engine.stopped = engine.stopped or one.stopped
        finally:
            for one in calls:
                one.close()

    try:
        # Two local models need not fit into memory together: the first is freed before the second.
        local = model is not None and in_process(model.account) and in_process(judge.account)
        if model is not None and (local or engine.batches):
            await stage("generating", model, None)
            await model.close()
            if not engine.stopped:
                await stage("judging", None, judge)
        else:
            await stage("", model, judge)
    finally:
        if model is not None:
            await model.close()
        await judge.close()


def _has_judged(folder: RunFolder, name: str) -> bool:
    """Whether there is a verdict of a judge, or a batch for one."""
    if any(entry["who"] == name for entry in open_batches(folder)):
        return True
    path = folder.path / "verdicts.jsonl"
    if not path.exists():
        return False
    written = f'"judge":{json.dumps(name)},'  # searched as text: after a failure the file may be damaged
    with path.open(encoding="utf-8", errors="replace") as lines:
        return any(written in line for line in lines)
