"""The one retry layer, and how many calls an account has in flight.

Providers make one attempt and raise a typed `ProviderError`; what it means for the next attempt is decided
here alone. Only a rate limit shrinks the limiter: a broken server is no reason to believe that there are too
many calls.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from rsbench.models.base import FailureKind, ProviderError

T = TypeVar("T")
Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class Limiter:
    """Additive increase, multiplicative decrease over the calls in flight on one account.

    Callers get their turn in the order in which they asked, so one connection is plain serial.
    """

    def __init__(
        self, max_connections: int, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        if max_connections < 1:
            raise ValueError(f"max_connections is {max_connections}; it must be at least 1")
        self.max_connections = max_connections
        self.limit = max_connections
        self.in_flight = 0
        self._clock = clock
        self._sleep = sleep
        self._resume_at = float("-inf")
        self._successes = 0
        self._cuts = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one place for one attempt. How the body ends is what the limiter learns from."""
        await self._enter()
        try:
            # A pause is sat out inside the slot: no other call of the account may go either.
            while (rest := self._resume_at - self._clock()) > 0:
                await self._sleep(rest)
            cuts = self._cuts
            try:
                yield
            except ProviderError as error:
                if error.kind == "rate_limited":
                    self._shrink(cuts)
                raise
            self._grow(cuts)
        finally:
            self._leave()

    def pause(self, seconds: float) -> None:
        """Start no call of this account for so long; calls in flight go on."""
        self._resume_at = max(self._resume_at, self._clock() + seconds)

    def _shrink(self, cuts: int) -> None:
        # A burst sent together is refused together. It is one sign of too many calls, not a hundred: without
        # this, 100 calls in flight would drop to 1 at the first limit.
        if cuts == self._cuts:
            self.limit = max(1, self.limit // 2)
            self._cuts += 1
            self._successes = 0

    def _grow(self, cuts: int) -> None:
        if self.in_flight < self.limit or cuts != self._cuts:
            return  # not saturated, or sent before the cut: says nothing about room for more
        self._successes += 1
        if self._successes >= self.limit:
            self.limit = min(self.max_connections, self.limit + 1)
            self._successes = 0

    async def _enter(self) -> None:
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # cancelled just after its turn came: the place goes to the next
            raise

    def _leave(self) -> None:
        self.in_flight -= 1
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)


class Limiters:
    """One limiter per account: a model and a judge on the same account share it."""

    def __init__(
        self, max_connections: int, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._max_connections = max_connections
        self._clock = clock
        self._sleep = sleep
        self._by_account: dict[str, Limiter] = {}

    def of(self, account: str) -> Limiter:
        """The account's limiter, made on first use."""
        if account not in self._by_account:
            self._by_account[account] = Limiter(self._max_connections, self._clock, self._sleep)
        return self._by_account[account]


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently. `ceiling_s` is the longest wait, the provider's Retry-After included."""

    max_attempts: int = 6
    base_s: float = 0.5
    ceiling_s: float = 60.0

    def backoff_s(self, key: str, attempt: int) -> float:
        """Wait after the n-th attempt (from 1): doubled each time, times a jitter of 0.5 to 1.5.

        The jitter is drawn from a hash of key and attempt, so that a run is repeatable and calls that
        failed together don't return together.
        """
        draw = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:8], "big") / 2**64
        return float(min(self.ceiling_s, self.base_s * 2 ** (attempt - 1) * (0.5 + draw)))


@dataclass(frozen=True)
class RetryNote:
    """An attempt that failed and will be repeated after `wait_s`; for progress displays."""

    key: str
    attempt: int
    kind: FailureKind
    wait_s: float
    message: str


async def with_retry(
    call: Callable[[], Awaitable[T]],
    limiter: Limiter,
    policy: RetryPolicy,
    *,
    key: str,
    sleep: Sleep = asyncio.sleep,
    on_retry: Callable[[RetryNote], None] | None = None,
) -> tuple[T, int]:
    """Attempt `call` until it succeeds, each attempt in a slot of its own; returns (result, attempts).

    Raises:
        ProviderError: of the last attempt, saying how many were made; `bad_request` and `fatal` at once.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            async with limiter.slot():
                return await call(), attempt
        except ProviderError as error:
            told = error.retry_after_s or 0.0
            if error.kind == "rate_limited" and told <= policy.ceiling_s:
                limiter.pause(told)
            wait = _wait_s(error, attempt, policy, key)
            if on_retry:
                on_retry(RetryNote(key, attempt, error.kind, wait, str(error)))
        await sleep(wait)  # outside the slot: somebody else's call can use it


def _wait_s(error: ProviderError, attempt: int, policy: RetryPolicy, key: str) -> float:
    """Seconds until the next attempt; raises if there is to be none."""
    if error.kind in ("bad_request", "fatal"):
        raise error
    told = error.retry_after_s or 0.0
    tries = "1 attempt" if attempt == 1 else f"{attempt} attempts"
    if told > policy.ceiling_s:
        why = f"the provider asks to wait {told:g} s, more than the {policy.ceiling_s:g} s allowed"
        raise ProviderError(error.kind, f"{error} ({tries}; {why})", told) from error
    if attempt >= policy.max_attempts:
        raise ProviderError(error.kind, f"{error} ({tries})", error.retry_after_s) from error
    # Never earlier than told; and later than told if that was 0 or we keep being sent away.
    return max(told, policy.backoff_s(key, attempt))
