"""Work off a plan in a locked run folder; however it ends, the manifest notes what this session did."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

from rsbench.budget import Callers, CapReached
from rsbench.judges.base import Judge
from rsbench.models.base import Model
from rsbench.models.registry import in_process
from rsbench.plan import Plan
from rsbench.runner import Engine, Tally, judge_name
from rsbench.settings import Settings
from rsbench.spending import Account
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
    account = Account(folder, stored, callers)
    settings.caps.check_priced("calls made earlier in this folder", account.before)
    engine.budget.begin(account.before)
    stored["judges"][name] = entry
    folder.write(MANIFEST, stored)
    began, clock = datetime.now(UTC), time.monotonic()
    accounts = {m for m in (model.account if model else None, judge.account) if m}
    connections = settings.model_options.max_connections
    workers = 1 if connections == 1 else connections * max(1, len(accounts))

    async def work() -> None:
        try:
            if model is not None and in_process(model.account) and in_process(judge.account):
                # Two local models need not fit into memory together: the first is freed before the second.
                tally.stage = "generating"
                await engine.run(plan, folder, model, None, settings.hints, workers)
                await model.close()
                tally.stage = "judging"
                if not engine.stopped:
                    await engine.run(plan, folder, None, judge, settings.hints, workers)
            else:
                await engine.run(plan, folder, model, judge, settings.hints, workers)
        finally:
            if model is not None:
                await model.close()
            await judge.close()

    try:
        asyncio.run(work())
    except UserError:
        if not _has_judged(folder, name):  # a mistyped judge would stay a judge of this run for ever
            del stored["judges"][name]
        raise
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
        folder.write(MANIFEST, stored)
    if engine.stopped:
        raise CapReached(engine.stopped)


def _has_judged(folder: RunFolder, name: str) -> bool:
    path = folder.path / "verdicts.jsonl"
    if not path.exists():
        return False
    written = f'"judge":{json.dumps(name)},'  # searched as text: after a failure the file may be damaged
    with path.open(encoding="utf-8", errors="replace") as lines:
        return any(written in line for line in lines)
