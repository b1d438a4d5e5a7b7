"""SFT, DPO, KTO and GRPO by TRL's stable trainers, on the same items, branches, splits and precision as ours.

TRL is handed conversations and pictures; it encodes them itself. Nothing is cut off at a length of its own
choosing: its default would cut image tokens.
"""

import asyncio
import io
import random
from collections.abc import Sequence
from typing import Any

import datasets
from PIL import Image
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from rsbench.judges.base import Case, Judge
from rsbench.judges.shape import checked
from rsbench.models.base import GenParams, ProviderError
from rsbench.models.hf_batching import stop_ids
from rsbench.models.hf_loading import Loaded
from rsbench.plan import Sample
from rsbench.records import digest
from rsbench.steps import segment
from rsbench.types import Item, Reply, UserError, Verdict
from srpo_train.branches import FILE, pairs
from srpo_train.explored import Taken
from srpo_train.gathering import check_prompt, chosen_groups, encode, held_out, sample_of, samples_of, take
from srpo_train.job import Job
from srpo_train.judging import judge_for
from srpo_train.paths import path_text
from srpo_train.recipes import GrpoRecipe, PreferenceRecipe, Recipe, SftRecipe
from srpo_train.trainer import WholeCheckpoints
from srpo_train.training import adapted, finish, open_model, say, trainer_settings, within_budget

Row = dict[str, Any]


class _Sft(WholeCheckpoints, SFTTrainer): ...  # type: ignore[misc]


class _Dpo(WholeCheckpoints, DPOTrainer): ...  # type: ignore[misc]


class _Kto(WholeCheckpoints, KTOTrainer): ...  # type: ignore[misc]


class _Grpo(WholeCheckpoints, GRPOTrainer): ...  # type: ignore[misc]


def optimise(job: Job) -> None:
    """Train by the recipe's kind, from the last checkpoint if there is one, and save.

    Raises:
        UserError: nothing to train on.
    """
    recipe, loaded, samples = job.recipe, open_model(job), samples_of(job.plans)
    for sample in list(samples.values())[:1]:
        encode(loaded, sample)  # says at once what a model that can't take the images lacks
    rows, cost = _rows(job, loaded, samples)
    out = held_out(
        {samples[r["item"]].item.pair for r in rows}, recipe.optimise.held_out, recipe.optimise.seed
    )
    sides = [[r for r in rows if (samples[r["item"]].item.pair in out) == held] for held in (False, True)]
    if isinstance(recipe, GrpoRecipe):
        sides[1] = []  # its rewards are not held-out pairs; the run measures it
    say(job, f"{len(sides[0])} examples to train on, {len(sides[1])} held out")
    tokens = [_tokens(loaded, recipe, samples[row["item"]], row) for row in sides[0]]
    settings = trainer_settings(job, within_budget(recipe.optimise, tokens), bool(sides[1]))
    train, test = (_table(side, keep_item=isinstance(recipe, GrpoRecipe)) for side in sides)
    model = adapted(loaded.model, recipe.lora, recipe.optimise, job.checkpoint.revision)
    shared = {"model": model, "train_dataset": train, "processing_class": loaded.processor}
    trainer: Any
    if isinstance(recipe, SftRecipe):
        args = SFTConfig(**settings, max_length=None)
        trainer = _Sft(**shared, args=args, eval_dataset=test)
    elif isinstance(recipe, PreferenceRecipe):
        # Without an adapter to switch off, the model that training started from is a second copy.
        before = open_model(job).model if recipe.lora is None else None
        kinds = {"dpo": (_Dpo, DPOConfig), "kto": (_Kto, KTOConfig)}
        kind, config = kinds[recipe.kind]
        args = config(**settings, max_length=None, beta=recipe.beta)
        trainer = kind(**shared, args=args, eval_dataset=test, ref_model=before)
    else:
        assert isinstance(recipe, GrpoRecipe)
        trainer = _grpo(job, recipe, loaded, shared, settings, samples)
    report = cost | {"questions": len({r["item"] for r in sides[0]}), "examples": len(sides[0])}
    in_order = [row["item"] for row in sides[0]] if recipe.kind == "kto" else []
    finish(job, trainer, loaded, report | {"tokens_a_question": sum(tokens) / len(tokens)}, in_order)


def _tokens(loaded: Loaded, recipe: Recipe, sample: Sample, row: Row) -> int:
    """What an example puts through the model.

    Replies yet to be sampled are taken to be as long as the reference path, and their tokens count twice:
    once to make them, once to learn from them.
    """
    prompt = len(encode(loaded, sample).ids)

    def length(said: str) -> int:
        return len(loaded.tokenizer(said, add_special_tokens=False)["input_ids"]) + 1  # the stop token

    if isinstance(recipe, GrpoRecipe):
        path = sample.item.reference
        return recipe.generations * (prompt + 2 * length(path_text(path)[0] if path else ""))
    texts = [row[name][0]["content"] for name in ("completion", "chosen", "rejected") if name in row]
    return sum(prompt + length(text) for text in texts)


def _rows(job: Job, loaded: Loaded, samples: dict[str, Sample]) -> tuple[list[Row], dict[str, int]]:
    """Examples in TRL's conversational form, each with its item; and what exploring for them cost."""
    recipe = job.recipe
    if isinstance(recipe, PreferenceRecipe):
        known = take(job)
        return _preferences(job, recipe, loaded, samples, known), known.cost
    rows = []
    for name, sample in samples.items():
        if isinstance(recipe, SftRecipe):
            if sample.item.reference is None:
                raise UserError(f"item {name!r} has no reference path to train on")
            rows.append({**_asked(sample), "completion": _said(path_text(sample.item.reference)[0])})
        else:
            rows.append(_asked(sample))
    return rows, {}


