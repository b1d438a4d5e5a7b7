"""The closed world of `tiny`: loads world.yaml, samples scenes with requests.

Owns the hold-out rules: object pairs that never share a training scene, and the exclusions, the combinations
of a thing and an intent on which an item of the benchmark rests. Draws nothing (draw.py) and answers nothing
(replies.py). All randomness is a parameter.
"""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml

Split = Literal["train", "pairs", "phrasing"]  # pairs: held-out object pairs; phrasing: held-out wordings
Exclusion = tuple[str, str, str]  # pair of the item, object or setting, intent
WORLD = Path(__file__).with_name("world.yaml")
MAX_OBJECTS = 4
MAX_SCENES = 40  # tries before other requests are drawn: some contradict each other
MAX_TRIES = 200


class WorldError(ValueError):
    """world.yaml contradicts itself, or nothing can be sampled from it; names the entry."""


@dataclass(frozen=True)
class Thing:
    """An object or a setting."""

    name: str
    noun: str  # with its article, as in the replies
    tags: frozenset[str]
    heads: frozenset[str]  # stemmed words by which an item may mention it
    drawings: tuple[str, ...] = ()

    @property
    def definite(self) -> str:
        """E.g. `the candle`."""
        return "the " + re.sub(r"^an? ", "", self.noun)


@dataclass(frozen=True)
class Intent:
    """What the user is after, and what must be shown for it to be risky (rows are alternatives)."""

    name: str
    gloss: str
    rule: tuple[tuple[str, ...], ...]
    harm: str
    advice: str
    help: str
    words: tuple[str, ...]
    asks: tuple[str, ...]
    held_out: str


@dataclass(frozen=True)
class World:
    """world.yaml, checked."""

    objects: dict[str, Thing]
    settings: dict[str, Thing]
    intents: dict[str, Intent]
    harmless: tuple[Intent, ...]
    steps: dict[str, Any]
    answers: dict[str, list[str]]
    instructions: tuple[str, ...]

    def bears(self, name: str, intent: Intent) -> bool:
        """Whether an object or setting can be what makes the intent risky."""
        thing = self.objects.get(name) or self.settings[name]
        return any(term in thing.tags for row in intent.rule for term in row)


@dataclass(frozen=True)
class Draft:
    """What to draw and what is asked; the path follows once the drawing fixed the order of the objects."""

    objects: tuple[str, ...]
    setting: str | None  # None: a turn without an image
    intent: Intent
    query: str
    risky: bool


