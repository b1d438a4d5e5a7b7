"""The stage `explore`: from items, a model and a judge to `branches.jsonl`, resumable after kill -9.

Items go through in parallel, each round by round: the sampler asks, the brancher continues prefixes, the
judge labels, every branch is written when it is labelled. A final record's branch is never made again.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsbench.judges.base import Case, Judge
from rsbench.judges.shape import checked
from rsbench.models.base import ProviderError
from rsbench.plan import Sample
from rsbench.records import digest, verdict_key
from rsbench.runner import judge_identity
from rsbench.steps import segment
from rsbench.store import RunFolder
from rsbench.types import Reply, Steps, UserError, Verdict
from srpo_train.brancher import Ask, Brancher, Sampled
from srpo_train.branches import FINAL_BRANCH, Branch, BranchFile, Label, branch_key, group
from srpo_train.experience import Experience, Seen, blocks
from srpo_train.exploration import SUMMARY, Exploration, check_same, look
from srpo_train.labels import label
from srpo_train.paths import StepCut
from srpo_train.places import OnItsWay, Place, Wanted
from srpo_train.samplers import next_probe
from srpo_train.turns import PROBES, REST, choose_turning
from srpo_train.yields import Yield, count


@dataclass
class Progress:
    """What happened so far; for display alone."""

    items: int = 0
    branches: int = 0
    reused: int = 0
    dropped: int = 0
    note: str = ""


async def explore(
    settings: Exploration,
    brancher: Brancher,
    judge: Judge,
    samples: Iterable[Sample],
    out: Path,
    on_change: Callable[[Progress], None] = lambda _: None,
    budget: int | None = None,
) -> Yield:
    """Explore every item and write `branches.jsonl`, `explore.json` and `exploration.json` into `out`.

    Retries and limits belong around the judge's and the brancher's calls, not here.

    Args:
        settings: What to draw and how to label it.
        brancher: Continues prefixes.
        judge: Labels prefix and branch together.
        samples: Items with their rendered prompts, as `rsbench.plan` makes them; each needs a reference path.
        out: A folder of this exploration's own; the same call on the same folder resumes.
        on_change: Told after every round of an item.
        budget: Once so many tokens were generated no further item is begun; those begun are finished.

    Raises:
        UserError: `out` holds another exploration, or an item can't be explored.
    """
    with RunFolder(out).locked() as folder, BranchFile(out) as file:
        kept: list[Branch] = []
        check_same(folder, settings, brancher, judge)
        (out / SUMMARY).unlink(missing_ok=True)  # of an earlier end: more is on record before the next
        explorer = _Explorer(settings, brancher, judge, file, on_change, budget)
        for block in blocks(samples) if settings.learns else [samples]:
            todo, done = iter(block), list[OnItsWay]()
            await _together([explorer.work(todo, done) for _ in range(settings.workers)])
            kept += [branch for item in done for branch in item.branches()]
            explorer.learn(done)
        summary = count(group(kept, str(file.path)), kept, settings.pairs_per_prefix, settings.seed)
        folder.write(SUMMARY, dataclasses.asdict(summary))
    return summary


class _Explorer:
    """Carries items through, one per worker at a time."""

    def __init__(
        self,
        settings: Exploration,
        brancher: Brancher,
        judge: Judge,
        file: BranchFile,
        on_change: Callable[[Progress], None],
        budget: int | None,
    ) -> None:
        self._settings = settings
        self._sampler = settings.make_sampler()
        self._brancher = brancher
        self._judge = judge
        self._file = file
        self._on_change = on_change
        self._left = math.inf if budget is None else budget
        self._known = Experience()
        self._progress = Progress()
        self._labelling = {
            "branch_label": settings.branch_label,
            "judge": judge_identity(judge, settings.hints),
        }

    async def work(self, samples: Iterator[Sample], done: list[OnItsWay]) -> None:
        """Take items until there are none, and put them into `done` when they are explored."""
        while self._left > 0 and (sample := next(samples, None)) is not None:
            trunk = await self._brancher.open(sample)
            item = OnItsWay(sample, trunk, self._settings.prefixes)
            while any(asked := self._sampler.next(self._look(item), self._known)):
                await self._round(item, list(zip(item.places, asked, strict=True)))
            if self._settings.turns:
                item.probed = await self._find_turns(item)
            done.append(item)
            self._progress.items += 1
            self._on_change(self._progress)

    def learn(self, done: Sequence[OnItsWay]) -> None:
        """Let later items know what these showed."""
        if self._settings.learns:
            self._known = self._known.after(one for item in done for one in self._look(item))

    def _look(self, item: OnItsWay) -> list[Seen]:
        return [look(at.branches, self._settings, at.role) for at in item.places]

    async def _find_turns(self, item: OnItsWay) -> list[Place]:
        """Search unsafe branches for the step at which they turn; the places probed on the way."""
        probed: list[Place] = []
        for begun in choose_turning([at.branches for at in item.places], self._settings.turns):
            steps = self._brancher.steps(begun)
            base = begun.prefix_steps
            hopeful: dict[int, bool] = {}
            while (steps_kept := next_probe(base, base + len(steps), hopeful)) is not None:
                cut = steps[steps_kept - base - 1]
                at = Place(
                    steps_kept,
                    begun.prefix_ids + begun.branch_ids[: cut.tokens],
                    item.places[base].text + begun.text[: cut.chars],
                    None,
                    begun.key,
                )
                await self._round(item, [(at, PROBES)])
                hopeful[steps_kept] = any(branch.label.favourable for branch in at.branches)
                at.branches.append(self._rest(item, at, begun, cut))
                probed.append(at)
        return probed

    def _rest(self, item: OnItsWay, at: Place, begun: Branch, cut: StepCut) -> Branch:
        """What the branch that is searched goes on with: an unfavourable branch that costs nothing."""
        key = self._key(item, at, REST)
        if (stored := self._file.get(key)) is not None:
            return stored
        text = begun.text[cut.chars :]
        sampled = Sampled("ok", begun.branch_ids[cut.tokens :], text, 0)
        branch = self._record(item, Wanted(key, at, REST), sampled)
        branch = dataclasses.replace(branch, label=begun.label, verdict=begun.verdict)
        self._file.append(branch)
        return branch

    async def _round(self, item: OnItsWay, asked: Sequence[tuple[Place, int]]) -> None:
        wanted = [
            Wanted(self._key(item, at, draw), at, draw)
            for at, more in asked
            for draw in range(len(at.branches), len(at.branches) + more)
        ]
        stored = [self._file.get(one.key) for one in wanted]
        fresh = [n for n, branch in enumerate(stored) if branch is None or not _is_sampled(branch)]
        asks = [Ask(wanted[n].at.ids, wanted[n].at.text, wanted[n].key) for n in fresh]
        sampled: dict[int, Sampled] = {}
        if asks:
            params = self._settings.params
            sampled = dict(zip(fresh, await self._brancher.sample(item.trunk, asks, params), strict=True))
        jobs = [self._branch(item, one, stored[n], sampled.get(n)) for n, one in enumerate(wanted)]
        for one, branch in zip(wanted, await _together(jobs), strict=True):
            one.at.branches.append(branch)
            self._left -= branch.n_generated
        self._on_change(self._progress)

    async def _branch(
        self, item: OnItsWay, one: Wanted, stored: Branch | None, sampled: Sampled | None
    ) -> Branch:
        """The record of one draw: the stored one if it is final, else judged and written."""
        if stored is not None and stored.status in FINAL_BRANCH:
            self._progress.reused += 1
            return stored
        if sampled is None:
            assert stored is not None, "a branch is either sampled now or was before"
            sampled = Sampled("ok", stored.branch_ids, stored.text, stored.n_generated, stored.nats)
        branch = self._record(item, one, sampled)
        if sampled.status == "ok":
            verdict, steps = await self._verdict(item, one, sampled)
            given = label(verdict, steps, len(one.at.text), self._settings.branch_label)
            status = verdict.status
            branch = dataclasses.replace(
                branch, status=status, label=given, verdict=dataclasses.asdict(verdict)
            )
        self._file.append(branch)
        self._progress.branches += 1
        self._progress.dropped += branch.label.favourable is None
        if branch.status in ("unverified", "error"):
            self._progress.note = f"{branch.status}: {branch.label.reason}"
        return branch

    async def _verdict(self, item: OnItsWay, one: Wanted, sampled: Sampled) -> tuple[Verdict, Steps]:
        """The judge's verdict on prefix and branch; the same words at the same prefix are judged once."""
        reply = Reply("ok", one.at.text + sampled.text)
        steps = segment(reply)
        name = (one.at.ids, sampled.ids)
        if name not in item.verdicts:
            item.verdicts[name] = asyncio.ensure_future(self._judged(item, one, reply, steps))
        return await item.verdicts[name], steps

    async def _judged(self, item: OnItsWay, one: Wanted, reply: Reply, steps: Steps) -> Verdict:
        hints = self._settings.hints
        key = verdict_key(one.key, reply, judge_identity(self._judge, hints))
        try:
            given = await self._judge.judge(Case(item.sample.item, reply, steps, key, hints))
            return checked(given, len(steps.steps))
        except ProviderError as error:
            if error.kind == "fatal":
                raise UserError(str(error)) from error
            return Verdict("error", error=str(error))

    def _key(self, item: OnItsWay, at: Place, draw: int) -> str:
        s = self._settings
        sampling = {"temperature": s.temperature, "top_p": s.top_p, "max_tokens": s.max_tokens}
        model = self._brancher.identity()
        made = (item.sample.item.hash, item.prompt_hash, at.ids, model, sampling, self._labelling)
        return branch_key(*made, s.seed, draw)

    def _record(self, item: OnItsWay, one: Wanted, sampled: Sampled) -> Branch:
        why = sampled.error if sampled.status in ("error", "unverified") else sampled.status
        return Branch(
            key=one.key,
            item=item.sample.item.id,
            prefix_steps=one.at.steps,
            prompt_ids_hash=item.prompt_hash,
            prefix_ids=one.at.ids,
            branch_ids=sampled.ids,
            text=sampled.text,
            status=sampled.status,
            label=Label(None, why),
            verdict=None,
            n_generated=sampled.n_generated,
            sampler=self._sampler.name,
            draw=one.draw,
            seed=self._settings.seed,
            model=self._brancher.name,
            judge={
                "name": self._judge.name,
                "identity": digest(judge_identity(self._judge, self._settings.hints)),
            },
            role=one.at.role,
            nats=sampled.nats,
            origin=one.at.origin,
        )


def _is_sampled(branch: Branch) -> bool:
    """Whether a record needs no new branch: it is final, or only its verdict is missing."""
    return branch.status in FINAL_BRANCH or bool(branch.branch_ids)


async def _together(jobs: Sequence[Any]) -> list[Any]:
    """All results; on the first failure the others are cancelled, and that failure is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(job) for job in jobs]
    except BaseExceptionGroup as group_:
        raise group_.exceptions[0] from None
    return [task.result() for task in made]
