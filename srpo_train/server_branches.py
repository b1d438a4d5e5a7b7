"""Branches from a server such as vLLM's: the prefix is a last assistant message that the server continues.

A server that tokenises the prompt another way, or closes the message, gives branches of another prefix than
the one we train on, and nothing in its text shows it. So a branch counts only if the server returns the
prompt's token ids and they are ours; without them it is `unverified`, and dropped.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from rsbench.limits import Limiter, RetryPolicy, with_retry
from rsbench.models.base import GenParams, Message, ProviderError, Request
from rsbench.models.hf_batching import model_inputs
from rsbench.models.hf_loading import Loaded
from rsbench.models.openai import OpenAIModel
from rsbench.plan import Sample
from rsbench.types import UserError
from srpo_train.brancher import FIRST_TOKENS, Ask, Sampled, Trunk
from srpo_train.branches import Branch, BranchStatus
from srpo_train.paths import StepCut, branch_steps, branch_text, token_path


class ServerBrancher:
    """A model behind an OpenAI-shaped server that continues messages and returns token ids.

    Args:
        model: The server, and the model's name there.
        load: Opens the same checkpoint's processor here, to tokenise; its weights are not needed.
        limiter: Calls in flight.
        policy: When to ask again.
    """

    def __init__(
        self, model: OpenAIModel, load: Callable[[], Loaded], limiter: Limiter, policy: RetryPolicy
    ) -> None:
        self.name = model.name
        self._model = model
        self._load = load
        self._loaded: Loaded | None = None
        self._limiter = limiter
        self._policy = policy

    def identity(self) -> dict[str, str]:
        """As the model under test is identified."""
        return self._model.identity()

    async def open(self, sample: Sample) -> Trunk:
        """Tokenise prompt and path as the checkpoint's own processor does."""
        if self._loaded is None:
            self._loaded = self._load()
            if self._loaded.tokenizer.pad_token is None:  # asked for, though one prompt needs no padding
                self._loaded.tokenizer.pad_token = self._loaded.tokenizer.eos_token
        return await asyncio.to_thread(self._open, sample, self._loaded)

    def _open(self, sample: Sample, loaded: Loaded) -> Trunk:
        if sample.item.reference is None:
            raise UserError(f"item {sample.item.id!r} has no reference path to branch from")
        path = token_path(sample.item.reference, loaded.tokenizer, f"item {sample.item.id!r}")
        request = sample.request(GenParams())
        ids = model_inputs(loaded, [request])["input_ids"][0].tolist()
        return Trunk(tuple(ids), path, request)

    async def sample(self, trunk: Trunk, asks: Sequence[Ask], params: GenParams) -> list[Sampled]:
        """One call a prefix, with n for its branches; a call that fails for good makes them `error`.

        Raises:
            UserError: no call can succeed.
        """
        order = sorted(range(len(asks)), key=lambda n: asks[n].prefix_ids)
        calls = [list(places) for _, places in groupby(order, key=lambda n: asks[n].prefix_ids)]
        said = await asyncio.gather(*(self._call(trunk, [asks[n] for n in call], params) for call in calls))
        done = {
            n: one for call, many in zip(calls, said, strict=True) for n, one in zip(call, many, strict=True)
        }
        return [done[n] for n in range(len(asks))]

    async def _call(self, trunk: Trunk, asks: Sequence[Ask], params: GenParams) -> list[Sampled]:
        body = self.body(trunk.inputs, asks, params)
        try:
            raw, _ = await with_retry(
                lambda: self._model.complete(body), self._limiter, self._policy, key=asks[0].key
            )
        except ProviderError as error:
            if error.kind == "fatal":
                raise UserError(str(error)) from error
            return [Sampled("error", error=str(error))] * len(asks)
        assert self._loaded is not None, "open() comes first"
        return read_branches(raw, trunk, asks, self._loaded)

    def body(self, request: Request, asks: Sequence[Ask], params: GenParams) -> dict[str, Any]:
        """The call that continues one prefix `len(asks)` times."""
        prefix = asks[0].prefix_text
        messages = request.messages + ((Message("assistant", prefix),) if prefix else ())
        body = self._model.body(Request(messages, params, asks[0].key))
        return body | {
            "n": len(asks),
            "seed": int(asks[0].key[:7], 16),
            "add_generation_prompt": not prefix,
            "continue_final_message": bool(prefix),
            "return_token_ids": True,
            "logprobs": True,
            "skip_special_tokens": False,
        }

    def steps(self, branch: Branch) -> list[StepCut]:
        """Where the steps of a branch end among its tokens."""
        assert self._loaded is not None, "open() comes first"
        return branch_steps(self._loaded.tokenizer, branch.prefix_ids, branch.branch_ids, branch.text)

    async def close(self) -> None:
        """Close the connections."""
        await self._model.close()


