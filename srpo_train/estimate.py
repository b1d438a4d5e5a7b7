"""What a training would take, before it takes it: branches, tokens, steps, memory. Loads no weights.

Prompts and reference paths are tokenised by the model's own processor; branches are taken to be as long as
the rest of the reference path. Memory follows the usual account of a transformer's training state; it is an
estimate, and says so.
"""

import math
from dataclasses import dataclass
from typing import Any

from rsbench.types import UserError
from srpo_train.gathering import encode, samples_of
from srpo_train.job import Job
from srpo_train.paths import token_path
from srpo_train.recipes import BranchRecipe, ExploreCard, GrpoRecipe, LoraCard, PreferenceRecipe, Recipe
from srpo_train.training import questions_a_step, questions_seen, within_budget

LOOKED_AT = 24  # items tokenised with their images
ACTIVATION = 34  # bytes a token, layer and hidden unit in 16 bits (Korthikanti et al. 2022, section 4)
GIB = 2**30


@dataclass(frozen=True)
class Sizes:
    """A model's, out of its configuration."""

    parameters: int
    trained: int
    layers: int
    hidden: int


@dataclass(frozen=True)
class _Work:
    """What is learnt from, in the unit that the optimiser's steps count."""

    unit: str
    count: int  # at most: how many have a pair or a label is not known before
    tokens: float  # that one puts through the model, sampled ones included
    forward: float  # of them in one forward pass of one process
    most: bool = False  # of a tree row, whose tokens depend on how many branches are in a pair


def text(job: Job, stages: tuple[str, ...]) -> str:
    """The estimate in lines.

    Raises:
        UserError: the model's configuration or processor can't be read.
    """
    samples, recipe = samples_of(job.plans), job.recipe
    lines = [f"{recipe.name}: {job.model}, {len(samples)} items of {', '.join(recipe.tasks)}"]
    loaded, sizes = _open(job)
    prompts, paths = _lengths(loaded, list(samples.values())[:LOOKED_AT], isinstance(recipe, GrpoRecipe))
    prompt, path = sum(prompts) / len(prompts), sum(p.n_tokens for p in paths) / len(paths)
    prefixes, items = sum(p.n_steps + 1 for p in paths) / len(paths), float(len(samples))
    if isinstance(recipe, BranchRecipe | PreferenceRecipe):
        if recipe.pairs.prefixes == "start":
            prefixes = 1.0
        rest = path / 2 if recipe.pairs.prefixes == "all" else path
        line, items = _explore(recipe.explore, items, items * prefixes * recipe.explore.k, rest)
        lines += [line] if "explore" in stages else []
    if "optimise" in stages:
        lines += _optimise(job, _work(recipe, items, prompt, path, prefixes), sizes)
    if "run" in stages:
        lines.append(f"run: {', '.join(recipe.run.tasks)}; `rsbench run … --dry-run` counts its calls")
    return "\n".join(lines)


def _explore(card: ExploreCard, items: float, branches: float, rest: float) -> tuple[str, float]:
    """The line of an exploration, and how many items it may come to."""
    if card.budget is None:
        most = int(branches * card.max_tokens)
        return (
            f"explore: up to {branches:.0f} branches, as many judge calls at most; about "
            f"{branches * rest:,.0f} generated tokens, never more than {most:,}"
        ), items
    share = min(1.0, card.budget / (branches * rest))
    stops_early = card.sampler == "adaptive"  # so that the budget lasts for more items
    return (
        f"explore: {card.budget:,} generated tokens, {'at least' if stops_early else 'about'} "
        f"{share * items:.0f} items with {share * branches:.0f} branches, as many judge calls at most"
    ), items if stops_early else share * items


