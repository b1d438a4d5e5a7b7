"""The two learning stages of `tiny`: dense patch pre-training of the vision tower, then joint training.

Steps are counted, never minutes, and each step draws its data from its own seed, so a run is reproducible
whatever else the machine is doing. All float32: bfloat16 is slow on processors without units for it.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn

from tiny.draw import GRID, Artist, Picture
from tiny.net import Optimiser, make_model, to_pixels
from tiny.sampler import Sampler
from tiny.text import Composer, Pack, pack


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

    def tell(self, number: int, seen: int, **values: float) -> None:
        """Report after step `number`, counted from 1."""
        if number % self.every and number != self.steps:
            return
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


def dense(plan: Plan, artist: Artist, file: Path) -> dict[str, Any]:
    """Teach the vision tower which object or setting each patch shows; saves its weights to `file`.

    Three images in four are crowds: a sparse scene has few object patches to learn from. No request takes
    part, so no exclusions apply.
    """
    torch.manual_seed(plan.seed)
    sampler = Sampler(artist.world, ())
    objects, settings = len(artist.world.objects), len(artist.world.settings)
    tower = make_model(vocabulary=8).model.vision_tower
    head = nn.Linear(192, objects + settings)
    weight = torch.ones(objects + settings)
    weight[objects:] = 0.15  # most patches are background
    named = [*tower.named_parameters(), *((f"head.{n}", p) for n, p in head.named_parameters())]
    optimiser = Optimiser(named, plan.dense_rate, plan.dense_steps)
    progress = Progress("dense", plan.dense_steps)
    for number in range(plan.dense_steps):
        rng = Random(f"{plan.seed}-dense-{number}")
        pictures = [
            _scene(artist, sampler, rng) if n % 4 == 0 else artist.crowd(rng) for n in range(plan.dense_batch)
        ]
        truth = torch.from_numpy(np.stack([p.labels for p in pictures])).flatten(1)
        scores = head(tower(to_pixels([p.pixels for p in pictures])).last_hidden_state)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), truth.flatten(), weight=weight)
        optimiser.step(loss, number)
        recall = shown(truth, scores.argmax(-1), objects) if (number + 1) % progress.every == 0 else 0.0
        progress.tell(number + 1, (number + 1) * plan.dense_batch, loss=loss.item(), recall=recall)
    torch.save(tower.state_dict(), file)
    return {
        "seconds": round(progress.seconds(), 1),
        "images": plan.dense_steps * plan.dense_batch,
        "log": progress.log,
    }


def _scene(artist: Artist, sampler: Sampler, rng: Random) -> Picture:
    drafts = sampler.drafts(rng, 1)
    setting = drafts[0].setting
    assert setting is not None  # drafts() never leaves the image out
    return artist.compose(drafts[0].objects, setting, rng)


def joint(plan: Plan, composer: Composer, tower: Path, folder: Path) -> dict[str, Any]:
    """Teach the language model to read the image tokens and to reason; saves the whole model to `folder`.

    The vision tower stays frozen. In the first 70 % every other step trains only the first step of the reply,
    on more images: naming what is there is what takes longest to learn, and risk rests on it.
    """
    torch.manual_seed(plan.seed + 1)
    model = make_model(len(composer.tokenizer))
    model.model.vision_tower.load_state_dict(torch.load(tower, weights_only=True))
    for parameter in model.model.vision_tower.parameters():
        parameter.requires_grad_(False)
    # The head is the embedding matrix: both belong to AdamW.
    named = ((name.replace("lm_head", "embed"), p) for name, p in model.named_parameters())
    optimiser = Optimiser(named, plan.joint_rate, plan.joint_steps)
    progress = Progress("joint", plan.joint_steps)
    seen = 0
    for number in range(plan.joint_steps):
        rng = Random(f"{plan.seed}-joint-{number}")
        captions = number % 2 == 1 and number < 0.7 * plan.joint_steps
        size = plan.caption_batch if captions else plan.joint_batch
        examples = [composer.example(rng, captions) for _ in range(size)]
        batch = pack([turns for _, turns in examples])
        loss = batch_loss(model, to_pixels([pixels for pixels, _ in examples]), batch)
        optimiser.step(loss, number)
        seen += sum(len(turns) for _, turns in examples)
        progress.tell(number + 1, seen, **{"caption_loss" if captions else "loss": loss.item()})
    save(model, folder)
    return {"seconds": round(progress.seconds(), 1), "samples": seen, "log": progress.log}


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
    mask = torch.zeros(batch.visible.shape).masked_fill(~batch.visible, torch.finfo(torch.float32).min)
    out = core.language_model(
        inputs_embeds=states, attention_mask=mask[:, None], position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    rows = batch.targets != -100
    return nn.functional.cross_entropy(model.lm_head(out[rows]), batch.targets[rows])


def save(model: Any, folder: Path) -> None:
    """Save in bfloat16, half the size; loading code may compute in float32."""
    model.generation_config.pad_token_id, model.generation_config.bos_token_id = 0, 1
    model.generation_config.eos_token_id = 2
    model.to(torch.bfloat16).save_pretrained(folder)


def write_json(file: Path, value: object) -> None:
    """Write a small JSON file, one key a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
