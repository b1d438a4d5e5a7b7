"""What an exploration holds for one recipe: branches within its budget, labelled by its own rule.

Recipes that are compared share explorations. One may pay for less of it than was explored, or look at the
answers alone where every step was judged; both are read off the records, and cost nothing. Anything else in
which recipe and exploration differ is refused: the recipe would say of its model what was never done.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rsbench.judge_cards import names_model
from rsbench.models.cards import card_for
from rsbench.plan import Sample
from rsbench.records import digest
from rsbench.shelves import is_path
from rsbench.types import AnswerLabel, Steps, UserError, Verdict
from rsbench.types import Span as Place
from srpo_train.branches import FILE, Branch, Group, group, read_branches
from srpo_train.exploration import MANIFEST, SUMMARY, Exploration
from srpo_train.labels import label
from srpo_train.recipes import ExploreCard

APART = {"workers", "branch_label"}  # of no account, and looked at by itself
# What explorations did that do not name these settings yet.
OLDER = {"turns": 0, "prefixes": "all", "across_items": False}
ADAPTIVE = {"pairs_per_prefix", "first", "min_chance", "across_items"}  # not read by the uniform sampler


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
    digest: str  # of the records, in whatever order they were written

    @property
    def cost(self) -> dict[str, int]:
        """For the report of a training."""
        return {
            "explored_items": self.items,
            "generated_tokens": self.generated_tokens,
            "judge_calls": self.judge_calls,
        }


def taken(
    folder: Path, card: ExploreCard, prefixes: Literal["all", "start"], samples: Iterable[Sample]
) -> Taken:
    """The explored prefixes that a recipe may use, with the labels that its rule gives.

    Args:
        folder: Of the exploration.
        card: How the recipe explores.
        prefixes: At which prefixes it does.
        samples: Its items.

    Raises:
        UserError: nothing explored, not to the end, or not as the recipe says.
    """
    branches = list(read_branches(folder / FILE))
    if not (folder / SUMMARY).exists():
        raise UserError(
            f"{folder / SUMMARY}: not there, so exploring did not end; what it came to would depend on when "
            "it was stopped. `--stage explore` goes on with it"
        )
    explored = read_explored(folder)
    _check_explored(folder / MANIFEST, explored, card, prefixes)
    if explored["settings"]["branch_label"] != card.branch_label:
        branches = [by_answer(branch) for branch in branches]
    kept = within(branches, ordered(samples, card), card.budget)
    asked = {(b.item, b.prefix_ids, b.branch_ids) for b in kept if b.verdict and b.draw >= 0}
    return Taken(
        group(kept, str(folder / FILE)),
        len({branch.item for branch in kept}),
        sum(branch.n_generated for branch in kept),
        len(asked),
        digest(*sorted(digest(b.key, b.prompt_ids_hash, b.branch_ids, b.label.favourable) for b in kept)),
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


def read_explored(folder: Path) -> dict[str, Any]:
    """What a folder says of its exploration: `settings`, `judge` and `model`.

    Raises:
        UserError: it does not say.
    """
    path = folder / MANIFEST
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {
            "settings": OLDER | found["settings"],
            "judge": {**found["judge"]},
            "model": {**found["model"]},
        }
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: not there, so how {FILE} was made can't be told; keep the exploration's folder whole"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: can't be read ({error!r}); explore into a new folder") from error


def _check_explored(path: Path, explored: dict[str, Any], card: ExploreCard, prefixes: str) -> None:
    """Refuse branches that are made otherwise than the recipe says.

    Raises:
        UserError: naming every setting in which they differ.
    """
    settings = explored["settings"]
    known = {one.name for one in dataclasses.fields(Exploration)} - APART
    asked = {key: value for key, value in card.model_dump().items() if key in known}
    asked |= {"hints": not card.hint_blind, "prefixes": prefixes}
    if settings.get("sampler") == card.sampler == "uniform":
        asked = {key: value for key, value in asked.items() if key not in ADAPTIVE}
    wrong = [
        f"settings.{key}: {settings.get(key)!r} there, {value!r} in the recipe"
        for key, value in asked.items()
        if settings.get(key) != value
    ]
    rule = settings.get("branch_label")
    if rule is None or card.branch_label not in (rule, "outcome"):
        wrong.append(
            f"settings.branch_label: {rule!r} there, {card.branch_label!r} in the recipe "
            "(labels by step would serve both)"
        )
    if not _is_judge(card, explored["judge"]):
        asked_for = f"{card.judge!r}" + (f" with the model {card.judge_model!r}" if card.judge_model else "")
        wrong.append(f"judge.name: {explored['judge'].get('name')!r} there, {asked_for} in the recipe")
    if wrong:
        raise UserError(
            f"{path}: was not explored as the recipe's `explore` says: {'; '.join(wrong)}. Explore with this "
            "recipe, or say in it what was done"
        )


def _is_judge(card: ExploreCard, judge: dict[str, Any]) -> bool:
    """Whether a judge may be the one asked for. Cards by path and lists have names of their own."""
    asked, name = card.judge, str(judge.get("name", ""))
    if asked is not None and names_model(asked):
        return name == f"llm-{asked}"
    own_name = asked is None or is_path(asked) or "," in asked
    if card.judge_model is None:
        return own_name or name == asked or name.startswith(f"{asked}-")  # followed by its card's model
    carded = card_for(card.judge_model)
    model = carded[0].name if carded else card.judge_model
    if name.endswith(f"-{model}") if own_name else name == f"{asked}-{model}":
        return True
    # A card whose own model was asked for by name is not called after it.
    return (own_name or name == asked) and model.endswith(f"/{judge.get('model.model')}")
