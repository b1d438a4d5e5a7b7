"""The closed world's step format: which sentence says what, and what stands in its places.

A lexicon is data beside the judge's card, generated from the world. A text is read only if it is, whole, one
of the format's sentences with the world's own words in its places; any other text reads as None.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Strict, validated
from rsbench.types import Role, UserError

# see: names what is shown; blind: says that nothing is; read: says what is wanted; warn: finds a risk or
# declines for it; clear: finds none or helps; push: gives in knowingly; balk: turns down without a reason.
Stance = Literal["see", "blind", "read", "warn", "clear", "push", "balk"]
MAX_LENGTH = 1000  # characters; no sentence of the format comes near
_SLOT = re.compile(r"\{(\w+)\}")


class Thing(Strict):
    """An object or a setting."""

    noun: str  # with its article
    tags: list[str]


class Wish(Strict):
    """An intent: what is wanted, when that is risky (rows are alternatives), what follows and what helps."""

    gloss: str
    rule: list[list[str]]
    harm: str
    advice: str
    help: str


class Harmless(Strict):
    """A request that no scene makes risky."""

    gloss: str
    help: str


class Text(Strict):
    """One sentence of the format."""

    part: Literal["step", "answer"]
    role: Role | None
    stance: Stance
    text: str


class Lexicon(Strict):
    """`lexicon.json`."""

    schema_: Literal[1] = Field(alias="schema")
    objects: dict[str, Thing]
    settings: dict[str, Thing]
    intents: dict[str, Wish]
    harmless: list[Harmless]
    texts: list[Text]


_LEXICON: TypeAdapter[Lexicon] = TypeAdapter(Lexicon)


def read_lexicon(path: Path) -> Lexicon:
    """Read and check a lexicon.

    Raises:
        UserError: unreadable, or not a lexicon.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from error
    return validated(_LEXICON, data, str(path))


@dataclass(frozen=True)
class Reading:
    """What one text says. None: the sentence has no such place."""

    role: Role | None
    stance: Stance
    setting: str | None = None
    objects: tuple[str, ...] | None = None  # as listed, repetitions kept
    evidence: frozenset[str] | None = None
    gloss: frozenset[str] | None = None  # the intents it may stand for; empty for a harmless request's
    harm: frozenset[str] | None = None
    advice: frozenset[str] | None = None
    help: frozenset[str] | None = None


def definite(noun: str) -> str:
    """`a candle` → `the candle`."""
    return "the " + re.sub(r"^an? ", "", noun)


def _either(words: Iterable[str]) -> str:
    """A pattern for one of the words, the longest first: `a car` must not end inside `a carrot`."""
    return "(?:" + "|".join(map(re.escape, sorted(set(words), key=lambda w: (-len(w), w)))) + r")(?!\w)"


def _list(pattern: str) -> str:
    return f"{pattern}(?:(?:, {pattern})* and {pattern})?"


class Reader:
    """Reads single texts of the format."""

    def __init__(self, lexicon: Lexicon) -> None:
        """Make one pattern of every sentence."""
        things = {**lexicon.objects, **lexicon.settings}
        self._objects = {thing.noun: name for name, thing in lexicon.objects.items()}
        self._settings = {thing.noun: name for name, thing in lexicon.settings.items()}
        self._definite = {definite(thing.noun): name for name, thing in things.items()}
        self._noun, self._the = (re.compile(_either(m)) for m in (self._objects, self._definite))
        self._wishes = lexicon.intents
        objects, setting = _list(_either(self._objects)), _either(self._settings)
        loose = {"objects": f"(?:{objects}|things)", "setting": f"(?:{setting}|a place)"}
        helps = [wish.help for wish in lexicon.intents.values()] + [h.help for h in lexicon.harmless]
        known = lexicon.intents.values()
        places = {
            "objects": objects,
            "setting": setting,
            "evidence": _list(_either(self._definite)),
            "gloss": _either([*(w.gloss for w in known), *(h.gloss for h in lexicon.harmless)]),
            "harm": _either(w.harm for w in known),
            "advice": _either(w.advice for w in known),
            "help": "(?:" + "|".join(_fill(text, loose) for text in helps) + ")",
        }
        named = {key: f"(?P<{key}>{pattern})" for key, pattern in places.items()}
        self._texts = [(text, re.compile(_fill(text.text, named))) for text in lexicon.texts]

    def read(self, text: str, part: Literal["step", "answer"]) -> Reading | None:
        """What a text says; None if it is not a sentence of the format."""
        if len(text) > MAX_LENGTH:
            return None
        for known, pattern in self._texts:
            match = pattern.fullmatch(text) if known.part == part else None
            if match:
                return self._reading(known, match.groupdict())
        return None

    def _reading(self, text: Text, slots: Mapping[str, str]) -> Reading:
        listed, proof = (
            tuple(names[n] for n in pattern.findall(slots[key])) if key in slots else None
            for key, pattern, names in (
                ("objects", self._noun, self._objects),
                ("evidence", self._the, self._definite),
            )
        )
        words = {key: slots[key] for key in ("gloss", "harm", "advice", "help") if key in slots}
        return Reading(
            text.role,
            text.stance,
            setting=self._settings.get(slots.get("setting", "")),
            objects=listed,
            evidence=None if proof is None else frozenset(proof),
            **{
                key: frozenset(n for n, w in self._wishes.items() if getattr(w, key) == said)
                for key, said in words.items()
            },
        )


def _fill(text: str, patterns: Mapping[str, str]) -> str:
    """A sentence as a pattern: its places replaced, the rest literal."""
    parts = _SLOT.split(text)
    return "".join(patterns[p] if n % 2 else re.escape(p) for n, p in enumerate(parts))
