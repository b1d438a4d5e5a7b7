"""Requests and tokens per minute, where a model card states them: a call waits until a minute has room.

Apart from `limits`, which learns from what a provider refuses: this keeps a known limit before it is met.
What a call will use is not known when it starts, so it takes the most it may use, and gives back the rest.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rsbench.models.base import ProviderError, Request
from rsbench.types import Reply, Usage

MINUTE = 60.0
BYTES_A_TOKEN = 4
IMAGE_TOKENS = 1500  # tokens of an image of about a megapixel, at the providers that count most
_NAP = 1.0  # s between looks: a call that ended may have given tokens back


@dataclass
class _Spent:
    at: float
    tokens: int


class Pace:
    """At most so many requests and tokens within any 60 seconds, in the order of asking."""

    def __init__(
        self,
        requests: int | None,
        tokens: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._requests = requests
        self._tokens = tokens
        self._clock = clock
        self._sleep = sleep
        self._last_minute: deque[_Spent] = deque()
        self._turn = asyncio.Lock()  # first come, first served: a long call is not overtaken for ever

    async def run(self, request: Request, call: Callable[[Request], Awaitable[Reply]]) -> Reply:
        """Make one attempt when there is room for it.

        Raises:
            ProviderError: of the call; its tokens are given back.
        """
        async with self._turn:
            spent = await self._room(most_tokens(request))
        try:
            reply = await call(request)
        except ProviderError:
            spent.tokens = 0
            raise
        if reply.usage != Usage():
            spent.tokens = (reply.usage.input_tokens or 0) + (reply.usage.output_tokens or 0)
        return reply

    async def _room(self, tokens: int) -> _Spent:
        # A call larger than the limit could never go: it goes alone, and the provider has the last word.
        asked = tokens if self._tokens is None else min(tokens, self._tokens)
        while (rest := self._wait_s(asked)) > 0:
            await self._sleep(min(rest, _NAP))
        spent = _Spent(self._clock(), asked)
        self._last_minute.append(spent)
        return spent

    def _wait_s(self, tokens: int) -> float:
        """Seconds until the oldest call leaves the minute, if there is no room before; else 0."""
        now = self._clock()
        while self._last_minute and self._last_minute[0].at + MINUTE <= now:
            self._last_minute.popleft()
        full = self._requests is not None and len(self._last_minute) >= self._requests
        used = sum(spent.tokens for spent in self._last_minute)
        full = full or (self._tokens is not None and used + tokens > self._tokens)
        return self._last_minute[0].at + MINUTE - now if full and self._last_minute else 0.0


def input_tokens(request: Request) -> int:
    """Tokens of what a call sends, roughly: four bytes of text a token, a fixed number an image.

    Bytes and not characters, because a Chinese or Hindi character is about a token by itself.
    """
    text = sum(len(message.text.encode("utf-8", "replace")) for message in request.messages)
    images = sum(len(message.images) for message in request.messages)
    return text // BYTES_A_TOKEN + IMAGE_TOKENS * images


def most_tokens(request: Request) -> int:
    """The most tokens a call may use, roughly: what it sends, and the longest reply allowed."""
    return input_tokens(request) + request.params.max_tokens
