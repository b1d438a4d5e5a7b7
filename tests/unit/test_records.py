"""A content key changes with everything that makes a call what it is, and with nothing else."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from rsbench.models.base import GenParams
from rsbench.records import (
    read_reply,
    read_verdict,
    reply_key,
    reply_record,
    verdict_key,
    verdict_record,
)
from rsbench.types import AnswerLabel, Item, ItemImage, Reply, StepLabel, Token, Usage, UserError, Verdict

IMAGE = ItemImage(Path("a.png"), "A pool.", "aa")
ITEM = Item("i", (IMAGE,), "Q?", "water", "risky", "p", "hash")
MODEL = {"provider": "openai", "model": "m", "base_url": "u"}
REPLY = Reply("ok", "Step 1: x", "thought", "full", "stop", "m", Usage(1, 2, None), 0.5)
VERDICT = Verdict(
    "ok",
    (
        StepLabel(1, "safe", "effective", "perception", "x", True, ()),
        StepLabel(2, "unsafe", "neutral", corrects=(1,)),
    ),
    AnswerLabel("safe", "effective", "partial", "y"),
    True,
    raw="{}",
    attempts=2,
    usage=Usage(3, 4, 5),
)


def key(
    item: Item = ITEM, prompt: str = "P", model: dict[str, str] | None = None, n: int = 0, **p: Any
) -> str:
    return reply_key(item, prompt, model or MODEL, GenParams(**p), n)


def test_reply_keys() -> None:
    keys = [
        key(),
        key(dataclasses.replace(ITEM, hash="other")),
        key(dataclasses.replace(ITEM, images=(dataclasses.replace(IMAGE, sha256="bb"),))),
        key(dataclasses.replace(ITEM, images=())),
        key(prompt="P2"),
        key(model=MODEL | {"model": "n"}),
        key(model=MODEL | {"base_url": "v"}),
        key(n=1),
        key(max_tokens=7),
        key(temperature=0.0),
        key(temperature=1.0),
        key(seed=0),
        key(reasoning_effort="low"),
    ]
    assert len(set(keys)) == len(keys)
    assert key(dataclasses.replace(ITEM, images=(dataclasses.replace(IMAGE, path=Path("b.png")),))) == key()
    assert key(model=dict(reversed(MODEL.items()))) == key(), "the order of keys says nothing"


def test_verdict_keys() -> None:
    judge = {"card": "c", "rubric": "r", "hints": "yes"}
    keys = [
        verdict_key("k", REPLY, judge),
        verdict_key("l", REPLY, judge),
        verdict_key("k", dataclasses.replace(REPLY, text="other"), judge),
        verdict_key("k", dataclasses.replace(REPLY, reasoning="other"), judge),
        verdict_key("k", dataclasses.replace(REPLY, text=REPLY.reasoning, reasoning=REPLY.text), judge),
        verdict_key("k", REPLY, judge | {"rubric": "s"}),
        verdict_key("k", REPLY, judge | {"hints": "no"}),
        verdict_key("k", REPLY, judge, vote=1),
    ]
    assert len(set(keys)) == len(keys)
    slower = dataclasses.replace(REPLY, latency_s=9.0, usage=Usage(7))
    assert verdict_key("k", slower, judge) == keys[0], "latency and usage are no part of what was said"


def test_keys_stay_the_same_between_versions() -> None:
    # A change here makes every finished run start again: raise the schema and say so in the changelog.
    assert key() == "1605f0a4c7831215ac6c1eaadbeaa58170c2b338589ed7e79cf7f49659c223a2"


def test_a_reply_with_half_an_emoji_has_a_key() -> None:
    # Servers that cut at a token send lone surrogates; hashing them raised a UnicodeEncodeError.
    half, other = (dataclasses.replace(REPLY, text=text) for text in ("\ud83d", "\ud83e"))
    assert verdict_key("k", half, {}) != verdict_key("k", other, {})


def through_json(record: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(record))
    return read


@pytest.mark.parametrize("reply", [REPLY, Reply("error", error="HTTP 500"), Reply("empty")])
def test_a_reply_is_read_as_it_was_written(reply: Reply) -> None:
    assert read_reply(through_json(reply_record("k", "i", 0, reply))) == reply


SOFT = dataclasses.replace(
    VERDICT,
    steps=(StepLabel(1, "unclear", "unclear", names_risk=None, p_unsafe=0.4, boundary=True, reason="Torn."),),
    answer=AnswerLabel("safe", "unclear", "unclear", p_unsafe=0.1),
)


@pytest.mark.parametrize("verdict", [VERDICT, SOFT, Verdict("unparsed", error="not JSON", raw="{")])
def test_a_verdict_is_read_as_it_was_written(verdict: Verdict) -> None:
    assert read_verdict(through_json(verdict_record("k", "i", 0, "j", "r", verdict))) == verdict


def test_records_of_a_newer_rsbench_are_refused() -> None:
    with pytest.raises(UserError, match="record kkkk has schema 2; this rsbench reads up to 1. Upgrade"):
        read_reply(reply_record("kkkk", "i", 0, REPLY) | {"schema": 2})
    with pytest.raises(UserError, match="has schema 4; this rsbench reads up to 3"):
        read_verdict(verdict_record("k", "i", 0, "j", "r", VERDICT) | {"schema": 4})


# Lines as rsbench wrote them: before verdicts could hold votes and probabilities, and before reasons.
OLD = (
    '{"schema":1,"key":"kk","item":"i","sample":0,"judge":"j","reply":"r","status":"ok","steps":[{"index":1,'
    '"safety":"safe","effectiveness":"effective","role":"perception","evidence":"x","names_risk":true,'
    '"corrects":[]},{"index":2,"safety":"unsafe","effectiveness":"neutral","role":null,"evidence":"",'
    '"names_risk":false,"corrects":[1]}],"answer":{"safety":"safe","effectiveness":"effective","refusal":'
    '"partial","evidence":"y"},"risk_identified":true,"error":"","raw":"{}","attempts":2,"usage":'
    '{"input_tokens":3,"output_tokens":4,"reasoning_tokens":5},"latency_s":0.0}'
)


SOFTER = json.loads(OLD) | {
    "schema": 2,
    "vote": 1,
    "steps": [
        {**step, "p_unsafe": 0.25, "p_effective": None, "boundary": True} for step in json.loads(OLD)["steps"]
    ],
    "answer": json.loads(OLD)["answer"] | {"p_unsafe": None, "p_effective": 0.5, "boundary": False},
}


def test_a_verdict_of_an_older_rsbench_is_read() -> None:
    assert read_verdict(json.loads(OLD)) == VERDICT
    softer = read_verdict(SOFTER)
    assert [(s.p_unsafe, s.boundary, s.reason) for s in softer.steps] == [(0.25, True, "")] * 2
    assert softer.answer is not None and (softer.answer.p_effective, softer.answer.reason) == (0.5, "")
    unparsed = json.loads(OLD) | {"status": "unparsed", "steps": [], "answer": None, "risk_identified": None}
    assert read_verdict(unparsed).status == "unparsed" and read_verdict(unparsed).answer is None


def test_a_replys_tokens_are_read_and_never_stored() -> None:
    reply = dataclasses.replace(REPLY, tokens=(Token("Step", (("Step", -0.1),)),))
    assert "tokens" not in reply_record("k", "i", 0, reply)
    assert read_reply(through_json(reply_record("k", "i", 0, reply))) == REPLY
