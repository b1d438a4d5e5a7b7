"""The stage `optimise` for recipes of the kind `branches`: branches in, a trained model and its card out.

Runs as it is under a launcher: every process reads the same files and trains its share of the questions; the
first one writes.
"""

import dataclasses
from typing import Any

import torch
from transformers import TrainingArguments

from rsbench.models.hf_loading import Loaded
from rsbench.types import UserError
from srpo_train.gathering import Questions, gather
from srpo_train.job import Job
from srpo_train.layouts import Layout, collator_for
from srpo_train.objectives import sum_scores
from srpo_train.questions import Question
from srpo_train.recipes import BranchRecipe
from srpo_train.rows import padded_rows, tree_row
from srpo_train.trainer import SRPOTrainer, add_scoring, log_probs
from srpo_train.training import adapted, finish, open_model, say, trainer_settings, within_budget

AGREE_FLOAT32, AGREE_BFLOAT16 = 2e-3, 0.1  # between the two layouts, in mean log-probability of a branch


def optimise(job: Job) -> None:
    """Train, from the last checkpoint if there is one, and save.

    Raises:
        UserError: nothing to train on, or a model that the layout does not fit.
    """
    recipe = job.recipe
    assert isinstance(recipe, BranchRecipe)
    loaded = open_model(job)
    gathered = gather(job, loaded)
    say(
        job,
        f"{gathered.report['pairs']} pairs of {gathered.report['prefixes']} prefixes; "
        f"{len(gathered.train)} questions to train on, {len(gathered.held_out)} held out",
    )
    objective = recipe.loss.objective()
    add_scoring(loaded.model)
    tokens = [row_tokens(question, recipe) for question in gathered.train.light]
    optimise = within_budget(recipe.optimise, tokens)
    if recipe.optimise.layout == "tree":
        check_tree(loaded, min(gathered.train.light, key=_size), gathered.train)
    if objective.needs_before:
        for questions in (gathered.train, gathered.held_out):
            note_before(loaded, questions, recipe.optimise.layout)
    model = adapted(loaded.model, recipe.lora, recipe.optimise, job.checkpoint.revision)
    trainer = SRPOTrainer(
        model,
        TrainingArguments(**trainer_settings(job, optimise, bool(gathered.held_out.light))),
        objective,
        gathered.train,
        gathered.held_out,
        loaded.tokenizer.pad_token_id,
        recipe.optimise.layout,
    )
    finish(job, trainer, loaded, gathered.report | {"tokens_a_question": sum(tokens) / len(tokens)})


def row_tokens(question: Question, recipe: BranchRecipe) -> int:
    """What one question puts through the model in the recipe's layout, padding left out."""
    with_reference = "reference" in recipe.loss.objective().scores
    if recipe.optimise.layout == "tree":
        return len(tree_row(question, with_reference).ids)
    return sum(len(row.ids) for row in padded_rows(question, with_reference))


def check_tree(loaded: Loaded, light: Question, questions: Questions) -> None:
    """Score one question in both layouts; models differ in what they do with masks and positions.

    Raises:
        UserError: they disagree.
    """
    question = questions[questions.light.index(light)]
    means = []
    with torch.no_grad():
        for layout in ("tree", "padded"):
            collate = collator_for(loaded.model, loaded.tokenizer.pad_token_id, layout, frozenset({"own"}))
            batch = moved(collate([question]), loaded.model.device)
            means.append(sum_scores(log_probs(loaded.model, batch), batch, "own").mean)
    allowed = AGREE_FLOAT32 if loaded.model.dtype == torch.float32 else AGREE_BFLOAT16
    worst = float((means[0] - means[1]).abs().max())
    if not worst <= allowed:  # NaN too
        raise UserError(
            f"{type(loaded.model).__name__} scores a branch otherwise in the tree layout than alone (mean "
            f"log-probability off by {worst:.3g}, allowed {allowed:g}): set optimise.layout: padded"
        )


@torch.no_grad()
def note_before(loaded: Loaded, questions: Questions, layout: Layout = "tree") -> None:
    """Write into each branch its summed log-probability under the starting model."""
    collate = collator_for(loaded.model, loaded.tokenizer.pad_token_id, layout, frozenset({"own"}))
    for n in range(len(questions)):
        batch = moved(collate([questions[n]]), loaded.model.device)
        totals = sum_scores(log_probs(loaded.model, batch), batch, "own").total.tolist()
        noted = zip(questions.light[n].branches, totals, strict=True)
        branches = tuple(dataclasses.replace(branch, before=total) for branch, total in noted)
        questions.light[n] = dataclasses.replace(questions.light[n], branches=branches)


def moved(batch: Any, device: torch.device) -> Any:
    """A batch with all of its tensors on a device."""
    if isinstance(batch, dict):
        return {name: moved(part, device) for name, part in batch.items()}
    return batch.to(device)


def _size(question: Question) -> int:
    return len(question.prompt_ids) + sum(len(b.prefix_ids) + len(b.ids) for b in question.branches)