def stem(word: str) -> str:
    """Lower case, simple plurals stripped: knives → knife, glasses → glass, pills → pill."""
    word = word.lower()
    for ending, instead in (("sses", "ss"), ("ves", "fe"), ("ies", "y"), ("ches", "ch"), ("shes", "sh")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + instead
    return word.removesuffix("s") if len(word) > 3 and not word.endswith(("ss", "us")) else word


def stems(text: str) -> set[str]:
    """The stemmed words of a text."""
    return {stem(word) for word in re.findall(r"[A-Za-z]+", text)}


def _intent(name: str, raw: Mapping[str, Any]) -> Intent:
    fields = {key: tuple(raw[key]) for key in ("words", "asks")}
    rule = tuple(tuple(row) for row in raw["rule"])
    text = {key: str(raw[key]) for key in ("gloss", "harm", "advice", "help", "held_out")}
    return Intent(name=name, rule=rule, words=fields["words"], asks=fields["asks"], **text)


def load(path: Path = WORLD) -> World:
    """Read and check a world.

    Raises:
        WorldError: a rule names a tag that nothing carries.
    """
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    extra = raw["drawings"]
    objects = {
        name: Thing(
            name, noun, frozenset(tags), frozenset({stem(noun.split()[-1])}), (name, *extra.get(name, ()))
        )
        for name, (noun, *tags) in raw["objects"].items()
    }
    settings = {
        name: Thing(
            name,
            f"{'an' if name[0] in 'aeiou' else 'a'} {name}",
            frozenset(entry["tags"]),
            frozenset(map(stem, [name.split()[-1], *entry.get("also", ())])),
        )
        for name, entry in raw["settings"].items()
    }
    intents = {name: _intent(name, entry) for name, entry in raw["intents"].items()}
    tags = {tag for thing in (*objects.values(), *settings.values()) for tag in thing.tags}
    for intent in intents.values():
        unknown = {term for row in intent.rule for term in row} - tags
        if unknown:
            raise WorldError(
                f"{path}: intents.{intent.name}.rule: no object or setting has the tag {sorted(unknown)}"
            )
    harmless = tuple(
        Intent("harmless", gloss, (), "", "", help_, (), (ask,), ask) for ask, gloss, help_ in raw["harmless"]
    )
    return World(
        objects, settings, intents, harmless, raw["steps"], raw["answers"], tuple(raw["instructions"])
    )


def _beginnings(intent: Intent) -> tuple[str, ...]:
    """How a word of the intent begins in any inflection: juggl for juggle and juggling."""
    return tuple(word.removesuffix("e") if len(word) > 4 else word for word in intent.words)


def exclusions(items: Iterable[Mapping[str, Any]], world: World) -> list[Exclusion]:
    """Combinations that training must not show, since an item of the benchmark rests on them.

    A combination matches a risky item when the thing's head noun is a word of the item's `key_element` and a
    word of the item's `trigger_element` or `query` begins with one of the intent's `words`. Only things that
    can make the intent risky count. Errs towards excluding.
    """
    found = set()
    things = {**world.objects, **world.settings}
    for item in items:
        if item["kind"] != "risky":
            continue
        key = stems(item["key_element"])
        asked = re.findall(r"[a-z]+", f"{item['trigger_element']} {item['query']}".lower())
        intents = [i for i in world.intents.values() if any(w.startswith(_beginnings(i)) for w in asked)]
        found |= {
            (item["pair"], name, intent.name)
            for name, thing in things.items()
            for intent in intents
            if thing.heads & key and world.bears(name, intent)
        }
    return sorted(found)


def held_out_pair(first: str, second: str) -> bool:
    """One object pair in ten is never in the same training scene."""
    return zlib.crc32("|".join(sorted((first, second))).encode()) % 10 == 0


def evidence(world: World, intent: Intent, objects: Sequence[str], setting: str | None) -> tuple[str, ...]:
    """What makes the request risky, as definite nouns, the first in reading order; empty if nothing does."""
    seen = [world.settings[setting]] if setting else []
    seen += [world.objects[name] for name in objects]
    rows = []
    for row in intent.rule:
        places = [next((n for n, thing in enumerate(seen) if term in thing.tags), None) for term in row]
        if None not in places:
            rows.append(sorted({p for p in places if p is not None}))
    return tuple(seen[n].definite for n in min(rows)) if rows else ()


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
            for _ in range(MAX_SCENES):
                objects, setting = self._scene(wishes, rng)
                if self._allowed(objects, setting, wishes):
                    return [
                        Draft(tuple(objects), setting, i, self._query(i, rng), risky) for i, risky in wishes
                    ]
        raise WorldError(f"split {self.split}: found no scene for {count} requests")

    def blind(self, rng: Random) -> Draft:
        """A request without an image."""
        intent = self.world.intents[rng.choice(list(self.carriers))]
        return Draft((), None, intent, rng.choice(intent.asks), False)

    def _wish(self, rng: Random) -> tuple[Intent, bool]:
        """An intent and whether it is to be risky."""
        if rng.random() < 0.15 and self.split != "phrasing":
            return rng.choice(self.world.harmless), False
        return self.world.intents[rng.choice(list(self.carriers))], rng.random() < 0.5

    def _query(self, intent: Intent, rng: Random) -> str:
        return intent.held_out if self.split == "phrasing" else rng.choice(intent.asks)

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
        size = rng.choice((1, 2, 2, 3, 3, 4)) + (self.split == "pairs")
        while len(objects) < size:
            name = rng.choice(names)
            if name not in objects:
                objects.append(name)
        return objects, setting

    def _allowed(self, objects: Sequence[str], setting: str, wishes: Sequence[tuple[Intent, bool]]) -> bool:
        if len(objects) > MAX_OBJECTS:
            return False
        for intent, risky in wishes:
            if bool(evidence(self.world, intent, objects, setting)) != risky:
                return False
            # Not even in safe scenes: shown in these alone, an excluded combination would teach "safe".
            if any((name, intent.name) in self.excluded for name in (*objects, setting)):
                return False
        held = any(held_out_pair(a, b) for a, b in combinations(objects, 2))
        return held == (self.split == "pairs")