def _work(recipe: Recipe, items: float, prompt: float, path: float, prefixes: float) -> _Work:
    """As the trainers count: a tree row a question, a pair or a labelled reply, or a question's samples."""
    kept, batch = items * (1 - recipe.optimise.held_out), recipe.optimise.batch
    if isinstance(recipe, BranchRecipe):
        rest = path / 2 if recipe.pairs.prefixes == "all" else path
        row = prompt + path + prefixes * min(recipe.explore.k, 2 * recipe.pairs.cap) * rest
        return _Work("questions", math.ceil(kept), row, row * batch, most=True)
    if isinstance(recipe, PreferenceRecipe):
        k, alone = recipe.explore.k, prompt + path
        if recipe.kind == "kto":
            return _Work("replies", math.ceil(kept * k), alone, alone * batch)
        pairs = min(recipe.pairs.cap, (k // 2) * (k - k // 2))
        return _Work("pairs", math.ceil(kept * pairs), 2 * alone, 2 * alone * batch)
    if isinstance(recipe, GrpoRecipe):
        n = recipe.generations  # one question's replies are a forward pass
        return _Work("questions", math.ceil(kept), n * (prompt + 2 * path), n * (prompt + path))
    return _Work("questions", math.ceil(kept), prompt + path, (prompt + path) * batch)


def _optimise(job: Job, work: _Work, sizes: Sizes) -> list[str]:
    optimise, recipe = job.recipe.optimise, job.recipe
    a_step = questions_a_step(optimise)
    steps = optimise.max_steps or math.ceil(math.ceil(work.count / a_step) * optimise.epochs)
    if optimise.budget is not None:
        steps = within_budget(optimise, [round(work.tokens)] * work.count).max_steps or 1
    seen = questions_seen(steps, work.count, a_step)
    parts = memory(sizes, work.forward, recipe.lora is not None, optimise.recompute)
    shares = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
    at_least = "at least " if work.most and optimise.budget is not None else ""
    about = "at most" if work.most else "about"
    lines = [
        f"optimise: up to {work.count} {work.unit}, {at_least}{steps} steps of {a_step} {work.unit}, "
        f"{about} {work.tokens:,.0f} tokens a row, {seen * work.tokens:,.0f} in all"
    ]
    if isinstance(recipe, GrpoRecipe):
        lines.append(f"reward: up to {seen * recipe.generations:,} replies, as many judge calls at most")
    return [
        *lines,
        f"memory: about {sum(parts.values()) / GIB:.2f} GiB a process before sharding ({shares}); of "
        f"{sizes.parameters:,} weights {sizes.trained:,} are trained",
    ]


def memory(sizes: Sizes, tokens: float, lora: bool, recompute: bool) -> dict[str, float]:
    """Bytes by what they hold: AdamW with float32 state, 16-bit products, frozen weights in 16 bits."""
    weights = sizes.parameters * (2 if lora else 4) + (4 * sizes.trained if lora else 0)
    layers = 1 if recompute else sizes.layers
    kept = 2 * tokens * sizes.hidden * sizes.layers if recompute else 0
    return {
        "weights": weights,
        "gradients": 4 * sizes.trained,
        "optimiser": 8 * sizes.trained,
        "activations": ACTIVATION * tokens * sizes.hidden * layers + kept,
    }


@dataclass(frozen=True)
class _Path:
    n_tokens: int
    n_steps: int


def _lengths(processor: Any, samples: list[Any], samples_itself: bool) -> tuple[list[int], list[_Path]]:
    """Of prompts and reference paths; who samples replies while training needs no path."""
    prompts, paths = [], []
    for sample in samples:
        if sample.item.reference is None and samples_itself:
            prompts.append(len(encode(processor, sample).ids))
            paths.append(_Path(0, 0))
            continue
        if sample.item.reference is None:
            raise UserError(f"item {sample.item.id!r} has no reference path to train on")
        prompts.append(len(encode(processor, sample).ids))
        path = token_path(sample.item.reference, processor.tokenizer, f"item {sample.item.id!r}")
        paths.append(_Path(len(path.ids), path.n_steps))
    return prompts, paths


def _open(job: Job) -> tuple[Any, Sizes]:
    """The processor, and the model's sizes from a copy of it without weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor

    from rsbench.models.hf_loading import Loaded

    place = job.checkpoint
    try:
        processor = AutoProcessor.from_pretrained(place.source, revision=place.revision or "main")
        config = AutoConfig.from_pretrained(place.source, revision=place.revision or "main")
        loaded = Loaded(None, processor)
        kind = AutoModelForImageTextToText if loaded.sees else AutoModelForCausalLM
        with torch.device("meta"):
            model = kind.from_config(config)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"Can't read the configuration of {job.model!r}: {error}") from error
    inner = config.get_text_config()
    total = sum(p.numel() for p in model.parameters())
    trained = _adapter(model, job.recipe.lora) if job.recipe.lora else total
    return loaded, Sizes(total, trained, inner.num_hidden_layers, inner.hidden_size)


def _adapter(model: Any, lora: LoraCard) -> int:
    """Weights of an adapter: r · (in + out) of each layer that gets one."""
    from srpo_train.training import adapter_layers

    modules = dict(model.named_modules())
    found = [modules[name] for name in adapter_layers(model, lora)]
    return sum(lora.r * (layer.in_features + layer.out_features) for layer in found)
