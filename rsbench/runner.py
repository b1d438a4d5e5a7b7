"""Plan → generate → judge → append: one item's way through the engine.

A fixed number of workers draw samples from one iterator; each takes its sample all the way, so judging of one
overlaps with generation of the next and memory holds only what is in flight. With one connection there is one
worker, and a traceback is a traceback.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rsbench.batches import BatchCalls, Queued
from rsbench.budget import Budget, CapReached, Caps
from rsbench.judges.asking import Generate
from rsbench.judges.base import Ask, Case, Judge, name_with_hints
from rsbench.judges.shape import checked
from rsbench.limits import Limiters, RetryNote, RetryPolicy, with_retry
from rsbench.models.base import Model, ProviderError, Request
from rsbench.models.batch_api import HasBatches
from rsbench.models.cards import ModelCard, Prices
from rsbench.pacing import Pace
from rsbench.plan import Plan, Sample
from rsbench.records import read_reply, read_verdict, reply_record, verdict_key, verdict_record
from rsbench.shelves import Found
from rsbench.steps import segment
from rsbench.store import Records, RunFolder
from rsbench.submissions import Means
from rsbench.types import FINAL_REPLY, FINAL_VERDICT, Reply, UserError, Verdict

JUDGED = frozenset({"ok", "truncated"})  # replies with words to judge; other statuses speak for themselves


@dataclass
class Tally:
    """What happened so far, for the progress display; nothing is computed from it."""

    done: int = 0
    reused: int = 0
    calls: int = 0
    retries: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    note: str = ""
    stage: str = ""  # named where generating and judging take turns

    def count(self, status: str) -> None:
        """Count one reply or verdict by its status."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Engine:
    """Runs a plan in an open, locked run folder."""

    def __init__(
        self,
        limiters: Limiters,
        policy: RetryPolicy,
        tally: Tally,
        on_change: Callable[[], None] = lambda: None,
        budget: Budget | None = None,
    ) -> None:
        self._limiters = limiters
        self._policy = policy
        self._tally = tally
        self._on_change = on_change
        self.budget = budget or Budget(Caps())
        self.stopped = ""  # by which cap
        # By the model itself, for two models may have one name. Batches: of those whose calls go by batch.
        self.batches: dict[int, BatchCalls] = {}
        self._prices: dict[int, Prices | None] = {}
        self._paces: dict[int, Pace] = {}  # providers limit each of an account's models by itself
        self._unusable: dict[str, Verdict] = {}  # by batch a plan is walked often, and each asked once

    def keep_pace(self, model: Model, carded: tuple[ModelCard, Found] | None) -> None:
        """Hold a model to the requests and tokens per minute that its card states."""
        rates = (carded[0].requests_per_minute, carded[0].tokens_per_minute) if carded else (None, None)
        if rates != (None, None):
            self._paces[id(model)] = Pace(*rates)

    def price(self, model: Model, prices: Prices | None) -> None:
        """Count a model's tokens at these prices; None: they cost what nobody knows."""
        self._prices[id(model)] = prices

    def batch(self, model: Model, poll_s: float, judging: bool) -> None:
        """Send a model's calls by batch, if its provider has batches; its prices are to be known before."""
        if isinstance(model, HasBatches):
            limiter, prices = self._limiters.of(model.account), self._prices.get(id(model))
            means = Means(self.budget, limiter, self._policy, self._tally, self._on_change, poll_s)
            batched = prices.batched() if prices else None
            self.batches[id(model)] = BatchCalls(model, model.batches(), batched, means, judging)

    def by_batch(self, model: Model) -> bool:
        """Whether a model's calls go by batch."""
        return id(model) in self.batches

    def around(self, model: Model) -> Generate:
        """A model's call: by batch, or with the account's limiter and the retry layer around it."""
        if self.by_batch(model):
            return self.batches[id(model)].generate
        limiter, pace = self._limiters.of(model.account), self._paces.get(id(model))
        prices = self._prices.get(id(model))

        async def attempt(request: Request) -> Reply:
            self._tally.calls += 1
            return await (pace.run(request, model.generate) if pace else model.generate(request))

        async def call(request: Request) -> Reply:
            async def once() -> Reply:
                return await self.budget.run(request, prices, attempt)

            reply, _ = await with_retry(once, limiter, self._policy, key=request.key, on_retry=self._retrying)
            return reply

        return call

    async def run(
        self,
        plan: Plan,
        folder: RunFolder,
        model: Model | None,
        judge: Judge | None,
        hints: bool,
        workers: int,
    ) -> None:
        """Generate (unless `model` is None) and judge (unless `judge` is) what has no final record yet.

        At a cap the calls in flight are finished, and `stopped` says which it was. By batch, what has no
        reply yet is passed over; `execute` walks the plan until nothing is left to ask.

        Raises:
            UserError: a fatal provider error, a full disk; what was finished is on disk.
        """
        replies = folder.replies(FINAL_REPLY).open()
        verdicts = folder.verdicts(FINAL_VERDICT).open()
        generate = self.around(model) if model else None
        samples = iter(plan)
        self._tally.done = 0

        async def worker() -> None:
            for sample in samples:
                try:
                    reply = await self._reply(sample, plan, replies, generate)
                    if judge is not None and reply is not None and reply.status in JUDGED:
                        await self._verdict(sample, reply, judge, hints, verdicts)
                except Queued:
                    continue
                except CapReached as reached:
                    self.stopped = str(reached)
                    return
                self._tally.done += 1
                self._on_change()

        try:
            await _all([worker() for _ in range(workers)])
        finally:
            replies.close()
            verdicts.close()

    def finished(self, status: str) -> None:
        """Note one verdict that was asked for outside a plan."""
        self._tally.done += 1
        if status != "ok":
            self._tally.count(f"verdict {status}")
        self._on_change()

    async def _reply(
        self,
        sample: Sample,
        plan: Plan,
        replies: Records,
        generate: Generate | None,
    ) -> Reply | None:
        if replies.done(sample.key) or generate is None:
            record = replies.get(sample.key)
            self._tally.reused += 1
            return read_reply(record) if record else None
        try:
            reply = await generate(sample.request(plan.params))
        except ProviderError as error:
            reply = Reply("error", error=_stop_if_fatal(error))
        record = reply_record(sample.key, sample.item.id, sample.number, reply)
        replies.append(record | batch_mark(self._sources(sample.key)))
        self._tally.count(reply.status)
        return reply

    async def _verdict(
        self, sample: Sample, reply: Reply, judge: Judge, hints: bool, verdicts: Records
    ) -> None:
        walks = Walks(self._sources, self._unusable) if self.batches else None
        ballots = Kept(verdicts, sample.key, sample.item.id, sample.number, reply, walks)
        case = Case(sample.item, reply, segment(reply), sample.key, hints, ballots)
        verdict = await ballots.cast(judge, case, 0, judge.judge)
        if verdict.status != "ok" and ballots.new:
            self._tally.count(f"verdict {verdict.status}")

    def _sources(self, key: str) -> list[str]:
        """The batches that gave what the record of that key is made of."""
        return sorted({token for one in self.batches.values() for token in one.sources(key)})

    def _retrying(self, note: RetryNote) -> None:
        self._tally.retries += 1
        self._tally.note = f"{note.kind.replace('_', ' ')}, waiting {note.wait_s:.0f} s"
        self._on_change()


