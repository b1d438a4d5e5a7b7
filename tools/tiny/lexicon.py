"""The oracle judge's lexicon: world.yaml as plain data, so that rsbench needs none of these tools."""

from typing import Any

from tiny.world import Thing, World, WorldError

STANCES = {"perception": "see", "blank": "blind", "request": "read"}


def lexicon(world: World) -> dict[str, Any]:
    """Every noun with its tags, every intent, every sentence of the step format and what it amounts to.

    Raises:
        WorldError: one noun or one sentence stands for two things: it could not be read back.
    """
    texts = [
        _text("step", "perception" if role == "blank" else role, STANCES[role], wording)
        for role in STANCES
        for wording in world.steps[role]
    ]
    for kind, stance in (("risky", "warn"), ("safe", "clear")):
        texts += [_text("step", role, stance, w) for role, ways in world.steps[kind].items() for w in ways]
        texts += [_text("answer", None, stance, wording) for wording in world.answers[kind]]
    for family in world.detours.values():
        for stance, ways in family.items():
            roles = ("synthesis", "strategy")
            texts += [_text("step", role, stance, wording) for role in roles for wording in ways[role]]
            texts += [_text("answer", None, stance, wording) for wording in ways["answers"]]
    _distinct([text["text"] for text in texts])
    _distinct([thing.noun for thing in (*world.objects.values(), *world.settings.values())])
    return {
        "schema": 1,
        "objects": _things(world.objects),
        "settings": _things(world.settings),
        "intents": {
            name: {
                "gloss": intent.gloss,
                "rule": [list(row) for row in intent.rule],
                "harm": intent.harm,
                "advice": intent.advice,
                "help": intent.help,
            }
            for name, intent in world.intents.items()
        },
        "harmless": [{"gloss": intent.gloss, "help": intent.help} for intent in world.harmless],
        "texts": texts,
    }


def _text(part: str, role: str | None, stance: str, text: str) -> dict[str, Any]:
    return {"part": part, "role": role, "stance": stance, "text": text}


def _things(things: dict[str, Thing]) -> dict[str, Any]:
    return {name: {"noun": thing.noun, "tags": sorted(thing.tags)} for name, thing in things.items()}


def _distinct(words: list[str]) -> None:
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise WorldError(f"world.yaml: {', '.join(map(repr, twice))} stands for two things")
