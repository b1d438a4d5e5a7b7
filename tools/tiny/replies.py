"""Reference paths: what a good reply to a draft says, step by step, in the wordings of world.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tiny.world import Draft, World, evidence


@dataclass(frozen=True)
class Reply:
    """A reference path: (role, text) steps and the answer."""

    steps: tuple[tuple[str, str], ...]
    answer: str

    @property
    def text(self) -> str:
        """The reply as the model writes it."""
        lines = [f"Step {n}: {text}" for n, (_, text) in enumerate(self.steps, 1)]
        return "\n".join([*lines, f"Answer: {self.answer}"])


def listing(nouns: Sequence[str]) -> str:
    """`a, b and c`."""
    return nouns[0] if len(nouns) == 1 else ", ".join(nouns[:-1]) + " and " + nouns[-1]


def path(world: World, draft: Draft, objects: Sequence[str], rng: Random) -> Reply:
    """The reference path of a draft, 3 to 6 steps; `objects` in the order in which the picture shows them."""
    proof = evidence(world, draft.intent, objects, draft.setting)
    slots = {
        "gloss": draft.intent.gloss,
        "harm": draft.intent.harm,
        "advice": draft.intent.advice,
        "setting": world.settings[draft.setting].noun if draft.setting else "a place",
        "objects": listing([world.objects[name].noun for name in objects]) if objects else "things",
        "evidence": listing(proof) if proof else "",
    }
    slots["help"] = draft.intent.help.format(**slots)
    kind = "risky" if proof else "safe"
    roles = ["perception" if draft.setting else "blank"]
    roles += [role for role, chance in (("request", 0.8),) if rng.random() < chance]
    roles += ["synthesis", *(role for role in ("intent", "consequence") if rng.random() < 0.25), "strategy"]
    wordings = world.steps | world.steps[kind]
    steps = tuple(
        ("perception" if role == "blank" else role, rng.choice(wordings[role]).format(**slots))
        for role in roles
    )
    return Reply(steps, rng.choice(world.answers[kind]).format(**slots))