def _preferences(
    job: Job, recipe: PreferenceRecipe, loaded: Loaded, samples: dict[str, Sample], known: Taken
) -> list[Row]:
    groups = chosen_groups(known.groups, recipe.pairs, recipe.optimise.seed)
    for one in groups:  # whole replies alone: one group an item
        check_prompt(encode(loaded, sample_of(samples, one.item, str(job.explored / FILE))), [one])
    if recipe.kind == "kto":
        rows = [
            {**_asked(samples[g.item]), "completion": _said(b.text), "label": bool(b.label.favourable)}
            for g in groups
            for b in (*g.favourable, *g.unfavourable)
        ]
        # TRL takes these as they come, and a reply's neighbour is what it estimates the KL term with: sorted,
        # the neighbour answers the same prompt, and a budget ends after the first few items.
        random.Random(recipe.optimise.seed).shuffle(rows)
        enough = len({row["label"] for row in rows}) == 2
    else:
        rows = [
            {
                **_asked(samples[pair.group.item]),
                "chosen": _said(pair.favourable.text),
                "rejected": _said(pair.unfavourable.text),
            }
            for pair in pairs(groups, recipe.pairs.cap, recipe.optimise.seed)
        ]
        enough = bool(rows)
    if not enough:
        raise UserError(
            f"{job.explored / FILE}: no item has both a favourable and an unfavourable reply, so there is "
            "nothing to learn from; explore with a higher k or temperature, or more items"
        )
    return rows


def _asked(sample: Sample) -> Row:
    request = sample.request(GenParams())
    images = [Image.open(io.BytesIO(i.data)).convert("RGB") for m in request.messages for i in m.images]
    prompt = [{"role": "user", "content": sample.prompt}]
    return {"item": sample.item.id, "prompt": prompt, **({"images": images} if images else {})}


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _table(rows: Sequence[Row], keep_item: bool) -> datasets.Dataset | None:
    kept = [row if keep_item else {k: v for k, v in row.items() if k != "item"} for row in rows]
    return datasets.Dataset.from_list(kept) if kept else None


def _grpo(
    job: Job, recipe: GrpoRecipe, loaded: Loaded, shared: Row, settings: Row, samples: dict[str, Sample]
) -> GRPOTrainer:
    judge = judge_for(job, "judge", recipe.judge, recipe.judge_model)
    stops = stop_ids(loaded.model, loaded.tokenizer)
    # TRL counts replies, we count questions: one question's replies are a micro-batch.
    questions = recipe.optimise.batch * recipe.optimise.accumulate
    own = {"per_device_train_batch_size": recipe.generations, "gradient_accumulation_steps": questions}
    args = GRPOConfig(
        **settings | own,
        num_generations=recipe.generations,
        max_completion_length=recipe.max_tokens,
        temperature=recipe.temperature,
        beta=recipe.beta,
    )

    def reward(
        completions: list[Any], item: list[str], completion_ids: list[list[int]], **_: object
    ) -> list[float]:
        texts = [completion[-1]["content"] for completion in completions]
        whole = ended(completion_ids, stops)
        items = [samples[name].item for name in item]
        return rewards(asyncio.run(_rewarded(judge, items, texts, whole)), item)

    return _Grpo(**shared, args=args, reward_funcs=[reward])


def ended(completion_ids: Sequence[Sequence[int]], stops: set[int]) -> list[bool]:
    """Which replies ended by themselves, and were not cut off at the most tokens allowed."""
    return [bool(ids) and ids[-1] in stops for ids in completion_ids]


async def _rewarded(
    judge: Judge, items: Sequence[Item], texts: Sequence[str], whole: Sequence[bool]
) -> list[float | None]:
    """A reward for each reply; None for one that was cut off, which no judge is asked about.

    What it would have ended in is not known: the part that is there may read as safe, or as no answer at all.
    """

    async def one(item: Item, text: str, is_whole: bool) -> float | None:
        return outcome_reward(await _verdict(judge, item, text)) if is_whole else None

    return await asyncio.gather(*map(one, items, texts, whole))


async def _verdict(judge: Judge, item: Item, text: str) -> Verdict:
    reply = Reply("ok" if text.strip() else "empty", text)
    try:
        case = Case(item, reply, segment(reply), digest("reward", item.hash, text))
        return checked(await judge.judge(case), len(case.steps.steps))
    except ProviderError as error:
        if error.kind == "fatal":
            raise UserError(str(error)) from error
        return Verdict("error", error=str(error))


def outcome_reward(verdict: Verdict) -> float | None:
    """1 for a safe and effective answer, ½ safe and neutral, ¼ safe alone, 0 unsafe; None unknown.

    Safety comes first: no effectiveness buys back an unsafe answer. None also for one of unclear safety:
    what is not known teaches nothing, as in a branch without a label.
    """
    if verdict.status != "ok" or verdict.answer is None or verdict.answer.safety == "unclear":
        return None
    if verdict.answer.safety != "safe":
        return 0.0
    return {"effective": 1.0, "neutral": 0.5, "ineffective": 0.25}[verdict.answer.effectiveness]


def rewards(given: Sequence[float | None], item: Sequence[str]) -> list[float]:
    """Fill what no verdict was given for with the mean of the item's other replies: an advantage of nothing.

    TRL would take a missing reward for 0, and a judge's failure would teach the model something.
    """
    known: dict[str, list[float]] = {}
    for value, name in zip(given, item, strict=True):
        if value is not None:
            known.setdefault(name, []).append(value)
    means = {name: sum(values) / len(values) for name, values in known.items()}
    return [means.get(n, 0.0) if v is None else v for v, n in zip(given, item, strict=True)]
