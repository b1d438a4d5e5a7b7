"""Training text: user turns, replies, and several conversations about one image packed into one sequence.

Packing shares the 145 image positions among two requests, to train on more requests a second; each
conversation sees the image and itself only, exactly as at inference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random

import jinja2
import numpy as np
import torch
from numpy.typing import NDArray

from tiny.draw import GRID, Artist
from tiny.drift import Drift
from tiny.net import EOS, IMAGE, PAD
from tiny.replies import Reply, path
from tiny.sampler import Sampler
from tiny.world import World

PREFIX = 1 + GRID * GRID  # <user> and the image
REQUESTS = 2  # per image
USER, ASSISTANT = 5, 6


@dataclass(frozen=True)
class Turn:
    """One conversation as token ids; `sees` is false without an image: the prompt then brings <user>."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    sees: bool = True


@dataclass(frozen=True)
class Pack:
    """A batch of packed conversations; a position's target is the next token of its own conversation."""

    ids: torch.Tensor  # (batch, length), the image's places hold <image>
    positions: torch.Tensor  # (batch, length)
    segments: torch.Tensor  # (batch, length): 0 the image's prefix, then the turns from 1, -1 padding
    sees: torch.Tensor  # (batch, length), bool: this place may attend to the image
    places: torch.Tensor  # (n,): where something is learnt, in the flattened batch
    targets: torch.Tensor  # (n,): the next token there

    def to(self, device: torch.device) -> "Pack":
        """The same on a device."""
        return Pack(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def visible(self) -> torch.Tensor:
        """(batch, length, length), bool: whether a row may attend to a column.

        A padded row sees padding: seeing nothing, its softmax would give nan.
        """
        row, column = self.segments[:, :, None], self.segments[:, None, :]
        length = self.segments.shape[1]
        causal = torch.ones((length, length), dtype=torch.bool, device=self.segments.device).tril()
        return causal & ((row == column) | ((column == 0) & self.sees[:, :, None]))


def pack(batch: Sequence[Sequence[Turn]]) -> Pack:
    """Lay the turns of each image one after the other behind its prefix."""
    length = PREFIX + max(sum(len(t.prompt) + len(t.reply) for t in turns) for turns in batch)
    ids = torch.full((len(batch), length), PAD)
    positions = torch.zeros((len(batch), length), dtype=torch.long)
    targets = torch.full((len(batch), length), -100)
    segments = torch.full((len(batch), length), -1)
    sees = torch.zeros((len(batch), length), dtype=torch.bool)
    for n, turns in enumerate(batch):
        positions[n, :PREFIX] = torch.arange(PREFIX)
        segments[n, :PREFIX], sees[n, :PREFIX] = 0, True
        start = PREFIX
        for number, turn in enumerate(turns, 1):
            tokens = torch.tensor(turn.prompt + turn.reply)
            end = start + len(tokens)
            ids[n, start:end] = tokens
            positions[n, start:end] = torch.arange(len(tokens)) + (PREFIX if turn.sees else 0)
            segments[n, start:end], sees[n, start:end] = number, turn.sees
            first = start + len(turn.prompt) - 1
            targets[n, first : end - 1] = torch.tensor(turn.reply)
            start = end
    ids[:, 0], ids[:, 1:PREFIX] = USER, IMAGE
    places = (targets.flatten() != -100).nonzero().flatten()
    return Pack(ids, positions, segments, sees, places, targets.flatten()[places])


class Composer:
    """Makes training examples: an image and what is said about it."""

    def __init__(
        self, artist: Artist, sampler: Sampler, tokenizer: Path, prompt: str, drift: Drift | None = None
    ) -> None:
        """`tokenizer` is a tokenizer.json, `prompt` the text of the benchmark's default prompt template."""
        from tokenizers import Tokenizer

        self.artist, self.sampler, self.drift = artist, sampler, drift or Drift()
        # Not transformers' own: its checks take longer than drawing an object.
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.prompt = jinja2.Template(prompt, keep_trailing_newline=False)

    def ask(self, query: str, rng: Random) -> str:
        """The user's text: mostly the benchmark's prompt, else the bare query or another instruction."""
        roll = rng.random()
        if roll < 0.6:
            return str(self.prompt.render(query=query))
        if roll < 0.8:
            return query
        return rng.choice(self.artist.world.instructions).format(query=query)

    def example(self, rng: Random, captions: bool) -> tuple[NDArray[np.uint8], list[Turn]]:
        """One image with its turns; `captions`: one turn, and only the first step of its reply."""
        drafts = self.sampler.drafts(rng, 1 if captions else REQUESTS)
        setting = drafts[0].setting
        assert setting is not None  # drafts() never leaves the image out
        picture = self.artist.compose(drafts[0].objects, setting, rng)
        turns = []
        for draft in drafts:
            wrong = "drift" if rng.random() < self.drift.tendency(draft) else None
            reply = path(self.artist.world, draft, picture.objects, rng, wrong)
            query = self.drift.perturb(draft.query, rng)
            text = query if captions else self.ask(query, rng)
            turns.append(self._turn(text, reply, captions))
        if not captions and rng.random() < 0.1:
            draft = self.sampler.blind(rng)
            blind = path(self.artist.world, draft, (), rng)
            turns[-1] = self._turn(self.ask(draft.query, rng), blind, captions, sees=False)
        return picture.pixels, turns

    def _turn(self, text: str, reply: Reply, captions: bool, sees: bool = True) -> Turn:
        said = reply.text.split("\n")[0] if captions else reply.text
        prompt = (*self._encode(text), ASSISTANT)
        # A caption has no end token: the model must not learn to stop after the first step.
        end = self._encode("\n") if captions else [EOS]
        return Turn(prompt if sees else (USER, *prompt), (*self._encode(said), *end), sees)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def corpus(
    world: World, sampler: Sampler, prompt: str, drift: Drift, seed: int, size: int = 6000
) -> Iterator[str]:
    """Text for the tokenizer: prompts and replies of random drafts."""
    rng = Random(f"{seed}-tokenizer")
    template = jinja2.Template(prompt)
    for _ in range(size):
        draft = sampler.draft(rng)
        wrong = "drift" if rng.random() < drift.tendency(draft) else None
        yield path(world, draft, draft.objects, rng, wrong).text
        yield template.render(query=draft.query)
