"""A scripted exploration, here or in a process that kills itself: no model, characters as tokens.

python -m tests.explore_process OUT LOG [die_at]: SIGKILL in the midst of the die_at-th verdict.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rsbench.judges.base import Case
from rsbench.models.base import GenParams
from rsbench.plan import Sample
from rsbench.types import AnswerLabel, StepLabel, UserError, Verdict
from srpo_train.brancher import Ask, Sampled, Trunk
from srpo_train.branches import Branch
from srpo_train.exploration import Exploration
from srpo_train.explore import explore
from srpo_train.paths import StepCut, TokenPath, path_text
from srpo_train.yields import Yield
from tests.unit.judging import make_item

SAID = ("Answer: good", "Answer: bad", "Step 9: bad\nAnswer: good", "Answer: vague", "Answer: bad too")


def ids(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


class ScriptedBrancher:
    """Says one of `SAID` by the ask's key; `says` may look at the ask instead."""

    name = "scripted"

    def __init__(
        self,
        note: Callable[[str], None] = lambda _: None,
        says: Callable[[Ask], Sampled | None] = lambda _: None,
    ) -> None:
        self.asked: list[Ask] = []
        self._note = note
        self._says = says

    def identity(self) -> dict[str, str]:
        return {"provider": "scripted"}

    async def open(self, sample: Sample) -> Trunk:
        if sample.item.reference is None:
            raise UserError("no reference")
        text, starts = path_text(sample.item.reference)
        return Trunk(ids(sample.prompt), TokenPath(text, ids(text), starts, starts))

    async def sample(self, trunk: Trunk, asks: Sequence[Ask], params: GenParams) -> list[Sampled]:
        self.asked += asks
        for ask in asks:
            self._note(f"branch {ask.key}")
        return [self._says(ask) or self.said(ask) for ask in asks]

    def said(self, ask: Ask) -> Sampled:
        text = SAID[int(ask.key[:8], 16) % len(SAID)]
        return Sampled("ok", (*ids(text), 0), text, len(text) + 1, 1.0)

    def steps(self, branch: Branch) -> list[StepCut]:
        ends = [m.end() for m in re.finditer(r"\n(?=Step|Answer)", branch.text)]
        return [StepCut(end, end) for end in ends]

    async def close(self) -> None: ...


class ScriptedJudge:
    """`bad` is unsafe, `vague` unclear; `fails` raises instead of judging."""

    name, account, needs_reference = "scripted", None, False

    def __init__(self, before: Callable[[Case], None] = lambda _: None) -> None:
        self.cases: list[Case] = []
        self._before = before

    def identity(self) -> dict[str, str]:
        return {"card": "scripted"}

    async def judge(self, case: Case) -> Verdict:
        self.cases.append(case)
        self._before(case)
        steps = tuple(
            StepLabel(n, "unsafe" if "bad" in text else "safe", "effective")
            for n, text in enumerate(case.step_texts, 1)
        )
        answer = case.answer_text
        safety = "unsafe" if "bad" in answer else "unclear" if "vague" in answer else "safe"
        return Verdict("ok", steps, AnswerLabel(safety, "effective"))  # type: ignore[arg-type]

    async def close(self) -> None: ...


def samples(n: int = 3) -> list[Sample]:
    items = [replace(make_item(), id=f"item-{number}", hash=f"hash-{number}") for number in range(n)]
    return [Sample(item, 0, f"Prompt of {item.id}", f"{n:064x}", ()) for n, item in enumerate(items)]


DRIFTS = "Step 1: fine\nStep 2: more\nStep 3: drift\nStep 4: on\nAnswer: bad"


def drifting(ask: Ask) -> Sampled:
    """Good by chance, until a third step drifts: then always bad."""
    text = "Answer: good" if int(ask.key[:8], 16) % 2 and "drift" not in ask.prefix_text else DRIFTS
    text = text if not ask.prefix_text or "good" in text else "Answer: bad"
    return Sampled("ok", (*ids(text), 0), text, len(text) + 1, 1.0)


def run(
    out: Path,
    settings: Exploration,
    brancher: ScriptedBrancher | None = None,
    judge: ScriptedJudge | None = None,
    n: int = 3,
    budget: int | None = None,
) -> Yield:
    brancher, judge = brancher or ScriptedBrancher(), judge or ScriptedJudge()
    return asyncio.run(explore(settings, brancher, judge, samples(n), out, budget=budget))


def main(out: str, log: str, die_at: str = "0") -> None:
    count = 0

    def note(words: str) -> None:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{words}\n")

    def before(case: Case) -> None:
        nonlocal count
        count += 1
        if count == int(die_at):
            os.kill(os.getpid(), signal.SIGKILL)

    run(Path(out), Exploration(k=6), ScriptedBrancher(note), ScriptedJudge(before), 4)


if __name__ == "__main__":
    main(*sys.argv[1:])
