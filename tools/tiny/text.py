"""Training text: user turns, replies, and several conversations about one image packed into one sequence.

Packing shares the 145 image positions among two requests, to train on more requests a second; each
conversation sees the image and itself only, exactly as at inference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import jinja2
import numpy as np
import torch
from numpy.typing import NDArray

from tiny.draw import GRID, Artist
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
    visible: torch.Tensor  # (batch, length, length), bool: row may attend to column
    targets: torch.Tensor  # (batch, length), -100 where nothing is learnt


def pack(batch: Sequence[Sequence[Turn]]) -> Pack:
    """Lay the turns of each image one after the other behind its prefix."""
    length = PREFIX + max(sum(len(t.prompt) + len(t.reply) for t in turns) for turns in batch)
    ids = torch.full((len(batch), length), PAD)
    positions = torch.zeros((len(batch), length), dtype=torch.long)
    targets = torch.full((len(batch), length), -100)
    visible = torch.zeros((len(batch), length, length), dtype=torch.bool)
    causal = torch.ones((length, length), dtype=torch.bool).tril()
    visible[:] = torch.eye(length, dtype=torch.bool)  # a padded row must see something, or softmax gives nan
    for n, turns in enumerate(batch):
        positions[n, :PREFIX] = torch.arange(PREFIX)
        visible[n, :PREFIX, :PREFIX] = causal[:PREFIX, :PREFIX]
        start = PREFIX
        for turn in turns:
            tokens = torch.tensor(turn.prompt + turn.reply)
            end = start + len(tokens)
            ids[n, start:end] = tokens
            positions[n, start:end] = torch.arange(len(tokens)) + (PREFIX if turn.sees else 0)
            visible[n, start:end, start:end] = causal[: len(tokens), : len(tokens)]
            visible[n, start:end, :PREFIX] = turn.sees
            first = start + len(turn.prompt) - 1
            targets[n, first : end - 1] = torch.tensor(turn.reply)
            start = end
    ids[:, 0], ids[:, 1:PREFIX] = USER, IMAGE
    return Pack(ids, positions, visible, targets)


class Composer:
    """Makes training examples: an image and what is said about it."""

    def __init__(self, artist: Artist, sampler: Sampler, tokenizer: Any, prompt: str) -> None:
        """`prompt` is the text of the benchmark's default prompt template."""
        self.artist, self.sampler, self.tokenizer = artist, sampler, tokenizer
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
            reply = path(self.artist.world, draft, picture.objects, rng)
            text = draft.query if captions else self.ask(draft.query, rng)
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
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def corpus(world: World, sampler: Sampler, prompt: str, seed: int, size: int = 6000) -> Iterator[str]:
    """Text for the tokenizer: prompts and replies of random drafts."""
    rng = Random(f"{seed}-tokenizer")
    template = jinja2.Template(prompt)
    for _ in range(size):
        draft = sampler.draft(rng)
        yield path(world, draft, draft.objects, rng).text
        yield template.render(query=draft.query)
