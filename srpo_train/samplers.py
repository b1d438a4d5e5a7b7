"""How many branches to draw where: decided from what was seen so far, and from nothing else.

Pure: the same draws lead to the same next draws, so that an exploration that was killed goes on as if it had
not been. `uniform` is the parent method's (K at every prefix); `adaptive` is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from srpo_train.experience import Experience, Seen

NOTHING = Experience()


class Sampler(Protocol):
    """Which prefixes of one item to draw from next."""

    @property
    def name(self) -> str:
        """As records and recipes call it."""
        ...

    def next(self, seen: Sequence[Seen], known: Experience = NOTHING) -> list[int]:
        """Further draws at each prefix, in order; none at all ends the item.

        Args:
            seen: What was drawn at each prefix of this item.
            known: What earlier items taught.
        """
        ...


@dataclass(frozen=True)
class Uniform:
    """K branches at every prefix, whatever they are."""

    k: int
    name: str = "uniform"

    def next(self, seen: Sequence[Seen], known: Experience = NOTHING) -> list[int]:
        """What each prefix lacks of K."""
        return [max(0, self.k - one.draws) for one in seen]


@dataclass(frozen=True)
class Adaptive:
    """Draw a few at every second prefix, then where pairs are likely, and stop where they are not.

    A prefix is left when it has the pairs that training will use, when it is almost surely one-sided, or at
    K. The draws of a round go to the others by posterior variance of the favourable share × entropy of the
    branches' first tokens ÷ tokens a branch.

    A prefix's prior is a Beta of weight `prior` around the share seen at the prefixes near it: the share
    changes along a path, mostly slowly, so where all neighbours went one way, little proof is needed. Roles
    that earlier items showed not to pay are left out, unless the item has no other.
    """

    k: int  # most draws at a prefix
    pairs: int  # pairs a prefix can use
    first: int = 3  # draws before anything is decided
    min_chance: float = 0.1  # below this chance of a branch of the missing side, a prefix is one-sided
    prior: float = 2.0
    name: str = "adaptive"

    def next(self, seen: Sequence[Seen], known: Experience = NOTHING) -> list[int]:
        """First draws; then about one draw a prefix still open, two at most, to where they are worth most."""
        kept = [n for n, one in enumerate(seen) if not known.is_barren(one.role, self.pairs)]
        kept = kept or list(range(len(seen)))
        given = [0] * len(seen)
        for n, count in zip(kept, self._next([seen[n] for n in kept], known), strict=True):
            given[n] = count
        return given

    def _next(self, seen: Sequence[Seen], known: Experience) -> list[int]:
        few = min(self.first, self.k)
        start = set(range(1, len(seen), 2)) or {0}
        fresh = [max(0, few - one.draws) if n in start else 0 for n, one in enumerate(seen)]
        if any(fresh):
            return fresh
        shares = [share_near(seen, n, known.share(one.role)) for n, one in enumerate(seen)]
        open_ = [n for n, one in enumerate(seen) if not self.settled(one, shares[n])]
        drawn = [one.tokens for one in seen if one.tokens is not None]
        usual = math.fsum(drawn) / len(drawn) if drawn else 1.0
        worths = [worth(seen[n], shares[n], self.prior, usual) for n in open_]
        rooms = [min(2, self.k - seen[n].draws) for n in open_]
        given = [0] * len(seen)
        for n, count in zip(open_, allot(len(open_), worths, rooms), strict=True):
            given[n] = count
        return given

    def settled(self, one: Seen, share: float) -> bool:
        """Whether a prefix needs no further draw; `share`: see `share_near`."""
        if one.draws >= self.k or one.pairs >= self.pairs:
            return True
        a, b = posterior(one, share, self.prior)
        if one.favourable and one.unfavourable:
            return False
        missing = b if one.favourable else a if one.unfavourable else min(a, b)
        return missing / (a + b) < self.min_chance


def share_near(seen: Sequence[Seen], place: int, usual: float = 0.5) -> float:
    """Favourable share around a prefix: a branch counts half as much for each step that it is away.

    One branch is added, in the `usual` share.
    """
    good = math.fsum(0.5 ** abs(n - place) * one.favourable for n, one in enumerate(seen))
    bad = math.fsum(0.5 ** abs(n - place) * one.unfavourable for n, one in enumerate(seen))
    return (good + usual) / (good + bad + 1)


def posterior(one: Seen, share: float, prior: float) -> tuple[float, float]:
    """Parameters of the Beta posterior of a prefix's favourable share."""
    return prior * share + one.favourable, prior * (1 - share) + one.unfavourable


def worth(one: Seen, share: float, prior: float, usual: float = 1.0) -> float:
    """Posterior variance × entropy of the first tokens ÷ tokens a branch.

    A prefix not yet drawn from counts as one of 1 nat and of `usual` tokens.
    """
    a, b = posterior(one, share, prior)
    variance = a * b / ((a + b) ** 2 * (a + b + 1))
    nats = 1.0 if one.nats is None else one.nats
    return variance * nats / max(usual if one.tokens is None else one.tokens, 1.0)


def allot(total: int, worths: Sequence[float], rooms: Sequence[int]) -> list[int]:
    """Divide `total` draws in proportion to worth, none above its room; largest remainders first.

    Ties and worths of zero go by order, so that the same numbers give the same draws.
    """
    given = [0] * len(worths)
    while left := min(total, sum(rooms)) - sum(given):
        free = [n for n in range(len(worths)) if given[n] < rooms[n]]
        sum_ = math.fsum(worths[n] for n in free)
        shares = {n: left * (worths[n] / sum_ if sum_ > 0 else 1 / len(free)) for n in free}
        for n in free:
            given[n] += min(int(shares[n]), rooms[n] - given[n])
        left = min(total, sum(rooms)) - sum(given)
        for n in sorted(free, key=lambda n: (int(shares[n]) - shares[n], n))[:left]:
            given[n] += given[n] < rooms[n]
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
