"""Where branches begin: the keys and values of their prefixes, out of one prefill or encoded anew.

A prefix's keys and values are the first of those of the whole path, for a token's depend on what stands
before it alone. So all rows look at one copy, each as far as its prefix goes; models whose attention can't
do that (`trunk_attention.can_share`) get left-padded rows with copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsbench.types import UserError
from srpo_train.brancher import Trunk

if TYPE_CHECKING:
    import torch

    from srpo_train.trunk_attention import KeysValues


@dataclass(frozen=True)
class Start:
    """Rows of prefixes about to be continued; width is the longest prompt and prefix.

    The last token of each is not in the cache: fed again, it gives the logits of the first new one.
    """

    cache: Any
    mask: "torch.Tensor"  # (rows, width); with a shared trunk (rows, 1, 1, length of the trunk), added
    last: "torch.Tensor"  # (rows, 1)
    shift: "torch.Tensor | int"  # (rows,): how far text positions lie from token indexes
    trunk: "list[KeysValues] | None" = None  # by layer, where no row has a copy of it in the cache


@dataclass
class Prefilled:
    """Keys and values of prompt + `path_ids[:-1]`; kept between the rounds of one item."""

    path_ids: tuple[int, ...]
    layers: "list[KeysValues]"  # keys, values (1, heads, length, width)
    shift: int  # position of a token less its index: not 0 where an image has fewer positions than tokens


@dataclass
class HFInputs:
    """The processor's tensors for one prompt, and what was computed from them last."""

    tensors: dict[str, Any]
    prefilled: Prefilled | None = None


def gathered(
    model: Any, trunk: Trunk, path_ids: tuple[int, ...], prefixes: Sequence[tuple[int, ...]]
) -> Start:
    """Rows for the prefixes of one path, out of one prefill of it that is kept with the trunk."""
    import torch

    from srpo_train.kv import roomy_cache
    from srpo_train.trunk_attention import can_share

    inputs: HFInputs = trunk.inputs
    if inputs.prefilled is None or inputs.prefilled.path_ids != path_ids:
        inputs.prefilled = _prefill(model, trunk, path_ids)
    cache, layers, shift = roomy_cache(), inputs.prefilled.layers, inputs.prefilled.shift
    whole = trunk.prompt_ids + path_ids
    lengths = torch.tensor(
        [[len(trunk.prompt_ids) + len(prefix)] for prefix in prefixes], device=model.device
    )
    last = torch.tensor(whole, device=model.device)[lengths - 1]  # (rows, 1)
    if can_share(model):
        hidden = torch.arange(len(whole) - 1, device=model.device) >= lengths - 1
        mask = torch.zeros(hidden.shape, device=model.device).masked_fill_(hidden, float("-inf"))
        return Start(cache, mask[:, None, None], last, shift, layers)
    width = int(lengths.max())
    places = torch.arange(width, device=model.device)[None]
    source = (places[:, :-1] - (width - lengths)).clamp(min=0)  # (rows, width - 1)
    for number, (keys, values) in enumerate(layers):
        rows = [t[0][:, source].transpose(0, 1).contiguous() for t in (keys, values)]
        cache.update(rows[0], rows[1], number)
    return Start(cache, (places >= width - lengths).long(), last, shift)


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


def encoded(model: Any, trunk: Trunk, prefixes: Sequence[tuple[int, ...]]) -> Start:
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
    if not turns(trunk):
        own["position_ids"] = (mask[:, :-1].cumsum(1) - 1).clamp(min=0)
    model(**own, attention_mask=mask[:, :-1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Start(cache, mask, ids[:, -1:], _shift(model, trunk))


def _widened(trunk: Trunk, ids: "torch.Tensor", starts: Sequence[int]) -> dict[str, Any]:
    """The prompt's tensors for `ids` (rows, width): images once a row, token types where its prompt is."""
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


def turns(trunk: Trunk) -> bool:
    """Whether the prompt has images to which the model gives positions of their own (Qwen-VL's kind)."""
    return "image_grid_thw" in trunk.inputs.tensors


def _shift(model: Any, trunk: Trunk) -> Any:
    """How far the positions of text behind the images lie from its token indexes; (rows,) or 0."""
    if not turns(trunk):
        return 0
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.model.rope_deltas.flatten().clone()
