"""The stage `explore` of a recipe: its settings, its model and its judge, handed to the explorer."""

import asyncio
import dataclasses
from typing import Literal

from rsbench.judges.base import Judge
from rsbench.limits import Limiters, RetryPolicy
from rsbench.models import registry as models
from rsbench.models.hf_loading import Loaded
from rsbench.models.registry import LocalOptions
from rsbench.types import UserError
from srpo_train.brancher import Brancher
from srpo_train.exploration import Exploration
from srpo_train.explore import Progress, explore
from srpo_train.explored import ordered
from srpo_train.gathering import samples_of
from srpo_train.hf_branches import HFBrancher
from srpo_train.job import Job, world_size
from srpo_train.judging import judge_for
from srpo_train.recipes import BranchRecipe, ExploreCard, PreferenceRecipe
from srpo_train.yields import Yield


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


def settings_of(card: ExploreCard, prefixes: Literal["all", "start"] = "all") -> Exploration:
    """As the explorer takes them."""
    drawn = ("sampler", "k", "pairs_per_prefix", "first", "min_chance", "across_items", "turns")
    made = ("branch_label", "temperature", "top_p", "max_tokens", "seed", "workers")
    values = {name: getattr(card, name) for name in (*drawn, *made)}
    return Exploration(**values, prefixes=prefixes, hints=not card.hint_blind)


def brancher_for(job: Job, card: ExploreCard) -> Brancher:
    """The checkpoint in this process; with `--base-url` the same one behind a server.

    Raises:
        UserError: a server, and no hub id or folder by which it knows the model.
    """
    if job.model_options.base_url is None:
        device = job.model_options.local.device
        checkpoint = job.checkpoint.resolved((device,))
        identity = checkpoint.identity(job.model)
        return HFBrancher(job.model, identity, lambda: checkpoint.load(device), card.batch_size)
    from rsbench.models.openai import OpenAIModel
    from srpo_train.server_branches import ServerBrancher

    provider, _, rest = job.model.partition("/")
    if provider != "hf":
        raise UserError(
            f"--base-url: explores a model behind a server, and {job.model!r} lives in this process"
        )
    reach = dataclasses.replace(job.model_options, local=LocalOptions())
    model = models.build(f"openai/{rest}", reach)
    assert isinstance(model, OpenAIModel)
    limiters = Limiters(reach.max_connections)
    return ServerBrancher(model, lambda: processor_of(job), limiters.of(model.account), RetryPolicy())


def processor_of(job: Job) -> Loaded:
    """The checkpoint's processor, without its weights.

    Raises:
        UserError: it can't be opened.
    """
    from transformers import AutoProcessor

    place = job.checkpoint
    try:
        return Loaded(None, AutoProcessor.from_pretrained(place.source, revision=place.revision or "main"))
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"Can't open the processor of {job.model!r}: {error}") from error


async def _explore(job: Job, card: ExploreCard, judge: Judge) -> None:
    brancher = brancher_for(job, card)
    samples = ordered(samples_of(job.plans).values(), card)
    total = len(samples)
    said = [0]
    noted: set[str] = set()

    def watch(progress: Progress) -> None:
        if progress.items > said[0]:
            said[0] = progress.items
            job.say(f"explored {progress.items}/{total} items, {progress.branches} new branches")
        if progress.note and progress.note not in noted:  # such as branches of a prompt that is not ours
            noted.add(progress.note)
            job.say(f"warning: dropped: {progress.note}")

    assert isinstance(job.recipe, BranchRecipe | PreferenceRecipe)
    settings = settings_of(card, job.recipe.pairs.prefixes)
    try:
        found = await explore(settings, brancher, judge, samples, job.explored, watch, card.budget)
    finally:
        await brancher.close()
        await judge.close()
    job.say(summary(found))


def summary(found: Yield) -> str:
    """An exploration's yield in a line."""
    rates = [
        f"{rate:.2f} a {unit}"
        for rate, unit in (
            (found.per_1000_tokens, "1,000 generated tokens"),
            (found.per_judge_call, "judge call"),
        )
        if rate is not None
    ]
    dropped = sum(found.dropped.values())
    return (
        f"explored: {found.items} items, {found.branches} branches ({dropped} without a label), "
        f"{found.pairs} pairs, {found.generated_tokens:,} tokens, {found.judge_calls:,} judge calls; "
        f"pairs: {', '.join(rates)}"
    )
