"""Requests and tokens per minute: never more within any 60 seconds, and no longer waits than that needs."""

import asyncio

import pytest

from rsbench.images import EncodedImage
from rsbench.models.base import GenParams, Message, ProviderError, Request
from rsbench.pacing import Pace, most_tokens
from rsbench.types import Reply, Usage

ASK = Request((Message("user", "w" * 40),), GenParams(max_tokens=90), "k")  # 100 tokens at most


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def starts(requests: int | None, tokens: int | None, calls: int, used: Usage | None = None) -> list[float]:
    """When each of so many calls, all asked for at once, is sent; each answers at once."""
    clock, sent = Clock(), []

    async def call(_: Request) -> Reply:
        sent.append(clock.now)
        return Reply("ok", "words", usage=used or Usage())

    async def main() -> None:
        pace = Pace(requests, tokens, clock, clock.sleep)
        await asyncio.gather(*(pace.run(ASK, call) for _ in range(calls)))

    asyncio.run(main())
    return sent


def test_no_minute_holds_more_requests_than_allowed() -> None:
    assert starts(3, None, 8) == pytest.approx([0, 0, 0, 60, 60, 60, 120, 120])


def test_no_minute_holds_more_tokens_than_allowed() -> None:
    """Without a count from the provider, the most that a call may use is what it used."""
    assert starts(None, 250, 5) == pytest.approx([0, 0, 60, 60, 120])


def test_tokens_a_call_did_not_use_are_given_back() -> None:
    sent = starts(None, 250, 20, Usage(5, 5))
    assert sent[15] == 0  # 15 calls of 10 tokens, and the worst case of the next, are 250
    assert sent[16] == pytest.approx(60)


def test_a_call_larger_than_the_limit_goes_alone() -> None:
    assert starts(None, 50, 3) == pytest.approx([0, 60, 120])


def test_a_call_that_failed_gives_its_tokens_back() -> None:
    clock = Clock()

    async def failing(_: Request) -> Reply:
        raise ProviderError("rate_limited", "slow down")

    async def well(_: Request) -> Reply:
        return Reply("ok", "words")

    async def main() -> None:
        pace = Pace(None, 100, clock, clock.sleep)
        with pytest.raises(ProviderError):
            await pace.run(ASK, failing)
        await pace.run(ASK, well)

    asyncio.run(main())
    assert clock.now == 0


def test_the_most_a_call_may_use_counts_images_and_the_longest_reply() -> None:
    image = EncodedImage(b"", "image/png", "")
    assert most_tokens(ASK) == 100
    assert most_tokens(Request((Message("user", "", (image, image)),), GenParams(max_tokens=90), "k")) > 2000
