"""How many branches to draw where: decided from what was seen so far, and from nothing else.

Pure: the same draws lead to the same next draws, so that an exploration that was killed goes on as if it had
not been. `uniform` is the parent method's (K at every prefix); `adaptive` is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Seen:
    """What is known of one prefix. `draws` counts all branches, those without a label too."""

    draws: int = 0
    favourable: int = 0
    unfavourable: int = 0
    pairs: int = 0  # usable, distinct
    tokens: float = 1.0  # generated so far, a branch
    nats: float | None = None  # mean entropy of the branches' first tokens; None: not known


class Sampler(Protocol):
    """Which prefixes of one item to draw from next."""

    @property
    def name(self) -> str:
        """As records and recipes call it."""
        ...

    def next(self, seen: Sequence[Seen]) -> list[int]:
        """Further draws at each prefix, in order; none at all ends the item."""
        ...


@dataclass(frozen=True)
class Uniform:
    """K branches at every prefix, whatever they are."""

    k: int
    name: str = "uniform"

    def next(self, seen: Sequence[Seen]) -> list[int]:
        """What each prefix lacks of K."""
        return [max(0, self.k - one.draws) for one in seen]


@dataclass(frozen=True)
class Adaptive:
    """Draw a few everywhere, then where pairs are likely, and stop where they are not.

    A prefix is left when it has the pairs that training will use, when it is almost surely one-sided, or at
    K. The draws of a round go to the others by posterior variance of the favourable share × entropy of the
    branches' first tokens ÷ tokens a branch.

    The share's prior is a Beta around the item's own share with the weight of `prior` draws: an item whose
    prefixes all went one way needs less proof at each of them.
    """

    k: int  # most draws at a prefix
    pairs: int  # pairs a prefix can use
    first: int = 2  # draws before anything is decided
    min_chance: float = 0.1  # below this chance of a branch of the missing side, a prefix is one-sided
    prior: float = 2.0
    name: str = "adaptive"

    def next(self, seen: Sequence[Seen]) -> list[int]:
        """First draws everywhere; then one draw a prefix still open, to where they are worth most."""
        fresh = [max(0, min(self.first, self.k) - one.draws) for one in seen]
        if any(fresh):
            return fresh
        share = item_share(seen)
        open_ = [n for n, one in enumerate(seen) if not self.settled(one, share)]
        worths = [worth(seen[n], share, self.prior) for n in open_]
        rooms = [self.k - seen[n].draws for n in open_]
        given = [0] * len(seen)
        for n, count in zip(open_, allot(len(open_), worths, rooms), strict=True):
            given[n] = count
        return given

    def settled(self, one: Seen, share: float) -> bool:
        """Whether a prefix needs no further draw."""
        if one.draws >= self.k or one.pairs >= self.pairs:
            return True
        favourable, unfavourable = posterior(one, share, self.prior)
        missing = [
            side for side, n in ((favourable, one.favourable), (unfavourable, one.unfavourable)) if not n
        ]
        return bool(missing) and max(missing) / (favourable + unfavourable) < self.min_chance


def item_share(seen: Sequence[Seen]) -> float:
    """Favourable share of all labelled branches of an item, half a branch added to each side."""
    good, bad = sum(one.favourable for one in seen), sum(one.unfavourable for one in seen)
    return (good + 0.5) / (good + bad + 1)


def posterior(one: Seen, share: float, prior: float) -> tuple[float, float]:
    """Parameters of the Beta posterior of a prefix's favourable share."""
    return prior * share + one.favourable, prior * (1 - share) + one.unfavourable


def worth(one: Seen, share: float, prior: float) -> float:
    """Posterior variance × entropy of the first tokens ÷ tokens a branch; an unknown entropy counts as 1."""
    a, b = posterior(one, share, prior)
    variance = a * b / ((a + b) ** 2 * (a + b + 1))
    nats = 1.0 if one.nats is None else one.nats
    return variance * nats / max(one.tokens, 1.0)


def allot(total: int, worths: Sequence[float], rooms: Sequence[int]) -> list[int]:
    """Divide `total` draws in proportion to worth, none above its room; largest remainders first.

    Ties and worths of zero go by order, so that the same numbers give the same draws.
    """
    given = [0] * len(worths)
    left = min(total, sum(rooms))
    while left > 0:
        free = [n for n in range(len(worths)) if given[n] < rooms[n]]
        sum_ = math.fsum(worths[n] for n in free)
        shares = {n: left * (worths[n] / sum_ if sum_ > 0 else 1 / len(free)) for n in free}
        whole = {n: min(int(shares[n]), rooms[n] - given[n]) for n in free}
        if not any(whole.values()):  # less than one each: by remainder
            for n in sorted(free, key=lambda n: (-shares[n], n))[:left]:
                whole[n] = 1
        for n, count in whole.items():
            given[n] += count
        left = min(total, sum(rooms)) - sum(given)
    return given


def next_probe(low: int, high: int, hopeful: dict[int, bool]) -> int | None:
    """Binary search for the step at which an unfavourable branch turns.

    Args:
        low: Steps after which favourable branches are still known to exist.
        high: Steps after which none is expected: those of the whole branch.
        hopeful: What probes found: steps kept → whether any branch from there was favourable.

    Returns:
        Steps to keep in the next probe; None when the turn is between two neighbours.
    """
    low = max([low, *(n for n, found in hopeful.items() if found)])
    high = min([high, *(n for n, found in hopeful.items() if not found and n > low)])
    return (low + high) // 2 if high - low > 1 else None
