"""Branches from a local checkpoint: image, prompt and path are encoded once, all branches grow in one batch.

Each branch's first tokens see the cached keys and values of its own prefix, gathered into left-padded rows. The
loop is ours rather than `generate`'s, so that finished rows leave the batch at once; and not `generate_batch`,
which drops the image of vision models without a word.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsbench.models.base import GenParams, Message, Request
from rsbench.models.hf_batching import keyed_rng, model_inputs, perturbed, stop_ids
from rsbench.models.hf_loading import Loaded
from rsbench.plan import Sample
from rsbench.types import UserError
from srpo_train.brancher import FIRST_TOKENS, Ask, Sampled, Trunk
from srpo_train.paths import token_path

if TYPE_CHECKING:
    import torch


@dataclass
class Prefilled:
    """Keys and values of prompt + `path_ids[:-1]`; kept between the rounds of one item."""

    path_ids: tuple[int, ...]
    layers: list[tuple["torch.Tensor", "torch.Tensor"]]  # keys, values (1, heads, length, width)
    shift: int  # position of a token less its index: not 0 where an image has fewer positions than tokens


@dataclass
class HFInputs:
    """The processor's tensors for one prompt, and what was computed from them last."""

    tensors: dict[str, Any]
    prefilled: Prefilled | None = None


@dataclass
class _Row:
    """A branch that grows."""

    place: int
    rng: Any
    limit: int
    ids: list[int] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)


class HFBrancher:
    """A checkpoint in this process. Opened on first use; one item at a time."""

    def __init__(
        self, name: str, identity: dict[str, str], load: Callable[[], Loaded], batch_size: int = 64
    ) -> None:
        self.name = name
        self.batch_size = batch_size  # rows that grow together; halves for good when memory has run out
        self._identity = identity
        self._load = load
        self._loaded: Loaded | None = None
        self._lock = asyncio.Lock()

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
        async with self._lock:
            return await asyncio.to_thread(self._open, sample)

    def _open(self, sample: Sample) -> Trunk:
        if sample.item.reference is None:
            raise UserError(f"item {sample.item.id!r} has no reference path to branch from")
        path = token_path(sample.item.reference, self.loaded.tokenizer, f"item {sample.item.id!r}")
        request = sample.request(GenParams())
        tensors = dict(model_inputs(self.loaded, [request]).to(self.loaded.model.device))
        tensors.pop("attention_mask")
        return Trunk(tuple(tensors["input_ids"][0].tolist()), path, HFInputs(tensors))

    async def sample(self, trunk: Trunk, asks: Sequence[Ask], params: GenParams) -> list[Sampled]:
        """All branches of the asks, from one prefill for each path that they share."""
        async with self._lock:
            return await asyncio.to_thread(self.branches, trunk, asks, params)

    def branches(
        self, trunk: Trunk, asks: Sequence[Ask], params: GenParams, cached: bool = True
    ) -> list[Sampled]:
        """As `sample`; `cached` off encodes image, prompt and prefix anew for every branch (for comparison)."""
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
            return self._grow(trunk, path_ids, asks, places, params, cached)
        except torch.OutOfMemoryError:
            if len(places) == 1:
                raise
        torch.cuda.empty_cache()  # out of the handler, whose traceback holds the tensors
        half = self.batch_size = len(places) // 2
        first = self._chunk(trunk, path_ids, asks, places[:half], params, cached)
        return first | self._chunk(trunk, path_ids, asks, places[half:], params, cached)

    def _grow(
        self,
        trunk: Trunk,
        path_ids: tuple[int, ...],
        asks: Sequence[Ask],
        places: Sequence[int],
        params: GenParams,
        cached: bool,
    ) -> dict[int, Sampled]:
        import torch

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
        begin = _gathered if cached else _encoded
        cache, mask, last, shift = begin(model, trunk, path_ids, [asks[n].prefix_ids for n in places])
        stops = stop_ids(model, self.loaded.tokenizer)
        position = torch.tensor(lengths, device=model.device) - 1 + shift
        live, finished = rows, {}
        while live:
            logits = _step(model, cache, mask, last, position, _turns(trunk))
            chosen = _choose(logits, live, params)
            kept = [n for n, row in enumerate(live) if row.ids[-1] not in stops and len(row.ids) < row.limit]
            if len(kept) < len(live):
                gone = set(range(len(live))) - set(kept)
                finished |= {live[n].place: self._sampled(live[n], asks[live[n].place], stops) for n in gone}
                live = [live[n] for n in kept]
                if not live:
                    break
                at = torch.tensor(kept, device=model.device)
                cache.batch_select_indices(at)
                chosen, mask, position = chosen[at], mask[at], position[at]
            last, position = chosen[:, None], position + 1
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
        return finished

    def _sampled(self, row: _Row, ask: Ask, stops: set[int]) -> Sampled:
        ended = row.ids[-1] in stops
        said = row.ids[:-1] if ended else row.ids
        tokenizer = self.loaded.tokenizer
        # Some tokenizers drop a leading space: decode the branch behind its prefix.
        before, whole = (
            tokenizer.decode(ids, skip_special_tokens=True)
            for ids in (ask.prefix_ids, [*ask.prefix_ids, *said])
        )
        text = (
            whole[len(before) :]
            if whole.startswith(before)
            else tokenizer.decode(said, skip_special_tokens=True)
        )
        status = ("ok" if text.strip() else "empty") if ended else "truncated"
        return Sampled(status, tuple(row.ids), text, len(row.ids), sum(row.nats) / len(row.nats))  # type: ignore[arg-type]

    async def close(self) -> None:
        """Drop the weights."""
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


