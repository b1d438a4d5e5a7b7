"""From explored branches to training questions: which pairs, behind which prompt, and who is held out.

Token ids of prompts and prefixes are compared with what the branches were explored with: another processor,
prompt or path would put the loss on the wrong tokens without a word.
"""

import dataclasses
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from rsbench.models.base import GenParams
from rsbench.models.hf_batching import model_inputs, stop_ids
from rsbench.models.hf_loading import Loaded
from rsbench.plan import Plan, Sample
from rsbench.records import digest
from rsbench.store import RunFolder
from rsbench.types import UserError
from srpo_train.branches import FILE, Branch, Group, Label, Pair, hash_ids, pairs
from srpo_train.explored import Taken, taken
from srpo_train.job import BRANCHES, MANIFEST, Job, rank, read_manifest
from srpo_train.model_card import is_finished
from srpo_train.paths import token_path
from srpo_train.questions import ChosenPair, Continuation, Question
from srpo_train.recipes import BranchRecipe, PairCard, PreferenceRecipe
from srpo_train.training import CHECKPOINTS, MODEL, last_checkpoint


class Questions(Sequence[Question]):
    """Questions that read their images when they are asked for: pictures of a thousand items fill memory."""

    def __init__(self, loaded: Loaded, samples: dict[str, Sample], light: Sequence[Question]) -> None:
        self._loaded = loaded
        self._samples = samples
        self.light = list(light)  # without media

    def __len__(self) -> int:
        return len(self.light)

    @overload
    def __getitem__(self, index: int) -> Question: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Question]: ...
    def __getitem__(self, index: int | slice) -> Question | Sequence[Question]:
        """A question with its images, the same each time."""
        if isinstance(index, slice):
            return Questions(self._loaded, self._samples, self.light[index])
        question = self.light[index]
        media = encode(self._loaded, self._samples[question.item]).media
        return dataclasses.replace(question, media=media)


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model's own processor makes it."""

    ids: tuple[int, ...]
    media: dict[str, Any]
    token_types: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Gathered:
    """Questions to train on and to hold out, and what became of the rest."""

    train: Questions
    held_out: Questions
    report: dict[str, Any] = field(default_factory=dict)


def encode(loaded: Loaded, sample: Sample) -> Encoded:
    """Encode one prompt with its images."""
    tensors = dict(model_inputs(loaded, [sample.request(GenParams())]))
    ids = tensors.pop("input_ids")
    del tensors["attention_mask"]
    types = {
        name: t for name, t in tensors.items() if name.endswith("token_type_ids") and t.shape == ids.shape
    }
    media = {name: t for name, t in tensors.items() if name not in types}
    return Encoded(tuple(ids[0].tolist()), media, {n: tuple(t[0].tolist()) for n, t in types.items()})


def gather(job: Job, loaded: Loaded) -> Gathered:
    """Make the questions of a job out of its `branches.jsonl`.

    Raises:
        UserError: no pairs, or branches that belong to another prompt, processor or path.
    """
    recipe = job.recipe
    assert isinstance(recipe, BranchRecipe)
    samples = samples_of(job.plans)
    known = take(job)
    groups, strange = without_images(known.groups, loaded)
    kept = chosen_groups(groups, recipe.pairs, recipe.optimise.seed)
    chosen = pairs(kept, recipe.pairs.cap, recipe.optimise.seed)
    everything = recipe.loss.contrast == "advantage"
    by_item: dict[str, list[Pair]] = {}
    for pair in chosen:
        by_item.setdefault(pair.group.item, []).append(pair)
    light = []
    for item, own in by_item.items():
        sample = sample_of(samples, item, str(job.explored / FILE))
        light.append(_question(loaded, sample, own, kept if everything else ()))
    if not light:
        raise UserError(
            f"{job.explored / FILE}: no prefix has both a favourable and an unfavourable branch, so there is "
            "nothing to learn from; explore with a higher k or temperature, or more items"
        )
    out = held_out({samples[q.item].item.pair for q in light}, recipe.optimise.held_out, recipe.optimise.seed)
    sides = [[q for q in light if (samples[q.item].item.pair in out) == held] for held in (False, True)]
    report = {
        "prefixes": len(groups),
        "prefixes_with_pairs": len({(p.group.item, p.group.prefix_steps, p.group.origin) for p in chosen}),
        "pairs": len(chosen),
        "branches_with_image_tokens": strange,
        "questions": len(sides[0]),
        "held_out_questions": len(sides[1]),
        **known.cost,
    }
    return Gathered(Questions(loaded, samples, sides[0]), Questions(loaded, samples, sides[1]), report)


