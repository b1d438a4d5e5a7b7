"""Spending: what calls cost, and the caps that no call may pass.

A call reserves the most that it may use before it is sent and gives the rest back afterwards, so that calls
in flight can't pass a cap together. Where a provider does not say what it billed, the reservation counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rsbench.models.base import Model, ProviderError, Request
from rsbench.models.cards import Prices, card_for, provider_of
from rsbench.pacing import input_tokens
from rsbench.types import Reply, Usage, UserError

FREE = Prices(input=0, output=0)
_HERE = frozenset({"tiny", "hf", "mock", "import"})  # providers whose calls cost electricity alone
_PAID_HOSTS = ("api.openai.com", "api.anthropic.com")
_MARGIN = 2  # times the estimate of the input: digits, code and large pictures take more tokens than words


@dataclass(frozen=True)
class Spending:
    """Calls and tokens, and their price in US dollars: None where a price is unknown.

    Output tokens include hidden thinking, as providers count and bill it.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Spending") -> "Spending":
        """The sum; a cost is unknown if either is."""
        return Spending(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )

    def __sub__(self, other: "Spending") -> "Spending":
        """What is left of this without the other; nothing is below 0."""
        return Spending(
            max(0, self.calls - other.calls),
            max(0, self.input_tokens - other.input_tokens),
            max(0, self.output_tokens - other.output_tokens),
            None if self.cost is None or other.cost is None else max(0.0, self.cost - other.cost),
        )

    def words(self) -> str:
        """For a person to read."""
        cost = "cost unknown" if self.cost is None else f"{self.cost:,.4f} USD"
        tokens = f"{self.input_tokens:,} tokens in, {self.output_tokens:,} tokens out"
        return f"{self.calls:,} {'call' if self.calls == 1 else 'calls'}, {tokens}, {cost}"

    def stored(self) -> dict[str, Any]:
        """As the manifest holds it."""
        cost = None if self.cost is None else round(self.cost, 6)
        tokens = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        return {"calls": self.calls, **tokens, "cost_usd": cost}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> "Spending":
        """From the manifest's form."""
        counts = (stored["calls"], stored["input_tokens"], stored["output_tokens"])
        return cls(*counts, stored["cost_usd"])


@dataclass(frozen=True)
class Caps:
    """The most a run folder may spend over all its sessions; None is no cap."""

    cost: float | None = None
    calls: int | None = None
    tokens: int | None = None

    def check_priced(self, who: str, spending: Spending) -> None:
        """Refuse a cap on the cost where the cost can't be known.

        Raises:
            UserError: no prices.
        """
        if self.cost is not None and spending.cost is None:
            raise UserError(
                f"--max-cost: the prices of {who} are unknown. Name it by a model card with prices "
                "(docs/cost.md), or cap --max-calls or --max-tokens-total instead."
            )


class CapReached(Exception):
    """The next call might pass a cap. Says which, and what is spent."""


def prices_of(argument: str) -> Prices | None:
    """What `--model` or `--judge-model` costs: by its card, nothing if it runs here, None if nobody said."""
    carded = card_for(argument)
    if carded and carded[0].prices:
        return carded[0].prices
    return FREE if provider_of(argument) in _HERE else None


@dataclass(frozen=True)
class Caller:
    """Somebody who makes calls in a run. `prices` may be unknown although it is known that they are paid."""

    prices: Prices | None
    paid: bool
    batch: bool = False  # whether its calls go through a batch API

    @classmethod
    def of(cls, model: Model, argument: str, batch: bool = False) -> "Caller":
        """A model, and the argument that named it. Paid: by its prices, else by whose server it is."""
        prices = prices_of(argument)
        if prices is not None:
            return cls(prices, prices.input > 0 or prices.output > 0, batch)
        host = urlsplit(model.identity().get("base_url", "")).hostname or ""
        paid = any(host == known or host.endswith(f".{known}") for known in _PAID_HOSTS)
        return cls(None, paid, batch)

    @property
    def rate(self) -> Prices | None:
        """The prices of the calls that it makes in this session."""
        return self.prices.batched() if self.prices and self.batch else self.prices


Callers = Mapping[str, Caller]  # by name: `spending.MODEL`, or a judge's


