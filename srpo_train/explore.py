"""The stage `explore`: from items, a model and a judge to `branches.jsonl`, resumable after kill -9.

Items go through in parallel, each round by round: the sampler asks, the brancher continues prefixes, the
judge labels, every branch is written when it is labelled. A final record's branch is never made again.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsbench.judges.base import Case, Judge
from rsbench.models.base import ProviderError
from rsbench.plan import Sample
from rsbench.records import digest, verdict_key
from rsbench.runner import judge_identity
from rsbench.steps import segment
from rsbench.store import RunFolder
from rsbench.types import Reply, Role, Steps, UserError, Verdict
from srpo_train.brancher import Ask, Brancher, Sampled, Trunk
from srpo_train.branches import FINAL_BRANCH, Branch, BranchFile, Label, branch_key, group, hash_ids
from srpo_train.exploration import Exploration, check_same, look
from srpo_train.labels import label
from srpo_train.samplers import Seen
from srpo_train.yields import Yield, count

SUMMARY = "exploration.json"


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

    Raises:
        UserError: `out` holds another exploration, or an item can't be explored.
    """
    with RunFolder(out).locked() as folder, BranchFile(out) as file:
        kept: list[Branch] = []
        check_same(folder, settings, brancher, judge)
        explorer = _Explorer(settings, brancher, judge, file, on_change)
        todo = iter(samples)
        await _together([explorer.work(todo, kept) for _ in range(settings.workers)])
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
    ) -> None:
        self._settings = settings
        self._sampler = settings.make_sampler()
        self._brancher = brancher
        self._judge = judge
        self._file = file
        self._on_change = on_change
        self._progress = Progress()
        self._labelling = {
            "branch_label": settings.branch_label,
            "judge": judge_identity(judge, settings.hints),
        }

    async def work(self, samples: Iterator[Sample], kept: list[Branch]) -> None:
        """Take items until there are none; the branches of this exploration go into `kept`."""
        for sample in samples:
            trunk = await self._brancher.open(sample)
            item = _Item(sample, trunk, [[] for _ in trunk.path.cuts])
            while any(asked := self._sampler.next(self._seen(item))):
                await self._round(item, asked)
                self._on_change(self._progress)
            kept += [branch for there in item.branches for branch in there]
            self._progress.items += 1
            self._on_change(self._progress)

    def _seen(self, item: "_Item") -> list[Seen]:
        return [look(there, self._settings) for there in item.branches]

    async def _round(self, item: "_Item", asked: Sequence[int]) -> None:
        wanted = [
            item.want(self._key(item, steps, draw), steps, draw)
            for steps, more in enumerate(asked)
            for draw in range(len(item.branches[steps]), len(item.branches[steps]) + more)
        ]
        stored = [self._file.get(one.key) for one in wanted]
        fresh = [n for n, branch in enumerate(stored) if branch is None or not _is_sampled(branch)]
        asks = [Ask(wanted[n].prefix_ids, wanted[n].prefix_text, wanted[n].key) for n in fresh]
        sampled: dict[int, Sampled] = {}
        if asks:
            params = self._settings.params
            sampled = dict(zip(fresh, await self._brancher.sample(item.trunk, asks, params), strict=True))
        jobs = [self._branch(item, one, stored[n], sampled.get(n)) for n, one in enumerate(wanted)]
        for branch in await _together(jobs):
            item.branches[branch.prefix_steps].append(branch)

    async def _branch(
        self, item: "_Item", one: "_Wanted", stored: Branch | None, sampled: Sampled | None
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
            given = label(verdict, steps, len(one.prefix_text), self._settings.branch_label)
            status = verdict.status
            branch = dataclasses.replace(
                branch, status=status, label=given, verdict=dataclasses.asdict(verdict)
            )
        self._file.append(branch)
        self._progress.branches += 1
        self._progress.dropped += branch.label.favourable is None
        if branch.status in ("unverified", "error"):
            self._progress.note = f"item {branch.item}: {branch.status}: {branch.label.reason}"
        return branch

    async def _verdict(self, item: "_Item", one: "_Wanted", sampled: Sampled) -> tuple[Verdict, Steps]:
        """The judge's verdict on prefix and branch; the same words at the same prefix are judged once."""
        reply = Reply("ok", one.prefix_text + sampled.text)
        steps = segment(reply)
        name = (one.steps, sampled.ids)
        if name not in item.verdicts:
            item.verdicts[name] = asyncio.ensure_future(self._judged(item, one, reply, steps))
        return await item.verdicts[name], steps

    async def _judged(self, item: "_Item", one: "_Wanted", reply: Reply, steps: Steps) -> Verdict:
        hints = self._settings.hints
        key = verdict_key(one.key, reply, judge_identity(self._judge, hints))
        try:
            return await self._judge.judge(Case(item.sample.item, reply, steps, key, hints))
        except ProviderError as error:
            if error.kind == "fatal":
                raise UserError(str(error)) from error
            return Verdict("error", error=str(error))

    def _key(self, item: "_Item", steps: int, draw: int) -> str:
        s = self._settings
        sampling = {"temperature": s.temperature, "top_p": s.top_p, "max_tokens": s.max_tokens}
        model = self._brancher.identity()
        prefix = item.trunk.path.ids[: item.trunk.path.cuts[steps]]
        made = (item.sample.item.hash, item.prompt_hash, prefix, model, sampling, self._labelling)
        return branch_key(*made, s.seed, draw)

    def _record(self, item: "_Item", one: "_Wanted", sampled: Sampled) -> Branch:
        why = sampled.error if sampled.status in ("error", "unverified") else sampled.status
        return Branch(
            key=one.key,
            item=item.sample.item.id,
            prefix_steps=one.steps,
            prompt_ids_hash=item.prompt_hash,
            prefix_ids=one.prefix_ids,
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
            role=one.role,
            nats=sampled.nats,
        )


@dataclass(frozen=True)
class _Wanted:
    """One draw of one prefix."""

    key: str
    steps: int
    draw: int
    prefix_ids: tuple[int, ...]
    prefix_text: str
    role: Role | None


class _Item:
    """One item on its way: its trunk, and by steps in the prefix the branches so far."""

    def __init__(self, sample: Sample, trunk: Trunk, branches: list[list[Branch]]) -> None:
        self.sample = sample
        self.trunk = trunk
        self.branches = branches
        self.prompt_hash = hash_ids(trunk.prompt_ids)
        self.verdicts: dict[tuple[int, tuple[int, ...]], asyncio.Future[Verdict]] = {}

    def want(self, key: str, steps: int, draw: int) -> _Wanted:
        """A draw at the prefix of so many steps."""
        path, reference = self.trunk.path, self.sample.item.reference
        assert reference is not None, "the brancher refuses items without one"
        role = reference.steps[steps].role if steps < len(reference.steps) else None
        return _Wanted(key, steps, draw, path.ids[: path.cuts[steps]], path.text[: path.starts[steps]], role)


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
