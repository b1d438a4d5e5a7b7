"""Hold a local model to a JSON schema: at each place only tokens that the schema allows keep a probability.

The automaton is that of `outlines-core`. The package is optional, and so is the wish: a request says
`schema_required`.
"""

import importlib.util
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rsbench.models.base import Request
from rsbench.models.hf_tokens import token_bytes
from rsbench.types import UserError

if TYPE_CHECKING:
    import torch


class Schemas:
    """The automata of one checkpoint, by schema; each is built once, which takes seconds."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def constraint(self, requests: Sequence[Request], tokenizer: Any, stops: set[int]) -> "Constraint | None":
        """The constraint of a batch; None if no request asks for one.

        Raises:
            UserError: the package is missing, or the tokenizer's tokens are not known in bytes.
        """
        wanted = [r.schema if r.schema_required else None for r in requests]
        if not any(wanted):
            return None
        indexes = [None if schema is None else self._index(schema, tokenizer, stops) for schema in wanted]
        return Constraint(indexes, stops)

    def _index(self, schema: dict[str, object], tokenizer: Any, stops: set[int]) -> Any:
        check_installed()
        from outlines_core import Index, Vocabulary
        from outlines_core.json_schema import build_regex_from_schema

        key = json.dumps(schema)  # not sorted: a judge writes its evidence before its label
        if key not in self._built:
            words: dict[bytes, list[int]] = {}
            for token, text in token_bytes(tokenizer).items():
                if text and token not in stops:
                    words.setdefault(text, []).append(token)
            if not words or not stops:
                raise UserError(
                    "structured: required: the tokens of this checkpoint's tokenizer are not known in bytes; "
                    "serve it (docs/serve-with-vllm.md) or leave structured: offered"
                )
            self._built[key] = Index(build_regex_from_schema(key), Vocabulary(min(stops), words))
        return self._built[key]


def check_installed() -> None:
    """Say before anything is asked for that the package is missing.

    Raises:
        UserError: it is.
    """
    if importlib.util.find_spec("outlines_core") is None:
        raise UserError(
            "structured: required, and a local model: constrained decoding needs outlines-core: "
            "pip install 'rsbench[constrained]'"
        )


class Constraint:
    """Logits processor: a row with an automaton may only go where the automaton can."""

    def __init__(self, indexes: Sequence[Any], stops: set[int]) -> None:
        self._indexes = indexes
        self._states = [None if index is None else index.get_initial_state() for index in indexes]
        self._stops = stops
        self._started = False

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """`scores` (batch, vocabulary) with the logits of what is not allowed at −inf."""
        import torch

        masked = scores.clone()
        for row, index in enumerate(self._indexes):
            if index is None or self._states[row] is None:
                continue
            if self._started:
                last = int(input_ids[row, -1])
                # After its end a row is padding.
                ended = last in self._stops
                self._states[row] = None if ended else index.get_next_state(self._states[row], last)
                if self._states[row] is None:
                    continue
            allowed = torch.tensor(index.get_allowed_tokens(self._states[row]), device=scores.device)
            blocked = torch.ones(scores.shape[-1], dtype=torch.bool, device=scores.device)
            blocked[allowed] = False
            masked[row] = scores[row].masked_fill(blocked, float("-inf"))
        self._started = True
        return masked
