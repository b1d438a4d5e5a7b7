"""Branches from a local checkpoint: image, prompt and path are encoded once, all branches grow in a batch.

The loop is ours rather than `generate`'s, so that finished rows leave the batch at once; and it is not
`generate_batch`, which drops the image of vision models without a word.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rsbench.models.base import GenParams
from rsbench.models.hf_batching import keyed_rng, model_inputs, perturbed, stop_ids
from rsbench.models.hf_loading import Loaded
from rsbench.plan import Sample
from rsbench.types import UserError
from srpo_train.brancher import FIRST_TOKENS, Ask, Sampled, Trunk
from srpo_train.branches import Branch, BranchStatus
from srpo_train.paths import StepCut, branch_steps, branch_text, token_path
from srpo_train.prefill import HFInputs, Start, encoded, gathered, turns

if TYPE_CHECKING:
    import torch


@dataclass
class _Row:
    """A branch that grows."""

    place: int
    rng: Any
    limit: int
    ids: list[int] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)


class HFBrancher:
    """A checkpoint in this process, with a thread of its own. Opened on first use; one item at a time."""

    def __init__(
        self, name: str, identity: dict[str, str], load: Callable[[], Loaded], batch_size: int = 64
    ) -> None:
        self.name = name
        self.batch_size = batch_size  # rows that grow together; halves for good when memory has run out
        self._identity = identity
        self._load = load
        self._loaded: Loaded | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="srpo-branches")

    def identity(self) -> dict[str, str]:
        """As the model under test is identified."""
        return dict(self._identity)

    @property
    def loaded(self) -> Loaded:
        """The open checkpoint."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    async def open(self, sample: Sample) -> Trunk:
        """Encode the prompt by the model's own processor."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open, sample)

    def _open(self, sample: Sample) -> Trunk:
        if sample.item.reference is None:
            raise UserError(f"item {sample.item.id!r} has no reference path to branch from")
        path = token_path(sample.item.reference, self.loaded.tokenizer, f"item {sample.item.id!r}")
        request = sample.request(GenParams())
        model = self.loaded.model
        tensors = {
            name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
            for name, tensor in model_inputs(self.loaded, [request]).items()
            if name != "attention_mask"
        }
        return Trunk(tuple(tensors["input_ids"][0].tolist()), path, HFInputs(tensors))

    async def sample(self, trunk: Trunk, asks: Sequence[Ask], params: GenParams) -> list[Sampled]:
        """All branches of the asks, from one prefill for each path that they share."""
        work = partial(self.branches, trunk, asks, params)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def branches(
        self, trunk: Trunk, asks: Sequence[Ask], params: GenParams, cached: bool = True
    ) -> list[Sampled]:
        """As `sample`; `cached` off encodes image, prompt and prefix for every branch, for comparison."""
        import torch

        done: dict[int, Sampled] = {}
        reference = trunk.path.ids[: trunk.path.cuts[-1]]
        with torch.inference_mode():
            for path_ids, places in _by_path(reference, asks):
                for start in range(0, len(places), self.batch_size):
                    chunk = places[start : start + self.batch_size]
                    done.update(self._chunk(trunk, path_ids, asks, chunk, params, cached))
        return [done[n] for n in range(len(asks))]

    def _chunk(
        self,
        trunk: Trunk,
        path_ids: tuple[int, ...],
        asks: Sequence[Ask],
        places: Sequence[int],
        params: GenParams,
        cached: bool,
    ) -> dict[int, Sampled]:
        """One batch; halved when it does not fit into memory."""
        import torch

        try:
            return self._batch(trunk, path_ids, asks, places, params, cached)
        except torch.OutOfMemoryError:
            if len(places) == 1:
                raise
        torch.cuda.empty_cache()  # out of the handler, whose traceback holds the tensors
        half = self.batch_size = len(places) // 2
        first = self._chunk(trunk, path_ids, asks, places[:half], params, cached)
        return first | self._chunk(trunk, path_ids, asks, places[half:], params, cached)

    def _batch(
        self,
        trunk: Trunk,
        path_ids: tuple[int, ...],
        asks: Sequence[Ask],
        places: Sequence[int],
        params: GenParams,
        cached: bool,
    ) -> dict[int, Sampled]:
        from srpo_train.trunk_attention import shared

        model = self.loaded.model
        window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        lengths = [len(trunk.prompt_ids) + len(asks[n].prefix_ids) for n in places]
        if window and max(lengths) >= window:
            raise UserError(f"a prefix has {max(lengths)} tokens, and the model's window is {window}")
        rows = [
            _Row(
                n, keyed_rng(asks[n].key, model.device), min(params.max_tokens, (window or 1 << 30) - length)
            )
            for n, length in zip(places, lengths, strict=True)
        ]
        prefixes = [asks[n].prefix_ids for n in places]
        start = gathered(model, trunk, path_ids, prefixes) if cached else encoded(model, trunk, prefixes)
        stops = stop_ids(model, self.loaded.tokenizer)
        with shared(model, start.trunk) if start.trunk else nullcontext():
            _grow(model, start, rows, lengths, stops, params, turns(trunk))
        return {row.place: self._sampled(row, asks[row.place], stops) for row in rows}

    def _sampled(self, row: _Row, ask: Ask, stops: set[int]) -> Sampled:
        ended = row.ids[-1] in stops
        said = row.ids[:-1] if ended else row.ids
        text = branch_text(self.loaded.tokenizer, ask.prefix_ids, said)
        status: BranchStatus = "truncated"
        if ended:
            status = "ok" if text.strip() else "empty"
        return Sampled(status, tuple(row.ids), text, len(row.ids), sum(row.nats) / len(row.nats))

    def steps(self, branch: Branch) -> list[StepCut]:
        """Where the steps of a branch end among its tokens."""
        return branch_steps(self.loaded.tokenizer, branch.prefix_ids, branch.branch_ids, branch.text)

    async def close(self) -> None:
        """Drop the weights."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._loaded = None


