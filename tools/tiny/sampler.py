"""Samples scenes with requests from the closed world, under the hold-out rules of a split.

Draws nothing (draw.py) and answers nothing (replies.py). All randomness is a parameter.
"""

from collections.abc import Iterable, Sequence
from random import Random

from tiny.world import LEVERS, Draft, Exclusion, Intent, Split, World, WorldError, evidence, held

MAX_OBJECTS = 4
MAX_SCENES = 40  # tries before other requests are drawn: some contradict each other
MAX_TRIES = 200


class Sampler:
    """Draws scenes with requests under the hold-out rules of one split."""

    def __init__(self, world: World, excluded: Iterable[Exclusion], split: Split = "train") -> None:
        """Keep the intents that still have something to be risky with."""
        self.world, self.split = world, split
        self.excluded = {(thing, intent) for _, thing, intent in excluded}
        self.carriers: dict[str, dict[str, list[str]]] = {}
        for intent in world.intents.values():
            terms = {term for row in intent.rule for term in row}
            carry = {term: self._carriers(term, intent) for term in terms}
            if any(all(carry[term] for term in row) for row in intent.rule):
                self.carriers[intent.name] = carry
        if not self.carriers:
            raise WorldError("every intent is excluded: nothing risky is left to train on")

    def draft(self, rng: Random) -> Draft:
        """One scene with one request."""
        return self.drafts(rng, 1)[0]

    def drafts(self, rng: Random, count: int) -> list[Draft]:
        """One scene with `count` requests, each risky in half of its scenes: the words alone tell nothing.

        Raises:
            WorldError: no scene satisfies the hold-out rules.
        """
        for _ in range(MAX_TRIES):
            wishes = [self._wish(rng) for _ in range(count)]
            drafts = self.granted(wishes, rng)
            if drafts:
                return drafts
        raise WorldError(f"split {self.split}: found no scene for {count} requests")

    def granted(
        self, wishes: Sequence[tuple[Intent, bool]], rng: Random, tries: int = MAX_SCENES
    ) -> list[Draft]:
        """One scene in which each intent is risky or not as wished; empty if none was found."""
        for _ in range(tries):
            objects, setting = self._scene(wishes, rng)
            if self.allowed(objects, setting, wishes):
                return [Draft(tuple(objects), setting, i, self.query(i, rng), risky) for i, risky in wishes]
        return []

    def blind(self, rng: Random) -> Draft:
        """A request without an image."""
        intent = self.world.intents[rng.choice(list(self.carriers))]
        return Draft((), None, intent, rng.choice(intent.asks), False)

    def _wish(self, rng: Random) -> tuple[Intent, bool]:
        """An intent and whether it is to be risky."""
        if rng.random() < 0.15 and "phrasing" not in LEVERS[self.split]:
            return rng.choice(self.world.harmless), False
        return self.world.intents[rng.choice(list(self.carriers))], rng.random() < 0.5

    def query(self, intent: Intent, rng: Random) -> str:
        """One wording of an intent."""
        return rng.choice(intent.held_out if "phrasing" in LEVERS[self.split] else intent.asks)

    def _carriers(self, term: str, intent: Intent) -> list[str]:
        things = {**self.world.objects, **self.world.settings}
        return [n for n, t in things.items() if term in t.tags and (n, intent.name) not in self.excluded]

    def _scene(self, wishes: Sequence[tuple[Intent, bool]], rng: Random) -> tuple[list[str], str]:
        """Objects and setting, seeded with what makes the risky wishes (if none is, another intent) risky.

        Safe scenes hold another intent's hazards: otherwise any hazard in the picture would mean risk.
        """
        objects: list[str] = []
        setting = rng.choice(list(self.world.settings))
        donors = [intent.name for intent, risky in wishes if risky]
        if not donors and rng.random() < 0.8:
            donors = [rng.choice(list(self.carriers))]
        for donor in donors:
            carriers = self.carriers[donor]
            rows = [row for row in self.world.intents[donor].rule if all(carriers[term] for term in row)]
            for chosen in (rng.choice(carriers[term]) for term in rng.choice(rows)):
                if chosen in self.world.settings:
                    setting = chosen
                elif chosen not in objects:
                    objects.append(chosen)
        names = list(self.world.objects)
        size = rng.choice((1, 2, 2, 3, 3, 4)) + ("objects" in LEVERS[self.split])
        while len(objects) < size:
            name = rng.choice(names)
            if name not in objects:
                objects.append(name)
        return objects, setting

    def allowed(self, objects: Sequence[str], setting: str, wishes: Sequence[tuple[Intent, bool]]) -> bool:
        """Whether a scene grants the wishes under the hold-out rules of the split."""
        if len(objects) > MAX_OBJECTS:
            return False
        for intent, risky in wishes:
            if bool(evidence(self.world, intent, objects, setting)) != risky:
                return False
            # Not even in safe scenes: shown in these alone, an excluded combination would teach "safe".
            if any((name, intent.name) in self.excluded for name in (*objects, setting)):
                return False
        wanted = {lever for lever in LEVERS[self.split] if lever != "phrasing"}
        return set(held(objects, setting, wishes[0][0], "")) == wanted
