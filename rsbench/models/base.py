"""What a model is to the engine: it turns a request into a reply, or raises a typed `ProviderError`.

Retry and rate limits are not a provider's business (`rsbench.limits` owns them); a provider makes exactly one
attempt per call and says what kind of failure it met.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from rsbench.images import EncodedImage
from rsbench.types import Item, Reply


@dataclass(frozen=True)
class GenParams:
    """Generation parameters. None means: the provider's own default, nothing is sent."""

    max_tokens: int = 2048
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True)
class Message:
    """One chat turn: its images come before its text."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[EncodedImage, ...] = ()


@dataclass(frozen=True)
class Request:
    """One call. `schema` asks for JSON of that shape where the provider is known to enforce it.

    `schema_required`: ask any server for it, and hold a local model to it token by token. `top_tokens`: how
    many of the likeliest tokens to give at each place of the reply, where the provider can.

    `item` is there for scripted models alone (the mock answers from authored paths); no other provider reads
    it. `record`: key of the record that the reply goes into, where it is not the call's own.
    """

    messages: tuple[Message, ...]
    params: GenParams
    key: str  # content key of the call: seeds and scripts derive from it, never from queue order
    schema: dict[str, object] | None = None
    item: Item | None = None
    schema_required: bool = False
    top_tokens: int = 0
    record: str = ""


FailureKind = Literal["rate_limited", "transient", "bad_request", "fatal"]


class ProviderError(Exception):
    """A call that gave no reply.

    rate_limited: 429, shrinks the limiter, retried. transient: 408/409/5xx, timeouts, resets, retried.
    bad_request: this item can't be sent (400, 413, 422); recorded as `error`, not retried within the run.
    fatal: no call can succeed (401, 403, 404); the run stops with the provider's words.

    `maybe_billed`: the call was sent and no error came back, so that the provider may have done its work.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        retry_after_s: float | None = None,
        maybe_billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.retry_after_s = retry_after_s
        self.maybe_billed = maybe_billed


class Model(Protocol):
    """A model under test or behind a judge."""

    name: str  # as the user typed it, e.g. "openai/gpt-x"
    family: str | None  # lineage, e.g. "gpt"; None if unknown
    account: str  # calls on one account share one limiter, e.g. "openai:https://api.openai.com/v1"

    def identity(self) -> dict[str, str]:
        """What makes this model's replies its own: id, revision, base URL. Part of every reply key."""
        ...

    async def generate(self, request: Request) -> Reply:
        """One attempt. Raises ProviderError; never retries, never returns status `error`."""
        ...

    async def close(self) -> None:
        """Release connections, workers, memory."""
        ...
