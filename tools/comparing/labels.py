"""How far the judge that labelled branches agrees with the judge that scores, on these very branches."""

import asyncio
from collections import Counter
from pathlib import Path

from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.judges import registry
from rsbench.judges.base import Case
from rsbench.steps import segment
from rsbench.types import AnswerLabel, Item, Reply, StepLabel, Verdict
from srpo_train.branches import FILE, Branch, read_branches
from srpo_train.labels import label
from srpo_train.paths import path_text


def agreement(explored: Path, task: str, judge: str) -> dict[str, dict[str, int]]:
    """Branches by rule and by `LABELLER/SCORER`, each favourable, unfavourable or unknown."""
    card, found = load_task(task)
    items = {item.id: item for item in Dataset(card, found.folder, split="train")}
    branches = [branch for branch in read_branches(explored / FILE) if branch.verdict]
    return asyncio.run(_compared(branches, items, judge))


async def _compared(branches: list[Branch], items: dict[str, Item], judge: str) -> dict[str, dict[str, int]]:
    def no_model(name: str) -> None:
        raise AssertionError("the scorer of the closed world asks no model")

    scorer = registry.build(registry.JudgeChoice(judge, None), [], no_model, no_model)  # type: ignore[arg-type]
    counts: dict[str, Counter[str]] = {"outcome": Counter(), "step": Counter()}
    for branch in branches:
        item = items[branch.item]
        assert item.reference is not None and branch.verdict is not None
        text, starts = path_text(item.reference)
        start = starts[branch.prefix_steps]
        reply = Reply("ok", text[:start] + branch.text)
        steps = segment(reply)
        verdict = await scorer.judge(Case(item, reply, steps, branch.key))
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
