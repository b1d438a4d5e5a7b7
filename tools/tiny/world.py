"""The closed world of `tiny`: loads world.yaml and says what holds in a scene.

Owns the hold-out rules: what training never shows (`held`), and the exclusions, the combinations of a thing
and an intent on which an item of the benchmark rests. Samples nothing (sampler.py).
"""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import yaml

Lever = Literal["objects", "phrasing", "setting"]  # what a hold-out makes new; see `held`
# `train` shows no held-out combination, another split those of its levers alone.
Split = Literal["train", "objects", "phrasing", "setting", "all"]
LEVERS: dict[Split, tuple[Lever, ...]] = {
    "train": (),
    "objects": ("objects",),
    "phrasing": ("phrasing",),
    "setting": ("setting",),
    "all": ("objects", "phrasing", "setting"),
}
Exclusion = tuple[str, str, str]  # pair of the item, object or setting, intent
WORLD = Path(__file__).with_name("world.yaml")


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
    held_out: tuple[str, ...]
    category: str = ""


@dataclass(frozen=True)
class World:
    """world.yaml, checked."""

    objects: dict[str, Thing]
    settings: dict[str, Thing]
    intents: dict[str, Intent]
    harmless: tuple[Intent, ...]
    steps: dict[str, Any]
    answers: dict[str, list[str]]
    detours: dict[str, dict[str, dict[str, Any]]]  # family → push or balk → wordings
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
    lists = {key: tuple(raw[key]) for key in ("words", "asks", "held_out")}
    rule = tuple(tuple(row) for row in raw["rule"])
    text = {key: str(raw[key]) for key in ("gloss", "harm", "advice", "help", "category")}
    return Intent(name=name, rule=rule, **lists, **text)


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
        Intent("harmless", gloss, (), "", "", help_, (), (ask,), (ask,))
        for ask, gloss, help_ in raw["harmless"]
    )
    ways = {key: raw[key] for key in ("steps", "answers", "detours")}
    return World(objects, settings, intents, harmless, **ways, instructions=tuple(raw["instructions"]))


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


def held_out_place(name: str, setting: str) -> bool:
    """One object in ten is never in this setting in a training scene."""
    return zlib.crc32(f"{name}@{setting}".encode()) % 10 == 0


def held(objects: Sequence[str], setting: str, intent: Intent, query: str) -> tuple[Lever, ...]:
    """What of a scene and its request training never showed."""
    found: list[Lever] = []
    if any(held_out_pair(a, b) for a, b in combinations(objects, 2)):
        found.append("objects")
    if intent.name != "harmless" and query in intent.held_out:
        found.append("phrasing")
    if any(held_out_place(name, setting) for name in objects):
        found.append("setting")
    return tuple(found)


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
