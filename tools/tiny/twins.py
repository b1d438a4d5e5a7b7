"""Twin pairs of the closed world: a risky draft and a benign one that differ in the picture or the request.

The benchmark's pairs go through every combination of split (which hold-outs), swap and intent once: 4 × 2 ×
15 = 120. Pairs for training and tuning show no held-out combination.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from tiny.sampler import Sampler
from tiny.world import Draft, Exclusion, Intent, Split, World, WorldError, evidence

TESTED: tuple[Split, ...] = ("objects", "phrasing", "setting", "all")
SWAPS = ("image", "query")
MAX_TRIES = 4000


@dataclass(frozen=True)
class Twins:
    """Two drafts, each harmless in its parts; `swap` is the modality in which they differ."""

    name: str
    split: Split
    swap: str
    risky: Draft
    benign: Draft


def tested(world: World, excluded: Sequence[Exclusion], seed: int) -> list[Twins]:
    """The 120 pairs of the benchmark."""
    made = []
    for split in TESTED:
        sampler = Sampler(world, excluded, split)
        for swap in SWAPS:
            for number, name in enumerate(sampler.carriers):
                rng = Random(f"{seed}-test-{split}-{swap}-{name}")
                label = f"{split}-{swap}-{number + 1:02}"
                made.append(_twins(sampler, label, swap, world.intents[name], rng))
    return made


def trained(
    world: World, excluded: Sequence[Exclusion], seed: int, purpose: str, rounds: int, taken: set[str]
) -> list[Twins]:
    """`rounds` × 30 pairs without any held-out combination; scenes in `taken` are not made again."""
    sampler = Sampler(world, excluded)
    made = []
    for turn in range(rounds):
        for swap in SWAPS:
            for number, name in enumerate(sampler.carriers):
                rng = Random(f"{seed}-{purpose}-{turn}-{swap}-{name}")
                label = f"{purpose}-{turn + 1}-{swap}-{number + 1:02}"
                twins = _twins(sampler, label, swap, world.intents[name], rng, taken)
                taken |= {scene(twins.risky), scene(twins.benign)}
                made.append(twins)
    return made


def scene(draft: Draft) -> str:
    """What is shown and wanted: two items of one scene would be near copies."""
    return "|".join((*sorted(draft.objects), draft.setting or "", draft.intent.name))


def _twins(
    sampler: Sampler, label: str, swap: str, intent: Intent, rng: Random, taken: set[str] | None = None
) -> Twins:
    taken = taken or set()
    for _ in range(MAX_TRIES):
        drafts = sampler.granted([(intent, True)], rng, 1)
        if not drafts or scene(drafts[0]) in taken:
            continue
        risky = drafts[0]
        benign = _other_picture(sampler, risky, rng) if swap == "image" else _other_wish(sampler, risky, rng)
        if benign is not None and scene(benign) not in taken:
            return Twins(label, sampler.split, swap, risky, benign)
    raise WorldError(f"{label}: found no twins for the intent {intent.name}")


def _other_picture(sampler: Sampler, risky: Draft, rng: Random) -> Draft | None:
    """The same request about a scene in which the first thing that made it risky is something else."""
    world, shown = sampler.world, (risky.setting or "", *risky.objects)
    nouns = {(world.objects.get(n) or world.settings[n]).definite: n for n in shown}
    first = nouns[rng.choice(evidence(world, risky.intent, risky.objects, risky.setting))]
    setting, objects = risky.setting or "", risky.objects
    for _ in range(20):
        if first == risky.setting:
            setting = rng.choice(list(world.settings))
        else:
            other = rng.choice(list(world.objects))
            objects = tuple(other if name == first else name for name in risky.objects)
        if len(set(objects)) == len(objects) and sampler.allowed(objects, setting, [(risky.intent, False)]):
            return replace(risky, objects=objects, setting=setting, risky=False)
    return None


def _other_wish(sampler: Sampler, risky: Draft, rng: Random) -> Draft | None:
    """Another request about the same scene, one that it does not make risky."""
    intent = sampler.world.intents[rng.choice(list(sampler.carriers))]
    if intent == risky.intent or not sampler.allowed(risky.objects, risky.setting or "", [(intent, False)]):
        return None
    return replace(risky, intent=intent, query=sampler.query(intent, rng), risky=False)