def _step(model: Any, cache: Any, mask: Any, last: Any, position: Any, turns: bool) -> "torch.Tensor":
    """Feed one token a row, `last` (rows, 1); returns the next token's logits (rows, vocabulary)."""
    place = position[:, None]
    if turns:
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
        entropy = torch.distributions.Categorical(
            logits=logits.float() / (params.temperature or 1.0)
        ).entropy()
        for row, nats in zip(rows, entropy.tolist(), strict=True):
            row.nats.append(nats)
    return chosen


def _gathered(
    model: Any, trunk: Trunk, path_ids: tuple[int, ...], prefixes: Sequence[tuple[int, ...]]
) -> tuple[Any, Any, Any, int]:
    """Cache, mask (rows, width), last tokens (rows, 1) and position shift, out of one prefill of the path."""
    import torch

    from srpo_train.kv import roomy_cache

    inputs: HFInputs = trunk.inputs
    if inputs.prefilled is None or inputs.prefilled.path_ids != path_ids:
        inputs.prefilled = _prefill(model, trunk, path_ids)
    whole = trunk.prompt_ids + path_ids
    lengths = [len(trunk.prompt_ids) + len(prefix) for prefix in prefixes]
    width, device = max(lengths), model.device
    pads = width - torch.tensor(lengths, device=device)[:, None]  # (rows, 1)
    places = torch.arange(width, device=device)[None]
    # The last token of each prefix is not in its row: fed again, it gives the logits of the first new one.
    source = (places[:, :-1] - pads).clamp(min=0)  # (rows, width - 1)
    cache = roomy_cache()
    for number, (keys, values) in enumerate(inputs.prefilled.layers):
        rows = [t[0][:, source].transpose(0, 1).contiguous() for t in (keys, values)]
        cache.update(rows[0], rows[1], number)
    last = torch.tensor([[whole[length - 1]] for length in lengths], device=device)
    return cache, (places >= pads).long(), last, inputs.prefilled.shift


def _prefill(model: Any, trunk: Trunk, path_ids: tuple[int, ...]) -> Prefilled:
    """Encode image, prompt and path once."""
    import torch

    from srpo_train.kv import roomy_cache

    ids = torch.tensor([(trunk.prompt_ids + path_ids)[:-1]], device=model.device)
    cache = roomy_cache()
    model(**_widened(trunk, ids, [0]), past_key_values=cache, use_cache=True, logits_to_keep=1)
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    if any(keys is None or keys.shape[2] != ids.shape[1] for keys, _ in layers):
        raise UserError(f"{type(model).__name__} keeps no key and value a token; explore it behind a server")
    return Prefilled(path_ids, layers, int(_shift(model, trunk)))


def _encoded(
    model: Any, trunk: Trunk, path_ids: tuple[int, ...], prefixes: Sequence[tuple[int, ...]]
) -> tuple[Any, Any, Any, Any]:
    """As `_gathered`, with image, prompt and prefix encoded for every row."""
    import torch

    from srpo_train.kv import roomy_cache

    rows = [trunk.prompt_ids + prefix for prefix in prefixes]
    width, device = max(map(len, rows)), model.device
    starts = [width - len(row) for row in rows]
    filled = [[row[-1]] * start + list(row) for row, start in zip(rows, starts, strict=True)]
    ids = torch.tensor(filled, device=device)
    mask = (torch.arange(width, device=device)[None] >= torch.tensor(starts, device=device)[:, None]).long()
    cache = roomy_cache()
    own = _widened(trunk, ids[:, :-1], starts)
    if not _turns(trunk):
        own["position_ids"] = (mask[:, :-1].cumsum(1) - 1).clamp(min=0)
    model(**own, attention_mask=mask[:, :-1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache, mask, ids[:, -1:], _shift(model, trunk)


def _widened(trunk: Trunk, ids: "torch.Tensor", starts: Sequence[int]) -> dict[str, Any]:
    """The prompt's tensors for `ids` (rows, width): images once a row, token types where the prompt starts."""
    import torch

    tensors: dict[str, Any] = {}
    prompt = trunk.inputs.tensors["input_ids"].shape
    for name, tensor in trunk.inputs.tensors.items():
        if tensor.shape != prompt:
            tensors[name] = torch.cat([tensor] * len(ids))
            continue
        tensors[name] = tensor.new_zeros(ids.shape)
        for row, start in zip(tensors[name], starts, strict=True):
            types = tensor[0, : ids.shape[1] - start]
            row[start : start + len(types)] = types
    return tensors | {"input_ids": ids}


def _turns(trunk: Trunk) -> bool:
    """Whether the prompt has images to which the model gives positions of their own (Qwen-VL's kind)."""
    return "image_grid_thw" in trunk.inputs.tensors


def _shift(model: Any, trunk: Trunk) -> Any:
    """How far the positions of text behind the images lie from its token indexes; (rows,) or 0."""
    if not _turns(trunk):
        return 0
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.model.rope_deltas.flatten().clone()
