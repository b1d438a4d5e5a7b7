"""Local models behind judges: odds of tokens, and decoding that keeps to a schema, on the embedded model."""

import json
import math
from typing import Any, Literal

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from rsbench.cards import Strict  # noqa: E402 - after importorskip
from rsbench.judges.parse import VerdictOut, json_schema  # noqa: E402
from rsbench.models.base import GenParams, Message, ProviderError, Request  # noqa: E402
from rsbench.models.hf_batching import Worker  # noqa: E402
from rsbench.models.hf_constraint import Constraint, Schemas  # noqa: E402
from rsbench.models.hf_loading import TINY, Checkpoint, Loaded  # noqa: E402
from rsbench.models.hf_tokens import token_bytes  # noqa: E402
from rsbench.types import Reply, UserError  # noqa: E402


class Small(Strict):
    role: Literal["perception", "strategy"]
    safety: Literal["safe", "unsafe"]
    names_risk: bool


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return Checkpoint(str(TINY)).load("cpu")


def answer(loaded: Loaded, *requests: Request) -> list[Reply]:
    replies = Worker(lambda: loaded, "tiny", 8).answer(requests)
    assert not any(isinstance(reply, ProviderError) for reply in replies), replies
    return [reply for reply in replies if isinstance(reply, Reply)]


def request(n: int = 0, **more: Any) -> Request:
    fields = {"max_tokens": 60, "temperature": more.pop("temperature", None)}
    return Request((Message("user", "Cheer me on!"),), GenParams(**fields), f"{n:064x}", **more)


def test_the_tokens_of_a_reply_add_up_to_it_and_hold_what_was_said(loaded: Loaded) -> None:
    plain, noted = answer(loaded, request(), request(top_tokens=4))
    assert plain.tokens == () and plain.text == noted.text, "looking changes nothing"
    assert "".join(token.text for token in noted.tokens) == noted.text
    for token in noted.tokens:
        assert len(token.top) == 4 and sum(math.exp(p) for _, p in token.top) <= 1.0001
        assert token.top[0][0] == token.text, "the likeliest is what greedy decoding says"


def test_every_byte_of_the_vocabulary_is_known(loaded: Loaded) -> None:
    known = token_bytes(loaded.tokenizer)
    text = 'Größe {"a": "🔥"}\n'
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert b"".join(known[i] for i in ids).decode() in (text, " " + text)


def test_a_local_model_is_held_to_a_schema_beside_one_that_is_not(loaded: Loaded) -> None:
    schema = json_schema(Small)
    free, held = answer(loaded, request(), request(1, schema=schema, schema_required=True))
    found = Small.model_validate_json(held.text)
    assert held.status == "ok" and found.safety in ("safe", "unsafe")
    assert not free.text.startswith("{"), "its neighbour says what it would have said"
    (offered,) = answer(loaded, request(1, schema=schema))
    assert offered.text == free.text, "a schema that is only offered binds no local model"


def test_odds_under_a_schema_are_among_what_is_allowed(loaded: Loaded) -> None:
    asked = request(2, schema=json_schema(Small), schema_required=True, top_tokens=3)
    (held,) = answer(loaded, asked)
    assert "".join(token.text for token in held.tokens) == held.text
    assert all(math.exp(top[0][1]) > 0 for top in (token.top for token in held.tokens))


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_model_would_say_the_whole_verdict_fits_its_schema(loaded: Loaded, seed: int) -> None:
    # Random logits, but for a push to close strings and lists: the constraint alone makes it a verdict.
    tokenizer = loaded.tokenizer
    stops = {tokenizer.eos_token_id}
    asked = request(schema=json_schema(), schema_required=True)
    constraint = Schemas().constraint([asked], tokenizer, stops)
    assert isinstance(constraint, Constraint)
    rng = torch.Generator().manual_seed(seed)
    closing = torch.tensor([i for i, text in token_bytes(tokenizer).items() if text in (b'"', b"]")])
    ids = torch.tensor([[5]])
    for _ in range(2000):
        logits = torch.randn((1, len(tokenizer)), generator=rng)
        logits[0, closing] += 3
        chosen = constraint(ids, logits).argmax(-1, keepdim=True)
        if int(chosen) in stops:
            break
        ids = torch.cat([ids, chosen], dim=1)
    VerdictOut.model_validate_json(tokenizer.decode(ids[0, 1:]))


def test_a_tokenizer_of_unknown_form_is_refused_clearly(loaded: Loaded) -> None:
    class Unknown:
        backend_tokenizer = None
        all_special_ids: tuple[int, ...] = ()
        added_tokens_decoder: dict[int, Any] = {}

        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    with pytest.raises(UserError, match="not known in bytes"):
        Schemas().constraint([request(schema=json_schema(), schema_required=True)], Unknown(), {1})
    assert json.dumps(json_schema()).index('"evidence"') < json.dumps(json_schema()).index('"safety"')
