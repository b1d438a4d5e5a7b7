"""How far the judge that labelled branches agrees with the judge that scores, on these very branches.

The rest of a branch that was searched for its turn (draw `REST`) is left out: with its prefix it is the reply
of that branch, word for word, and would count twice.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.judges import registry
from rsbench.judges.base import Case
from rsbench.steps import segment
from rsbench.types import AnswerLabel, Item, Reply, StepLabel, UserError, Verdict
from srpo_train.branches import FILE, Branch, read_branches
from srpo_train.labels import label
from srpo_train.paths import path_text
from srpo_train.turns import REST


def agreement(explored: Path, task: str, judge: str) -> dict[str, dict[str, int]]:
    """Branches by rule and by `LABELLER/SCORER`, each favourable, unfavourable or unknown."""
    card, found = load_task(task)
    items = {item.id: item for item in Dataset(card, found.folder, split="train")}
    branches = list(read_branches(explored / FILE))
    return asyncio.run(_compared(branches, items, judge, str(explored / FILE)))


def prefixes(branches: Sequence[Branch], items: Mapping[str, Item], where: str) -> dict[str, str]:
    """The words before each branch, by its key: of the reference path, or of a branch that was searched.

    Raises:
        UserError: a branch goes on from one that is not there.
    """
    known = {branch.key: branch for branch in branches}
    rests = {(b.origin, b.prefix_steps): b.text for b in branches if b.draw == REST}

    def on_the_path(branch: Branch) -> str:
        item = items[branch.item]
        assert item.reference is not None
        text, starts = path_text(item.reference)
        return text[: starts[branch.prefix_steps]]

    def before(branch: Branch) -> str:
        if not branch.origin:
            return on_the_path(branch)
        begun, rest = known.get(branch.origin), rests.get((branch.origin, branch.prefix_steps))
        if begun is None or rest is None:
            raise UserError(
                f"{where}: item {branch.item!r}: branch {branch.key[:12]} goes on from {branch.origin[:12]}, "
                "which is not there whole; explore again, which makes what is missing"
            )
        return on_the_path(begun) + begun.text.removesuffix(rest)

    return {branch.key: before(branch) for branch in branches}


async def _compared(
    branches: list[Branch], items: dict[str, Item], judge: str, where: str
) -> dict[str, dict[str, int]]:
    def no_model(name: str) -> None:
        raise AssertionError("the scorer of the closed world asks no model")

    scorer = registry.build(registry.JudgeChoice(judge, None), [], no_model, no_model)  # type: ignore[arg-type]
    counts: dict[str, Counter[str]] = {"outcome": Counter(), "step": Counter()}
    before = prefixes(branches, items, where)
    for branch in branches:
        if branch.verdict is None or branch.draw == REST:
            continue
        start = len(before[branch.key])
        reply = Reply("ok", before[branch.key] + branch.text)
        steps = segment(reply)
        verdict = await scorer.judge(Case(items[branch.item], reply, steps, branch.key))
        for rule in ("outcome", "step"):
            given = label(_verdict(branch), steps, start, rule).favourable
            right = label(verdict, steps, start, rule).favourable
            counts[rule][f"{_word(given)}/{_word(right)}"] += 1
    return {rule: dict(sorted(found.items())) for rule, found in counts.items()}


def _verdict(branch: Branch) -> Verdict:
    """The labeller's verdict, as the branch's record holds it."""
    assert branch.verdict is not None
    answer = branch.verdict["answer"]
    steps = tuple(StepLabel(s["index"], s["safety"], s["effectiveness"]) for s in branch.verdict["steps"])
    said = AnswerLabel(answer["safety"], answer["effectiveness"]) if answer else None
    return Verdict(branch.verdict["status"], steps, said)


def _word(favourable: bool | None) -> str:
    return "unknown" if favourable is None else "favourable" if favourable else "unfavourable"