def read_branches(raw: str, trunk: Trunk, asks: Sequence[Ask], loaded: Loaded) -> list[Sampled]:
    """The branches of one answer; `unverified` or `error` where it can't be used, never guessed."""
    try:
        body = json.loads(raw)
        choices = sorted(body["choices"], key=lambda choice: int(choice.get("index", 0)))
        prompt = body.get("prompt_token_ids") or choices[0].get("prompt_token_ids")
        if len(choices) != len(asks):
            return [Sampled("error", error=f"asked for {len(asks)} branches, got {len(choices)}")] * len(asks)
        if problem := prompt_problem(trunk.prompt_ids + asks[0].prefix_ids, prompt, image_tokens(loaded)):
            # What they cost is counted, as far as it is known.
            spent = [len(choice.get("token_ids") or ()) for choice in choices]
            return [Sampled("unverified", n_generated=n, error=problem) for n in spent]
        return [_branch(choice, ask, loaded) for choice, ask in zip(choices, asks, strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return [Sampled("error", error=f"the server's answer can't be read: {error!r}")] * len(asks)


def prompt_problem(ours: Sequence[int], theirs: object, images: frozenset[int]) -> str:
    """Why a server's prompt is not ours; empty if it is.

    Some servers return the prompt before an image's placeholder is repeated for each of its places; that is
    the same prompt.
    """
    if not isinstance(theirs, list) or not theirs:
        return "the server returns no prompt token ids (vLLM does, from 0.10.2 on)"
    if theirs == list(ours):
        return ""
    once = [token for n, token in enumerate(ours) if token not in images or n == 0 or ours[n - 1] != token]
    if theirs == once:
        return ""
    first = next(
        (n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    return f"the server's prompt differs from ours at token {first} ({len(theirs)} tokens, ours {len(ours)})"


def image_tokens(loaded: Loaded) -> frozenset[int]:
    """Ids of image placeholders."""
    token = getattr(loaded.processor, "image_token", None)
    found = loaded.tokenizer.convert_tokens_to_ids(str(token)) if token is not None else None
    return frozenset() if found is None else frozenset({int(found)})


def _branch(choice: dict[str, Any], ask: Ask, loaded: Loaded) -> Sampled:
    given = choice.get("token_ids")
    if not isinstance(given, list) or not all(isinstance(token, int) for token in given):
        return Sampled("unverified", error="the server returns no token ids of its branches")
    tokenizer, ids = loaded.tokenizer, list(given)
    finish = choice.get("finish_reason")
    if finish == "stop" and (not ids or ids[-1] not in tokenizer.all_special_ids):
        ids.append(tokenizer.eos_token_id)  # left out by servers that cut the stop token off
    said = ids[:-1] if finish == "stop" else ids
    text = branch_text(tokenizer, ask.prefix_ids, said)
    status: BranchStatus = "truncated"
    if finish == "stop":
        status = "ok" if text.strip() else "empty"
    elif finish == "content_filter":
        status = "refused"
    logprobs = (choice.get("logprobs") or {}).get("content") or []
    first = [-float(one["logprob"]) for one in logprobs[:FIRST_TOKENS]]
    return Sampled(status, tuple(ids), text, len(given), sum(first) / len(first) if first else None)
