"""What earlier items of an exploration taught about each step of a reference path.

Some steps never turn: behind a reference that has already named the risk, every branch goes well, and what is
drawn there is paid for and gives no pair. One item can't know that; the items before it do.

Items learn in blocks, from all items of earlier blocks and from nothing else. How many are explored side by
side, and where an exploration was killed, thus change no draw.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

BLOCK = 4  # items, at first
T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """What is known of one prefix. `draws` counts all branches, those without a label too."""

    draws: int = 0
    favourable: int = 0
    unfavourable: int = 0
    pairs: int = 0  # usable, distinct
    generated: int = 0  # tokens
    nats: float | None = None  # mean entropy of the branches' first tokens; None: not known
    role: str = "answer"  # of the reference step that branches take the place of

    @property
    def tokens(self) -> float | None:
        """Generated so far, a branch."""
        return self.generated / self.draws if self.draws else None


@dataclass(frozen=True)
class Experience:
    """Sums over the prefixes of finished items, by role: favourable, unfavourable, pairs, generated."""

    counts: Mapping[str, Counter[str]] = field(default_factory=dict)

    def after(self, prefixes: Iterable[Seen]) -> "Experience":
        """With further prefixes of finished items."""
        counts = {role: known.copy() for role, known in self.counts.items()}
        for one in prefixes:
            counts.setdefault(one.role, Counter()).update(
                favourable=one.favourable,
                unfavourable=one.unfavourable,
                pairs=one.pairs,
                generated=one.generated,
            )
        return Experience(counts)

    def share(self, role: str) -> float:
        """Favourable share at a role, one branch added to each side; 1/2 where nothing is known."""
        known = self.counts.get(role, Counter())
        return (known["favourable"] + 1) / (known["favourable"] + known["unfavourable"] + 2)

    def is_barren(self, role: str, cap: int) -> bool:
        """Whether a role has cost more than its pairs could be worth, with one more full prefix granted.

        Pairs per token at the role, `cap` pairs added, are compared with those at all roles together. So a
        role that gave nothing is looked at until the tokens spent there would have bought `cap` pairs
        elsewhere; and where pairs are rare everywhere, longer.
        """
        known = self.counts.get(role)
        if not known or not known["generated"]:
            return False
        pairs = sum(one["pairs"] for one in self.counts.values())
        generated = sum(one["generated"] for one in self.counts.values())
        return (known["pairs"] + cap) * generated < pairs * known["generated"]


def blocks(items: Iterable[T]) -> Iterator[Sequence[T]]:
    """Items in blocks: of four, later of half as many as came before, so that many can go side by side."""
    left = iter(items)
    before = 0
    while block := list(islice(left, max(BLOCK, before // 2))):
        yield block
        before += len(block)
