"""Attention of branches to the trunk they share and to their own tokens, without a copy of the trunk a row.

A new token's attention reads all keys and values before it, and on a CPU that reading is what it costs. Rows
that hold the trunk each read it as often as there are branches; here one matrix product does for all of them.
Imports transformers at the top, because it is itself imported on use.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from rsbench.types import UserError

KeysValues = tuple[torch.Tensor, torch.Tensor]


def can_share(model: Any) -> bool:
    """Whether `attend` is what the model's own attention computes.

    Not in half precision, where `attend` would round its scores and sdpa does not; not where some layers see
    a window of what precedes; not in models that bring attention code of their own.
    """
    text = model.config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    windowed = set(kinds) != {"full_attention"} if kinds else getattr(text, "sliding_window", None)
    own = not model._supports_attention_backend
    return bool(
        text._attn_implementation == "sdpa" and model.dtype == torch.float32 and not (windowed or own)
    )


@contextmanager
def shared(model: Any, layers: Sequence[KeysValues]) -> Iterator[None]:
    """Within this, the model attends to `layers` (keys, values: (1, heads, length, width)) in every row.

    The cache then holds the rows' own tokens alone, and the attention mask, (rows, 1, 1, length) and added,
    says what of the trunk each row sees.
    """

    def found(module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **more: Any) -> Any:
        if more.get("position_bias") is not None:
            raise UserError(
                f"{type(model).__name__} adds a bias to its attention; explore it behind a server"
            )
        return attend(query, (key, value), layers[module.layer_idx], mask, scaling), None

    text, name = model.config.get_text_config(), f"rsbench-trunk-{id(layers)}"
    before = text._attn_implementation
    ALL_ATTENTION_FUNCTIONS[name] = found
    text._attn_implementation = name
    try:
        yield
    finally:
        text._attn_implementation = before
        del ALL_ATTENTION_FUNCTIONS[name]


def attend(
    query: torch.Tensor, own: KeysValues, trunk: KeysValues, mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """One new token a row: `query` (rows, heads, 1, width) → (rows, 1, heads, width).

    `own`: (rows, kv heads, filled, width), all of it seen; `trunk`: (1, kv heads, length, width), seen by
    each row as `mask` (rows, 1, 1, length) says. One softmax runs over both.
    """
    rows, heads, _, width = query.shape
    few = own[0].shape[1]
    asked = (query * scaling).view(rows, few, heads // few, width)
    all_rows = asked.transpose(0, 1).reshape(few, -1, width)  # (kv heads, rows · group, width)
    to_trunk = torch.matmul(all_rows, trunk[0][0].transpose(1, 2)).view(few, rows, heads // few, -1)
    to_own = torch.matmul(asked, own[0].transpose(2, 3))  # (rows, kv heads, group, filled)
    weights = torch.cat([to_trunk.transpose(0, 1) + mask, to_own], -1).softmax(-1)
    length = trunk[0].shape[2]
    of_trunk = weights[..., :length].transpose(0, 1).reshape(few, -1, length)
    seen = torch.matmul(of_trunk, trunk[1][0]).view(few, rows, heads // few, width).transpose(0, 1)
    return (seen + torch.matmul(weights[..., length:], own[1])).reshape(rows, 1, heads, width)
