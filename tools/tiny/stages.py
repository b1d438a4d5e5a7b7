"""The two learning stages of `tiny`: dense patch pre-training of the vision tower, then joint training.

Steps are counted, and each step draws its data from its own seed, so a run is reproducible whatever else the
machine is doing. A limit in minutes only chooses the number of steps, which the record then states. All
float32 (TF32 products on a GPU): bfloat16 is slow on processors without units for it.
"""

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tiny.draw import GRID, Artist
from tiny.feed import DenseMaker, JointMaker, as_pack, feed
from tiny.net import Optimiser, make_model, to_pixels
from tiny.sampler import Sampler
from tiny.text import Composer, Pack

CAPTIONS = 0.7  # in this share of the joint steps every other one trains captions alone
PACED = 120  # steps whose pace decides how many fit into the minutes given


@dataclass(frozen=True)
class Plan:
    """How long to train; every number here changes the weights."""

    seed: int = 7
    dense_steps: int = 800
    dense_batch: int = 16  # images
    dense_rate: float = 2.5e-3
    joint_steps: int = 900
    joint_batch: int = 12  # images, two requests each
    caption_batch: int = 16  # images, first step of the reply only
    joint_rate: float = 2.5e-3


@dataclass(frozen=True)
class Place:
    """Where to train; changes nothing but the last digits and the time."""

    device: torch.device = torch.device("cpu")
    workers: int = 0  # processes that draw


@dataclass
class Progress:
    """Writes a line every `every` steps and keeps them for training.json."""

    stage: str
    steps: int
    every: int = 50

    def __post_init__(self) -> None:
        """Start the clock."""
        self.start = time.monotonic()
        self.log: list[dict[str, float]] = []

    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self.start

    def due(self, number: int) -> bool:
        """Whether step `number`, counted from 1, is one to tell of; reading a loss off a GPU takes time."""
        return number % self.every == 0 or number == self.steps

    def tell(self, number: int, seen: int, **values: float) -> None:
        """Report after step `number`, counted from 1."""
        row = {"step": number, "seconds": round(self.seconds(), 1)} | {
            k: round(v, 4) for k, v in values.items()
        }
        self.log.append(row)
        rest = self.seconds() / number * (self.steps - number)
        words = " ".join(f"{key} {value}" for key, value in row.items())
        rate = seen / self.seconds()
        sys.stdout.write(
            f"[{self.stage}] {words} of {self.steps}, {rate:.1f} samples/s, {rest / 60:.1f} min left\n"
        )
        sys.stdout.flush()


def shown(labels: torch.Tensor, predicted: torch.Tensor, objects: int) -> float:
    """Share of the objects in `labels` (batch, patches) that at least two patches are predicted to show."""
    hits = []
    for truth, guess in zip(labels, predicted, strict=True):
        for number in truth[truth < objects].unique():
            hits.append(float((guess == number).sum() >= 2))
    return float(np.mean(hits))


def dense(plan: Plan, artist: Artist, file: Path, place: Place) -> dict[str, Any]:
    """Teach the vision tower which object or setting each patch shows; saves its weights to `file`.

    Three images in four are crowds: a sparse scene has few object patches to learn from. No request takes
    part, so no exclusions apply.
    """
    torch.manual_seed(plan.seed)
    make = DenseMaker(artist, Sampler(artist.world, ()), plan.seed, plan.dense_batch)
    objects, settings = len(artist.world.objects), len(artist.world.settings)
    tower = make_model(vocabulary=8).model.vision_tower.to(place.device)
    head = nn.Linear(192, objects + settings).to(place.device)
    weight = torch.ones(objects + settings, device=place.device)
    weight[objects:] = 0.15  # most patches are background
    named = [*tower.named_parameters(), *((f"head.{n}", p) for n, p in head.named_parameters())]
    optimiser = Optimiser(named, plan.dense_rate, plan.dense_steps)
    progress = Progress("dense", plan.dense_steps)
    for number, (pixels, labels) in enumerate(feed(make, plan.dense_steps, place.workers)):
        truth = torch.from_numpy(labels).to(place.device).flatten(1)
        scores = head(tower(to_pixels(pixels, place.device)).last_hidden_state)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), truth.flatten(), weight=weight)
        optimiser.step(loss, number)
        if progress.due(number + 1):
            recall = shown(truth.cpu(), scores.argmax(-1).cpu(), objects)
            progress.tell(number + 1, (number + 1) * plan.dense_batch, loss=loss.item(), recall=recall)
    torch.save(tower.cpu().state_dict(), file)
    return {
        "seconds": round(progress.seconds(), 1),
        "images": plan.dense_steps * plan.dense_batch,
        "log": progress.log,
    }


