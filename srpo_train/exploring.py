"""The stage `explore` of a recipe: its settings, its model and its judge, handed to the explorer."""

import asyncio
from collections.abc import Iterator

from rsbench.judges.base import Judge
from rsbench.plan import Sample
from rsbench.types import UserError
from srpo_train.brancher import Brancher
from srpo_train.exploration import Exploration
from srpo_train.explore import Progress, explore
from srpo_train.gathering import samples_of
from srpo_train.hf_branches import HFBrancher
from srpo_train.job import Job, world_size
from srpo_train.judging import judge_for
from srpo_train.recipes import BranchRecipe, ExploreCard, PreferenceRecipe


def explore_for(job: Job) -> None:
    """Explore, or go on exploring, into the job's folder.

    Raises:
        UserError: several processes, a bad judge, or an item that can't be explored.
    """
    if world_size() > 1:
        raise UserError("--stage explore runs in one process; start it without a launcher, then optimise")
    card = explore_card(job)
    judge = judge_for(job, "explore.judge", card.judge, card.judge_model)
    asyncio.run(_explore(job, card, judge))


def explore_card(job: Job) -> ExploreCard:
    """The recipe's own."""
    assert isinstance(job.recipe, BranchRecipe | PreferenceRecipe), "its kind does not explore"
    return job.recipe.explore


def settings_of(card: ExploreCard) -> Exploration:
    """As the explorer takes them."""
    shared = ("sampler", "k", "pairs_per_prefix", "branch_label", "temperature", "top_p", "max_tokens")
    values = {name: getattr(card, name) for name in (*shared, "seed", "workers")}
    return Exploration(**values, hints=not card.hint_blind)


async def _explore(job: Job, card: ExploreCard, judge: Judge) -> None:
    brancher: Brancher = HFBrancher(
        job.model, job.checkpoint.identity(job.model), lambda: job.checkpoint.load(None), card.batch_size
    )
    total = len(samples_of(job.plans))
    said = [0]

    def watch(progress: Progress) -> None:
        if progress.items > said[0]:
            said[0] = progress.items
            job.say(f"explored {progress.items}/{total} items, {progress.branches} new branches")

    try:
        found = await explore(settings_of(card), brancher, judge, _samples(job), job.explored, watch)
    finally:
        await brancher.close()
        await judge.close()
    job.say(f"explored: {found}")


def _samples(job: Job) -> Iterator[Sample]:
    for plan in job.plans:
        yield from plan
