"""A cap is never passed, not even by calls in flight together; what may have been billed counts."""

import asyncio

import pytest

from rsbench.budget import Budget, CapReached, Caps, Spending
from rsbench.models.base import GenParams, Message, ProviderError, Request
from rsbench.models.cards import Prices
from rsbench.types import Reply, Usage

ASK = Request((Message("user", "x" * 40),), GenParams(max_tokens=80), "k")  # reserves 2 × 10 + 80 tokens
PRICES = Prices(input=1_000_000, output=1_000_000)  # a dollar a token


async def answers(request: Request) -> Reply:
    await asyncio.sleep(0)
    return Reply("ok", "word", usage=Usage(10, 5, 3))


async def silent(request: Request) -> Reply:
    return Reply("ok", "word")


def ask_many(budget: Budget, n: int) -> int:
    """How many of n calls made together get through."""

    async def work() -> list[object]:
        calls = (budget.run(ASK, PRICES, answers) for _ in range(n))
        return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(work())
    assert all(isinstance(f, Reply | CapReached) for f in found), found
    return sum(isinstance(f, Reply) for f in found)


@pytest.mark.parametrize(
    ("caps", "most"), [(Caps(calls=7), 7), (Caps(tokens=200), 7), (Caps(cost=200.0), 7), (Caps(), 50)]
)
def test_calls_in_flight_together_stay_within_a_cap(caps: Caps, most: int) -> None:
    """A call uses 15 tokens and reserves 100: the seventh starts at 90 spent, the eighth would at 105."""
    budget = Budget(caps)
    assert ask_many(budget, 50) == most
    # Thinking (3 of the 5) is among the output tokens, and not counted again.
    assert budget.here == Spending(most, 10 * most, 5 * most, 15.0 * most)


def test_earlier_sessions_count_and_the_cap_is_named() -> None:
    budget = Budget(Caps(calls=3))
    budget.begin(Spending(calls=2))
    assert ask_many(budget, 5) == 1
    with pytest.raises(CapReached, match="--max-calls 3 .*3 calls"):
        asyncio.run(budget.run(ASK, PRICES, answers))


@pytest.mark.parametrize(("maybe_billed", "tokens"), [(True, 100), (False, 0)])
def test_a_failure_counts_in_full_if_it_may_be_billed(maybe_billed: bool, tokens: int) -> None:
    async def fails(request: Request) -> Reply:
        raise ProviderError("transient", "x", maybe_billed=maybe_billed)

    budget = Budget(Caps())
    with pytest.raises(ProviderError):
        asyncio.run(budget.run(ASK, PRICES, fails))
    assert (budget.here.calls, budget.here.tokens) == (1, tokens)


def test_a_server_that_counts_nothing_is_counted_at_the_most() -> None:
    budget = Budget(Caps())
    asyncio.run(budget.run(ASK, None, silent))
    assert budget.here == Spending(1, 20, 80, None)