@dataclass(frozen=True)
class Walks:
    """What one walk of a plan by batch knows of the earlier ones.

    `sources`: gives the batches that a record of a key came by. `unusable`: verdicts of this session, by key.
    """

    sources: Callable[[str], list[str]]
    unusable: dict[str, Verdict]


class Kept:
    """Ballots of one reply, kept as records: what an earlier session finished is not asked for again.

    Args:
        verdicts: Where, open for writing.
        source: Key of the reply that is judged.
        item: Id of its item.
        number: Of the sample.
        reply: What is judged.
        walks: Where calls go by batch.
    """

    def __init__(
        self, verdicts: Records, source: str, item: str, number: int, reply: Reply, walks: Walks | None = None
    ) -> None:
        self.new = False  # whether the last vote was written just now
        self._verdicts = verdicts
        self._source = source
        self._item = item
        self._number = number
        self._reply = reply
        self._walks = walks

    async def cast(self, judge: Judge, case: Case, vote: int, ask: Ask) -> Verdict:
        """A vote by its content key; the judge's last word is vote 0."""
        key = verdict_key(self._source, self._reply, judge_identity(judge, case.hints), vote)
        before, self.new = self._verdicts.get(key), False
        if before is not None and self._verdicts.done(key):
            return read_verdict(before)
        if self._walks and key in self._walks.unusable:
            return self._walks.unusable[key]
        try:
            verdict = checked(await ask(replace(case, key=key)), len(case.steps.steps))
        except ProviderError as error:
            verdict = Verdict("error", error=_stop_if_fatal(error))
        name = judge_name(judge, case.hints)
        record = verdict_record(key, self._item, self._number, name, self._source, verdict, vote)
        if self._walks:
            record |= batch_mark(self._walks.sources(key))
            if verdict.status != "ok":
                self._walks.unusable[key] = verdict
        self.new = not (self._walks and before and _read_again(before, record, verdict))
        if self.new:
            self._verdicts.append(record)
        return verdict


def batch_mark(tokens: list[str]) -> dict[str, list[str]]:
    """What a record says of the batches that it came by."""
    return {"batch": tokens} if tokens else {}


def _read_again(before: dict[str, Any], record: dict[str, Any], verdict: Verdict) -> bool:
    """Whether an unusable verdict came of the results of batches that an earlier one came of."""
    same = before.get("batch") == record.get("batch") and read_verdict(before) == verdict
    return same and ("batch" in record or verdict.attempts == 0)


def judge_name(judge: Judge, hints: bool) -> str:
    """A judge's name in a run: with or without hints it is another instrument, with scores of its own."""
    return name_with_hints(judge.name, hints)


def judge_identity(judge: Judge, hints: bool) -> dict[str, str]:
    """A judge's identity as its verdict keys hold it."""
    return {**judge.identity(), "hints": "yes" if hints else "no"}


def _stop_if_fatal(error: ProviderError) -> str:
    if error.kind == "fatal":
        raise UserError(str(error)) from error
    return str(error)


async def _all(jobs: list[Awaitable[None]]) -> None:
    """Run all; on the first failure cancel the rest, wait for them, and raise that failure itself."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
