"""The limiter and the retry layer, on a clock that moves only when somebody sleeps."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rsbench.limits import Limiter, Limiters, RetryNote, RetryPolicy, with_retry
from rsbench.models.base import FailureKind, ProviderError

POLICY = RetryPolicy(max_attempts=4, base_s=1.0, ceiling_s=30.0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def limiter(connections: int, clock: Clock | None = None) -> Limiter:
    clock = clock or Clock()
    return Limiter(connections, clock, clock.sleep)


def failing(
    *kinds: FailureKind, retry_after_s: float | None = None
) -> Callable[[], Coroutine[Any, Any, str]]:
    """A call that fails once with each kind, then says "done"."""
    left = list(kinds)

    async def call() -> str:
        if left:
            raise ProviderError(left.pop(0), "the server's words", retry_after_s)
        return "done"

    return call


async def burst(limit: Limiter, size: int, error: FailureKind | None = None) -> int:
    """`size` calls, in flight together as far as the limit lets them; returns the most that were."""
    most = 0

    async def one() -> None:
        nonlocal most
        try:
            async with limit.slot():
                most = max(most, limit.in_flight)
                for _ in range(3):
                    await asyncio.sleep(0)
                if error:
                    raise ProviderError(error, "no")
        except ProviderError:
            pass

    await asyncio.gather(*[one() for _ in range(size)])
    return most


def test_no_more_calls_are_in_flight_than_allowed() -> None:
    limit = limiter(7)
    assert asyncio.run(burst(limit, 40)) == 7
    assert limit.in_flight == 0


def test_one_connection_is_plain_serial_in_the_order_of_asking() -> None:
    limit, log = limiter(1), []

    async def one(n: int) -> None:
        async with limit.slot():
            log.append(("start", n))
            await asyncio.sleep(0)
            log.append(("end", n))

    async def main() -> None:
        await asyncio.gather(*[one(n) for n in range(5)])

    asyncio.run(main())
    assert log == [(what, n) for n in range(5) for what in ("start", "end")]


def test_a_rate_limited_burst_halves_the_limit_once() -> None:
    limit = limiter(16)
    asyncio.run(burst(limit, 16, "rate_limited"))
    assert limit.limit == 8  # not 1: the 16 refusals are one sign
    asyncio.run(burst(limit, 8, "rate_limited"))
    assert limit.limit == 4


def test_the_limit_never_falls_below_one() -> None:
    limit = limiter(2)
    for _ in range(4):
        asyncio.run(burst(limit, 1, "rate_limited"))
    assert limit.limit == 1


@pytest.mark.parametrize("kind", ["transient", "bad_request", "fatal"])
def test_only_rate_limits_shrink(kind: FailureKind) -> None:
    limit = limiter(8)
    asyncio.run(burst(limit, 20, kind))
    assert limit.limit == 8


def test_the_limit_grows_by_one_after_a_saturated_window_and_stops_at_the_maximum() -> None:
    limit = limiter(8)
    asyncio.run(burst(limit, 8, "rate_limited"))
    assert limit.limit == 4
    # 7 calls keep 4 places taken until the 4th success: a full window at limit 4, and no second one.
    asyncio.run(burst(limit, 7))
    assert limit.limit == 5
    asyncio.run(burst(limit, 500))
    assert limit.limit == 8


def test_success_without_saturation_does_not_grow() -> None:
    limit = limiter(8)
    asyncio.run(burst(limit, 8, "rate_limited"))
    for _ in range(50):
        asyncio.run(burst(limit, 3))  # never more than 3 of 4 places in use
    assert limit.limit == 4


def test_a_cancelled_waiter_does_not_lose_its_place_for_the_others() -> None:
    limit = limiter(1)

    async def use() -> str:
        async with limit.slot():
            return "served"

    async def main() -> str:
        async with limit.slot():
            waiters = [asyncio.create_task(use()) for _ in range(3)]
            await asyncio.sleep(0)
            waiters[1].cancel()  # while it waits
        waiters[0].cancel()  # just after its turn came
        return await waiters[2]

    assert asyncio.run(main()) == "served"
    assert limit.in_flight == 0


def test_accounts_share_a_limiter_only_with_themselves() -> None:
    limiters = Limiters(3)
    assert limiters.of("a") is limiters.of("a")
    assert limiters.of("a") is not limiters.of("b")
    assert limiters.of("b").limit == 3


def test_retry_after_pauses_every_call_of_the_account() -> None:
    clock = Clock()
    limit = limiter(4, clock)
    started: list[float] = []

    async def ordinary() -> str:
        started.append(clock.now)
        return "ok"

    async def main() -> None:
        struck = failing("rate_limited", retry_after_s=20.0)
        first = asyncio.create_task(with_retry(struck, limit, POLICY, key="struck", sleep=clock.sleep))
        await asyncio.sleep(0)
        others = [with_retry(ordinary, limit, POLICY, key=str(n), sleep=clock.sleep) for n in range(10)]
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert len(started) == 10
    assert min(started) >= 20.0  # not one of them ran into the closed door


def test_a_call_queued_behind_the_rate_limited_one_waits_too() -> None:
    """It gets its slot in the instant in which the refused call gives it back."""
    clock = Clock()
    limit = limiter(1, clock)
    started: list[float] = []

    async def ordinary() -> str:
        started.append(clock.now)
        return "ok"

    async def main() -> None:
        struck = failing("rate_limited", retry_after_s=20.0)
        await asyncio.gather(
            with_retry(struck, limit, POLICY, key="a", sleep=clock.sleep),
            with_retry(ordinary, limit, POLICY, key="b", sleep=clock.sleep),
        )

    asyncio.run(main())
    assert started[0] >= 20.0


def test_the_last_refused_attempt_still_pauses_the_account() -> None:
    clock = Clock()
    limit = limiter(2, clock)
    once = RetryPolicy(max_attempts=1)

    async def main() -> None:
        with pytest.raises(ProviderError):
            await with_retry(
                failing("rate_limited", retry_after_s=9.0), limit, once, key="k", sleep=clock.sleep
            )
        await with_retry(failing(), limit, once, key="k2", sleep=clock.sleep)

    asyncio.run(main())
    assert clock.now == 9.0


def test_failures_that_pass_are_retried_and_counted() -> None:
    clock, notes = Clock(), list[RetryNote]()
    call = failing("transient", "rate_limited")
    result = asyncio.run(
        with_retry(call, limiter(2, clock), POLICY, key="k", sleep=clock.sleep, on_retry=notes.append)
    )
    assert result == ("done", 3)
    assert [(n.key, n.attempt, n.kind) for n in notes] == [("k", 1, "transient"), ("k", 2, "rate_limited")]
    assert [n.wait_s for n in notes] == clock.slept


def test_the_last_error_says_how_many_attempts_were_made() -> None:
    clock = Clock()
    call = failing("transient", "transient", "transient", "transient", "transient")
    with pytest.raises(ProviderError, match=r"the server's words \(4 attempts\)") as caught:
        asyncio.run(with_retry(call, limiter(2, clock), POLICY, key="k", sleep=clock.sleep))
    assert caught.value.kind == "transient"
    assert len(clock.slept) == 3  # no wait after the last


@pytest.mark.parametrize("kind", ["bad_request", "fatal"])
def test_hopeless_failures_are_raised_at_once(kind: FailureKind) -> None:
    clock = Clock()
    with pytest.raises(ProviderError, match="^the server's words$") as caught:
        asyncio.run(with_retry(failing(kind), limiter(2, clock), POLICY, key="k", sleep=clock.sleep))
    assert caught.value.kind == kind
    assert clock.slept == []


def test_retry_after_is_waited_out() -> None:
    clock = Clock()
    call = failing("transient", retry_after_s=25.0)
    asyncio.run(with_retry(call, limiter(1, clock), POLICY, key="k", sleep=clock.sleep))
    assert clock.now == 25.0


def test_retry_after_zero_still_backs_off() -> None:
    clock = Clock()
    call = failing("rate_limited", retry_after_s=0.0)
    asyncio.run(with_retry(call, limiter(1, clock), POLICY, key="k", sleep=clock.sleep))
    assert clock.now == POLICY.backoff_s("k", 1) > 0


def test_a_retry_after_beyond_the_ceiling_ends_the_attempts_and_pauses_nobody() -> None:
    clock = Clock()
    limit = limiter(1, clock)
    call = failing("rate_limited", retry_after_s=3600.0)
    with pytest.raises(
        ProviderError, match=r"1 attempt; the provider asks to wait 3600 s, more than the 30 s"
    ):
        asyncio.run(with_retry(call, limit, POLICY, key="k", sleep=clock.sleep))
    asyncio.run(with_retry(failing(), limit, POLICY, key="k2", sleep=clock.sleep))
    assert clock.now == 0.0


def test_the_slot_is_free_while_a_call_waits_to_be_retried() -> None:
    limit = limiter(1)
    seen: list[int] = []

    async def sleep(_: float) -> None:
        seen.append(limit.in_flight)

    asyncio.run(with_retry(failing("transient"), limit, POLICY, key="k", sleep=sleep))
    assert seen == [0]


def test_backoff_doubles_within_its_jitter_up_to_the_ceiling_and_is_repeatable() -> None:
    policy = RetryPolicy(base_s=0.5, ceiling_s=10.0)
    for attempt, middle in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)]:
        assert middle * 0.5 <= policy.backoff_s("k", attempt) <= middle * 1.5
    assert policy.backoff_s("k", 9) == 10.0
    assert policy.backoff_s("k", 2) == policy.backoff_s("k", 2)
    assert len({policy.backoff_s(str(n), 1) for n in range(50)}) == 50  # calls don't come back together


def test_other_exceptions_pass_through_and_free_the_slot() -> None:
    limit = limiter(1)

    async def broken() -> str:
        raise KeyError("a bug, not a provider")

    with pytest.raises(KeyError):
        asyncio.run(with_retry(broken, limit, POLICY, key="k"))
    assert limit.in_flight == 0
