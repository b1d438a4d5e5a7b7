"""What a training would take, before it takes it: branches, tokens, steps, memory. Loads no weights.

Prompts and reference paths are tokenised by the model's own processor; branches are taken to be as long as
the rest of the reference path. Memory follows the usual account of a transformer's training state; it is an
estimate, and says so.
"""

import math
from dataclasses import dataclass
from typing import Any

from rsbench.types import UserError
from srpo_train.gathering import samples_of
from srpo_train.job import Job, world_size
from srpo_train.paths import token_path
from srpo_train.recipes import BranchRecipe, LoraCard

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


def text(job: Job, stages: tuple[str, ...]) -> str:
    """The estimate in lines.

    Raises:
        UserError: the model's configuration or processor can't be read.
    """
    samples = samples_of(job.plans)
    lines = [f"{job.recipe.name}: {job.model}, {len(samples)} items of {', '.join(job.recipe.tasks)}"]
    loaded, sizes = _open(job)
    prompts, paths = _lengths(loaded, list(samples.values())[:LOOKED_AT])
    prompt, path = sum(prompts) / len(prompts), sum(p.n_tokens for p in paths) / len(paths)
    prefixes = sum(p.n_steps + 1 for p in paths) / len(paths)
    recipe = job.recipe
    row = prompt + path
    if isinstance(recipe, BranchRecipe):
        if recipe.pairs.prefixes == "start":
            prefixes = 1.0
        branches = len(samples) * prefixes * recipe.explore.k
        rest = path / 2 if recipe.pairs.prefixes == "all" else path
        if "explore" in stages and recipe.explore.budget is not None:
            share = min(1.0, recipe.explore.budget / (branches * rest))
            lines.append(
                f"explore: {recipe.explore.budget:,} generated tokens, about {share * len(samples):.0f} "
                f"items with {share * branches:.0f} branches, as many judge calls at most"
            )
        elif "explore" in stages:
            most = int(branches * recipe.explore.max_tokens)
            lines.append(
                f"explore: up to {branches:.0f} branches, as many judge calls at most; about "
                f"{branches * rest:,.0f} generated tokens, never more than {most:,}"
            )
        row = prompt + path + prefixes * min(recipe.explore.k, 2 * recipe.pairs.cap) * rest
    if "optimise" in stages:
        lines += _optimise(job, len(samples), row, sizes)
    if "run" in stages:
        lines.append(f"run: {', '.join(recipe.run.tasks)}; `rsbench run … --dry-run` counts its calls")
    return "\n".join(lines)


def _optimise(job: Job, items: int, row: float, sizes: Sizes) -> list[str]:
    optimise = job.recipe.optimise
    questions = math.ceil(items * (1 - optimise.held_out))
    a_step = optimise.batch * optimise.accumulate * world_size()
    steps = optimise.max_steps or math.ceil(math.ceil(questions / a_step) * optimise.epochs)
    if optimise.budget is not None:
        steps = max(1, round(optimise.budget / (a_step * row)))
    tokens = steps * a_step * row
    parts = memory(sizes, row * optimise.batch, job.recipe.lora is not None, optimise.recompute)
    shares = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
    return [
        f"optimise: up to {questions} questions, {steps} steps of {a_step} questions, about {row:,.0f} "
        f"tokens a row, {tokens:,.0f} in all",
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


def _lengths(processor: Any, samples: list[Any]) -> tuple[list[int], list[_Path]]:
    from srpo_train.gathering import encode

    prompts, paths = [], []
    for sample in samples:
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