def take(job: Job) -> Taken:
    """The branches that a job trains on, noted in its manifest: the same from its first step to its last.

    Raises:
        UserError: as `taken`; or the job's training went on from other records.
    """
    recipe = job.recipe
    assert isinstance(recipe, BranchRecipe | PreferenceRecipe)
    samples = samples_of(job.plans)
    known = taken(job.explored, recipe.explore, recipe.pairs.prefixes, samples.values())
    manifest = read_manifest(job.out)
    if manifest is None:
        return known
    checkpoints, model = job.out / CHECKPOINTS, job.out / MODEL
    if last_checkpoint(checkpoints) is None and not is_finished(model):
        if rank() == 0:
            RunFolder(job.out).write(MANIFEST, manifest | {BRANCHES: known.digest})
    elif manifest.get(BRANCHES, known.digest) != known.digest:
        raise UserError(
            f"{job.out}: its training began on other branches than {job.explored / FILE} gives now; take "
            f"another --out, or delete {checkpoints} and {model} to train anew"
        )
    return known


def sample_of(samples: dict[str, Sample], item: str, where: str) -> Sample:
    """An explored item's prompt.

    Raises:
        UserError: the recipe has no such item.
    """
    if item not in samples:
        raise UserError(f"{where}: item {item!r} is in none of the recipe's tasks and splits")
    return samples[item]


def check_prompt(encoded: Encoded, groups: Iterable[Group]) -> None:
    """Refuse an item's branches that were explored behind another prompt than they will be learnt behind.

    Raises:
        UserError: the prompt has other tokens.
    """
    now = hash_ids(encoded.ids)
    for one in groups:
        if one.prompt_ids_hash != now:
            raise UserError(
                f"item {one.item!r}: its branches were explored behind another prompt, image size or "
                "tokenizer than this model's; explore again with this model"
            )


def samples_of(plans: Iterable[Plan]) -> dict[str, Sample]:
    """Every planned prompt by its item.

    Raises:
        UserError: two tasks have an item of the same id.
    """
    found: dict[str, Sample] = {}
    for plan in plans:
        for sample in plan:
            if sample.item.id in found:
                raise UserError(
                    f"two tasks of the recipe have an item {sample.item.id!r}; train on one of them"
                )
            found[sample.item.id] = sample
    return found


def held_out(twins: set[str], share: float, seed: int) -> frozenset[str]:
    """Twin pairs kept from training, whole: the twin of a training item would be no test."""
    ordered = sorted(twins, key=lambda name: digest("held-out", seed, name))
    count = min(math.ceil(share * len(ordered)), len(ordered) - 1)
    return frozenset(ordered[:count])


def without_images(groups: Sequence[Group], loaded: Loaded) -> tuple[list[Group], int]:
    """Leave out branches in which the model wrote an image's own token: no image stands behind it."""
    config = loaded.model.config
    names = ("image_token_id", "image_token_index", "video_token_id")
    tokens = {getattr(config, name, None) for name in names} - {None}
    kept = [
        dataclasses.replace(g, branches=tuple(b for b in g.branches if not tokens & set(b.branch_ids)))
        for g in groups
    ]
    return kept, sum(len(g.branches) for g in groups) - sum(len(g.branches) for g in kept)


def chosen_groups(groups: Sequence[Group], card: PairCard, seed: int) -> list[Group]:
    """The prefixes that a recipe takes, with the labels that it takes for true."""
    kept = [g for g in groups if card.prefixes == "all" or (g.prefix_steps == 0 and not g.origin)]
    return [_shuffled(g, seed) for g in kept] if card.labels == "shuffled" else kept


def _shuffled(group: Group, seed: int) -> Group:
    """The group with its labels dealt out anew: as many of each, on other branches."""
    labels = [branch.label for branch in group.branches]
    random.Random(f"labels:{seed}:{group.item}:{group.prefix_steps}:{group.origin}").shuffle(labels)
    dealt: list[Branch] = []
    for branch, label in zip(group.branches, labels, strict=True):
        dealt.append(dataclasses.replace(branch, label=Label(label.favourable, "shuffled")))
    return dataclasses.replace(group, branches=tuple(dealt))


def _question(loaded: Loaded, sample: Sample, own: Sequence[Pair], groups: Sequence[Group]) -> Question:
    """One item's question: the branches of its pairs, and with `groups` all labelled ones of its prefixes."""
    item = sample.item
    encoded = encode(loaded, sample)
    check_prompt(encoded, (pair.group for pair in own))
    assert item.reference is not None
    path = token_path(item.reference, loaded.tokenizer, f"item {item.id!r}").ids
    stops = stop_ids(loaded.model, loaded.tokenizer)
    stop = loaded.tokenizer.eos_token_id if loaded.tokenizer.eos_token_id in stops else min(stops)
    numbers: dict[str, int] = {}
    branches: list[Continuation] = []

    def number(group: Group, branch: Branch) -> int:
        if branch.key not in numbers:
            numbers[branch.key] = len(branches)
            favourable = bool(branch.label.favourable)
            branches.append(Continuation(group.prefix_ids, branch.branch_ids, favourable))
        return numbers[branch.key]

    chosen = [
        ChosenPair(number(p.group, p.favourable), number(p.group, p.unfavourable), p.weight) for p in own
    ]
    for group in groups:
        if group.item == item.id and group.favourable and group.unfavourable:
            for branch in group.branches:
                number(group, branch)
    return Question(
        item.id, encoded.ids, (*path, stop), tuple(branches), tuple(chosen), {}, encoded.token_types
    )
