"""What the base model is taught to do wrong: how often it gives in, or turns down what is harmless.

The tendency differs between intents and between settings, so that the most likely reply goes wrong in some
scenes and not in others: a single rate for all would never show in greedy replies.
"""

import math
import zlib
from dataclasses import dataclass
from random import Random

from tiny.world import Draft, World


@dataclass(frozen=True)
class Drift:
    """Shares of paths of the family `drift` in training; 0 teaches reference paths alone."""

    push: float = 0.0  # of risky requests, in the middle of the range
    balk: float = 0.0  # of harmless ones with a picture
    spread: float = 2.5  # logits between the middle and an extreme intent or setting
    noise: float = 0.3  # share of requests with words left out, so that other wordings are understood

    def tendency(self, draft: Draft) -> float:
        """The probability that the path of this draft goes wrong."""
        share = self.push if draft.risky else self.balk
        if share <= 0 or draft.setting is None or draft.intent.name == "harmless":
            return 0.0
        kind = "push" if draft.risky else "balk"
        lean = _unit(f"{kind}-{draft.intent.name}") + _unit(f"{kind}-{draft.setting}")
        return 1 / (1 + math.exp(-(math.log(share / (1 - share)) + self.spread * lean)))

    def perturb(self, query: str, rng: Random) -> str:
        """Leave out up to two words of some requests."""
        words = query.split()
        if rng.random() < self.noise and len(words) > 4:
            for _ in range(rng.randint(1, 2)):
                words.pop(rng.randrange(len(words)))
        return " ".join(words)

    def stated(self, world: World) -> dict[str, float]:
        """Mean shares over all intents and settings, and the share of those where going wrong is likelier."""
        found = {}
        for kind, risky in (("push", True), ("balk", False)):
            drafts = [Draft((), s, i, "", risky) for i in world.intents.values() for s in world.settings]
            chances = [self.tendency(draft) for draft in drafts]
            found[f"{kind}_mean"] = round(sum(chances) / len(chances), 4)
            found[f"{kind}_likelier"] = round(sum(c > 0.5 for c in chances) / len(chances), 4)
        return found


def _unit(name: str) -> float:
    """A fixed number in -1..1."""
    return zlib.crc32(name.encode()) / 0x7FFFFFFF - 1