def _by_path(reference: tuple[int, ...], asks: Sequence[Ask]) -> list[tuple[tuple[int, ...], list[int]]]:
    """Asks under the path that their prefixes begin: the reference, or the longest of the others."""
    paths: list[tuple[tuple[int, ...], list[int]]] = [(reference, [])]
    for n in sorted(range(len(asks)), key=lambda n: -len(asks[n].prefix_ids)):
        prefix = asks[n].prefix_ids
        home = next((places for path, places in paths if path[: len(prefix)] == prefix), None)
        if home is None:
            home = []
            paths.append((prefix, home))
        home.append(n)
    return [(path, sorted(places)) for path, places in paths if places]


def _grow(
    model: Any,
    start: Start,
    rows: Sequence[_Row],
    lengths: Sequence[int],
    stops: set[int],
    params: GenParams,
    threefold: bool,
) -> None:
    """Add tokens to the rows until each has ended; `lengths`: tokens of prompt and prefix of each."""
    import torch

    cache, mask, last = start.cache, start.mask, start.last
    position = torch.tensor(lengths, device=model.device) - 1 + start.shift  # (rows,)
    live = list(rows)
    while live:
        logits = _step(model, cache, mask, last, position, threefold)
        chosen = _choose(logits, live, params)
        kept = [n for n, row in enumerate(live) if row.ids[-1] not in stops and len(row.ids) < row.limit]
        if len(kept) < len(live):
            live = [live[n] for n in kept]
            at = torch.tensor(kept, dtype=torch.long, device=model.device)
            cache.batch_select_indices(at)
            chosen, mask, position = chosen[at], mask[at], position[at]
        last, position = chosen[:, None], position + 1
        if start.trunk is None:
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)


def _step(model: Any, cache: Any, mask: Any, last: Any, position: Any, threefold: bool) -> "torch.Tensor":
    """Feed one token a row, `last` (rows, 1); returns the next token's logits (rows, vocabulary)."""
    place = position[:, None]
    if threefold:
        place = place.expand(3, -1, -1)  # time, height and width are one in text
    done = model(
        input_ids=last, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True
    )
    logits: torch.Tensor = done.logits[:, -1]
    return logits


def _choose(logits: "torch.Tensor", rows: Sequence[_Row], params: GenParams) -> "torch.Tensor":
    """The next token of each row (rows,), noted in it, with the entropy of the first few."""
    import torch

    chosen = torch.stack(
        [perturbed(one, params, row.rng).argmax() for one, row in zip(logits, rows, strict=True)]
    )
    for row, token in zip(rows, chosen.tolist(), strict=True):
        row.ids.append(token)
    if len(rows[0].ids) <= FIRST_TOKENS:
        logp = (logits.float() / (params.temperature or 1.0)).log_softmax(-1)
        entropy = torch.special.entr(logp.exp()).sum(-1)
        for row, nats in zip(rows, entropy.tolist(), strict=True):
            row.nats.append(nats)
    return chosen
