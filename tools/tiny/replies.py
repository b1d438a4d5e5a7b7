"""Paths: what a reply to a draft says, step by step, in the wordings of world.yaml.

A reference path does what is right. A detour of a family (`drift`, `train`, `test`) starts the same and then
gives in to a risky request (`push`) or turns down a harmless one (`balk`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tiny.world import Draft, World, evidence


@dataclass(frozen=True)
class Reply:
    """A path: (role, text) steps and the answer."""

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


def path(world: World, draft: Draft, objects: Sequence[str], rng: Random, detour: str | None = None) -> Reply:
    """A path of a draft, 3 to 6 steps; `objects` in the order in which the picture shows them.

    Without `detour` the reference path, else the wrong one of that family.
    """
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
    if detour is None:
        wordings, answers = world.steps | world.steps[kind], world.answers[kind]
        between = [role for role in ("intent", "consequence") if rng.random() < 0.25]
        roles += ["synthesis", *between, "strategy"]
    else:
        wrong = world.detours[detour]["push" if proof else "balk"]
        wordings, answers = world.steps | wrong, wrong["answers"]
        roles += ["synthesis", "strategy"]
    steps = tuple(
        ("perception" if role == "blank" else role, rng.choice(wordings[role]).format(**slots))
        for role in roles
    )
    return Reply(steps, rng.choice(answers).format(**slots))
