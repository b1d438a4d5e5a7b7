"""What a local tokenizer's tokens are in bytes, and the likeliest tokens at each place of a reply.

Alternatives are noted while a reply is made, a few numbers a token: keeping every logit of a long reply would
fill the memory.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rsbench.models.base import Request
from rsbench.types import Token

if TYPE_CHECKING:
    import torch


def token_bytes(tokenizer: Any) -> dict[int, bytes]:
    """The bytes of every token that is text; empty if the tokenizer has a form that is not known here.

    Known are the two in use: bytes as printable characters (GPT-2), and "▁" for a space with `<0x0A>` for
    bytes (SentencePiece).
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kinds = set(_kinds(json.loads(backend.to_str())["decoder"])) if backend is not None else set()
    special = set(tokenizer.all_special_ids) | _added(tokenizer)
    vocabulary = {i: word for word, i in tokenizer.get_vocab().items() if i not in special}
    if "ByteLevel" in kinds:
        table = _printable()
        return {
            i: bytes(table[c] for c in word)
            for i, word in vocabulary.items()
            if all(c in table for c in word)
        }
    if kinds & {"ByteFallback", "Metaspace", "Replace"}:
        return {i: _pieces(word) for i, word in vocabulary.items()}
    return {}


def _added(tokenizer: Any) -> set[int]:
    return {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def _pieces(word: str) -> bytes:
    byte = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", word)
    return bytes([int(byte[1], 16)]) if byte else word.replace("▁", " ").encode()


def _kinds(decoder: Any) -> Iterator[str]:
    """The types of a decoder and of those it is made of."""
    if isinstance(decoder, dict):
        yield str(decoder.get("type"))
        for inner in decoder.get("decoders", []):
            yield from _kinds(inner)


def _printable() -> dict[str, int]:
    """The printable character of each byte, as GPT-2's tokenizer writes it, back to the byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(byte): byte for byte in plain}
    others = [byte for byte in range(256) if byte not in plain]
    return table | {chr(256 + n): byte for n, byte in enumerate(others)}


class TopTokens:
    """Logits processor that changes nothing: it notes the likeliest tokens of the rows that ask for them."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._wanted = [request.top_tokens for request in requests]
        self._seen: list[list[list[tuple[int, float]]]] = [[] for _ in requests]

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """`scores` (batch, vocabulary), returned as they are."""
        for row, wanted in enumerate(self._wanted):
            if wanted:
                logp, ids = scores[row].float().log_softmax(-1).topk(wanted)
                self._seen[row].append(list(zip(ids.tolist(), logp.tolist(), strict=True)))
        return scores

    def tokens(self, row: int, ids: Sequence[int], text: str, tokenizer: Any, known: dict[int, bytes]) -> Any:
        """The tokens of a reply; none if they do not add up to its text."""
        if not self._wanted[row]:
            return ()

        def words(token: int) -> str:
            if token in known:
                return known[token].decode("utf-8", "surrogateescape")
            return str(tokenizer.decode([token], skip_special_tokens=True))

        found = [
            Token(words(token), tuple((words(other), logp) for other, logp in top if logp > float("-inf")))
            for token, top in zip(ids, self._seen[row], strict=False)
        ]
        joined = "".join(token.text for token in found)
        if found and joined != text and joined.startswith(" ") and joined[1:] == text:
            # SentencePiece's first space is none; its alternatives have one too.
            first = tuple((other.removeprefix(" "), logp) for other, logp in found[0].top)
            found[0] = Token(found[0].text[1:], first)
        return tuple(found)