def is_paid(callers: Callers) -> bool:
    """Whether any call of a run costs money, as far as is known."""
    return any(caller.paid for caller in callers.values())


def spent(calls: int, read: int, written: int, prices: Prices | None) -> Spending:
    """Calls with their tokens in and out, priced. Cached input counts in full: an upper bound."""
    cost = None if prices is None else (read * prices.input + written * prices.output) / 1e6
    return Spending(calls, read, written, cost)


def most(request: Request, prices: Prices | None) -> Spending:
    """The most that one call may use."""
    return spent(1, _MARGIN * input_tokens(request), request.params.max_tokens, prices)


def used(usage: Usage, reserved: Spending, prices: Prices | None) -> Spending:
    """What an answered call used; what its provider does not say counts as reserved."""
    read, written = usage.input_tokens, usage.output_tokens
    return spent(
        1,
        reserved.input_tokens if read is None else read,
        reserved.output_tokens if written is None else written,
        prices,
    )


class Budget:
    """What was spent so far, what calls in flight may still spend, and the caps over both."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._before = Spending()
        self._here = Spending()
        self._held = Spending()
        self._in_flight: dict[int, Spending] = {}
        self._number = 0
        self._reached = ""
        self._settled = asyncio.Event()

    @property
    def here(self) -> Spending:
        """Spent in this session."""
        return self._here

    def begin(self, before: Spending) -> None:
        """Count what earlier sessions spent."""
        self._before = before

    async def run(
        self, request: Request, prices: Prices | None, call: Callable[[Request], Awaitable[Reply]]
    ) -> Reply:
        """Make one attempt if the caps leave room for the most that it may use.

        Raises:
            CapReached: they don't; then no further call is made.
            ProviderError: of the call.
        """
        reserved = most(request, prices)
        number = await self._reserve(reserved)
        cost = reserved  # stays so if the call is broken off: its work may be billed
        try:
            reply = await call(request)
            cost = used(reply.usage, reserved, prices)
        except ProviderError as error:
            cost = reserved if error.maybe_billed else spent(1, 0, 0, prices)
            raise
        finally:
            del self._in_flight[number]
            self._here += cost
            self._settled.set()
        return reply

    def hold(self, more: Spending, submitted: bool = False) -> None:
        """Reserve for calls that will be answered much later; `submitted`: they are made already.

        Raises:
            CapReached: the caps leave no room.
        """
        if not submitted and (cap := self._passed(more)):
            raise CapReached(cap)
        self._held += more

    def release(self, held: Spending) -> None:
        """Give back what `hold` reserved."""
        self._held -= held

    def count(self, spending: Spending) -> None:
        """Count calls as made."""
        self._here += spending

    async def _reserve(self, more: Spending) -> int:
        while not self._reached and self._passed(more, self._in_flight.values()):
            if cap := self._passed(more):
                self._reached = cap
                self._settled.set()  # the others that wait are to look again
            else:  # calls in flight may give enough back
                self._settled.clear()
                await self._settled.wait()
        if self._reached:
            raise CapReached(self._reached)
        self._number += 1
        self._in_flight[self._number] = more
        return self._number

    def _passed(self, more: Spending, beside: Iterable[Spending] = ()) -> str:
        """The cap that would be passed if `more` were spent, and all `beside` it; in words, empty if none."""
        caps, passed = self._caps, ""
        if caps == Caps():
            return passed  # a hundred calls in flight need not be added up for each further one
        total = sum(beside, self._before + self._here + self._held + more)
        if caps.calls is not None and total.calls > caps.calls:
            passed = f"--max-calls {caps.calls}"
        elif caps.tokens is not None and total.tokens > caps.tokens:
            passed = f"--max-tokens-total {caps.tokens}"
        elif caps.cost is not None and total.cost is not None and total.cost > caps.cost:
            passed = f"--max-cost {caps.cost:g}"
        so_far = (self._before + self._here).words()
        held = f" Held for batches under way: {self._held.words()}." if self._held.calls else ""
        return passed and (
            f"{passed} leaves no room for the next call, which may use up to {more.words()}. "
            f"Spent so far: {so_far}.{held}"
        )
