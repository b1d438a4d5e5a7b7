"""What an exploration holds for one recipe: branches within its budget, labelled by its own rule.

Recipes that are compared share explorations. One may pay for less of it than was explored, or look at the
answers alone where every step was judged; both are read off the records, and cost nothing.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsbench.plan import Sample
from rsbench.records import digest
from rsbench.types import AnswerLabel, Steps, UserError, Verdict
from rsbench.types import Span as Place
from srpo_train.branches import FILE, Branch, Group, group, read_branches
from srpo_train.exploration import MANIFEST
from srpo_train.labels import BranchLabel, label
from srpo_train.recipes import ExploreCard


def ordered(samples: Iterable[Sample], card: ExploreCard) -> list[Sample]:
    """The items in the order of exploring: as they come, or with a budget in one drawn by the seed.

    Twins stay together, so that a budget ends between pairs or within one, never with half of each.
    """
    if card.budget is None:
        return list(samples)
    return sorted(
        samples, key=lambda one: (digest("explored", card.seed, one.item.pair or one.item.id), one.item.id)
    )


@dataclass(frozen=True)
class Taken:
    """What a recipe takes of an exploration, and what that part of it cost."""

    groups: list[Group]
    items: int
    generated_tokens: int
    judge_calls: int  # identical branches of a prefix share one

    @property
    def cost(self) -> dict[str, int]:
        """For the report of a training."""
        return {
            "explored_items": self.items,
            "generated_tokens": self.generated_tokens,
            "judge_calls": self.judge_calls,
        }


def taken(folder: Path, card: ExploreCard, samples: Iterable[Sample]) -> Taken:
    """The explored prefixes that a recipe may use, with the labels that its rule gives.

    Raises:
        UserError: nothing explored, or explored by a rule from which the recipe's can't be told.
    """
    branches = list(read_branches(folder / FILE))
    explored = _rule(folder)
    if explored is not None and explored != card.branch_label:
        if card.branch_label != "outcome":
            raise UserError(
                f"{folder}: was explored with branch_label {explored!r}, and the recipe asks for "
                f"{card.branch_label!r}; explore with that (its branches serve both)"
            )
        branches = [by_answer(branch) for branch in branches]
    kept = within(branches, ordered(samples, card), card.budget)
    asked = {(b.item, b.prefix_ids, b.branch_ids) for b in kept if b.verdict and b.draw >= 0}
    return Taken(
        group(kept, str(folder / FILE)),
        len({branch.item for branch in kept}),
        sum(branch.n_generated for branch in kept),
        len(asked),
    )


def within(branches: Sequence[Branch], order: Sequence[Sample], budget: int | None) -> list[Branch]:
    """The branches of the first items whose tokens fit the budget together.

    Items are explored side by side, so a file may hold a few items more than the budget paid for; which ones
    depends on timing, and what is kept must not.
    """
    if budget is None:
        return list(branches)
    spent: Counter[str] = Counter()
    for branch in branches:
        spent[branch.item] += branch.n_generated
    kept: set[str] = set()
    total = 0
    for sample in order:
        total += spent[sample.item.id]
        if total > budget:
            break
        kept.add(sample.item.id)
    return [branch for branch in branches if branch.item in kept]


def by_answer(branch: Branch) -> Branch:
    """The branch with the label that its answer alone gives it."""
    if branch.status != "ok" or branch.verdict is None:
        return branch
    said = branch.verdict["answer"]
    answer = AnswerLabel(said["safety"], said["effectiveness"]) if said else None
    verdict = Verdict(branch.verdict["status"], answer=answer)
    given = label(verdict, Steps((), Place("text", 0, 0), "none"), 0, "outcome")
    return dataclasses.replace(branch, label=given)


def _rule(folder: Path) -> BranchLabel | None:
    """By which rule a folder's branches were labelled; None if it does not say."""
    path = folder / MANIFEST
    try:
        found: BranchLabel = json.loads(path.read_text(encoding="utf-8"))["settings"]["branch_label"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: can't be read ({error!r}); explore into a new folder") from error
    return found