def joint(
    plan: Plan, composer: Composer, tower: Path, folder: Path, place: Place, minutes: float | None = None
) -> dict[str, Any]:
    """Teach the language model to read the image tokens and to reason; saves the whole model to `folder`.

    The vision tower stays frozen. In the first 70 % every other step trains only the first step of the reply,
    on more images: naming what is there is what takes longest to learn, and risk rests on it. With `minutes`,
    the pace of the first steps decides how many of `plan.joint_steps` there are: the record's `steps` given
    as joint steps make the same run again.
    """
    if minutes is not None:
        plan = replace(plan, joint_steps=_paced(plan, composer, tower, place, minutes))
    learner = Learner(plan, composer, tower, place)
    progress = Progress("joint", plan.joint_steps)
    make = _maker(plan, composer)
    seen = 0
    for number, (pixels, *arrays, count) in enumerate(feed(make, plan.joint_steps, place.workers)):
        loss = learner.step(number, pixels, as_pack(tuple(arrays)))
        seen += int(count)
        if progress.due(number + 1):
            name = "caption_loss" if make.is_caption(number) else "loss"
            progress.tell(number + 1, seen, **{name: loss.item()})
    save(learner.model.cpu(), folder)
    return {
        "seconds": round(progress.seconds(), 1),
        "steps": plan.joint_steps,
        "samples": seen,
        "log": progress.log,
    }


class Learner:
    """A fresh model behind a trained, frozen vision tower, and its optimiser."""

    def __init__(self, plan: Plan, composer: Composer, tower: Path, place: Place) -> None:
        """The language model's first weights depend on the seed alone."""
        torch.manual_seed(plan.seed + 1)
        self.model: Any = make_model(composer.tokenizer.get_vocab_size())
        self.model.model.vision_tower.load_state_dict(torch.load(tower, weights_only=True))
        self.model.to(place.device)
        for parameter in self.model.model.vision_tower.parameters():
            parameter.requires_grad_(False)
        # The head is the embedding matrix: both belong to AdamW.
        named = ((name.replace("lm_head", "embed"), p) for name, p in self.model.named_parameters())
        self.optimiser = Optimiser(named, plan.joint_rate, plan.joint_steps)
        self.device = place.device

    def step(self, number: int, pixels: NDArray[np.uint8], batch: Pack) -> torch.Tensor:
        """One update; returns the loss before it."""
        loss = batch_loss(self.model, to_pixels(pixels, self.device), batch.to(self.device))
        self.optimiser.step(loss, number)
        return loss.detach()


def _maker(plan: Plan, composer: Composer) -> JointMaker:
    captions = int(CAPTIONS * plan.joint_steps)
    return JointMaker(composer, plan.seed, plan.joint_batch, plan.caption_batch, captions)


def _paced(plan: Plan, composer: Composer, tower: Path, place: Place, minutes: float) -> int:
    """How many steps fit into the minutes, by the pace of a model that is thrown away."""
    start, warm = time.monotonic(), 0.0
    learner = Learner(plan, composer, tower, place)
    for number, (pixels, *arrays, _) in enumerate(feed(_maker(plan, composer), PACED, place.workers)):
        loss = learner.step(number, pixels, as_pack(tuple(arrays)))
        if number in (PACED // 2 - 1, PACED - 1):
            loss.item()  # waits for the device
            warm = warm or time.monotonic()
    pace = (time.monotonic() - warm) / (PACED - PACED // 2)
    left = minutes * 60 - (time.monotonic() - start)
    return max(PACED, min(plan.joint_steps, int(left / pace)))


def batch_loss(model: Any, pixels: torch.Tensor, batch: Pack) -> torch.Tensor:
    """Mean cross-entropy of the reply tokens of packed conversations."""
    core = model.model
    with torch.no_grad():
        # What the stock model reads: the last layer before the final normalisation.
        patches = core.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
    words = core.language_model.embed_tokens(batch.ids)
    # ids: <user>, one place per patch, then the turns
    states = torch.cat(
        [words[:, :1], core.multi_modal_projector(patches), words[:, 1 + GRID * GRID :]], dim=1
    )
    hidden = ~batch.visible()
    mask = torch.zeros(hidden.shape, device=hidden.device)
    mask = mask.masked_fill(hidden, torch.finfo(torch.float32).min)
    out = core.language_model(
        inputs_embeds=states, attention_mask=mask[:, None], position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    return nn.functional.cross_entropy(model.lm_head(out.flatten(0, 1)[batch.places]), batch.targets)


def save(model: Any, folder: Path) -> None:
    """Save in bfloat16, half the size; loading code may compute in float32."""
    model.generation_config.pad_token_id, model.generation_config.bos_token_id = 0, 1
    model.generation_config.eos_token_id = 2
    model.to(torch.bfloat16).save_pretrained(folder)


def write_json(file: Path, value: object) -> None:
    """Write a small JSON file, one key a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
