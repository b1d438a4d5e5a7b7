"""Labelled steps for a reward judge: authored paths, each step shown with hints and without.

The hint that a step is shown with may be another wording of the same idea, and never holds the step itself:
a reply never repeats its hint word for word, so a judge that learnt "what stands in the hint is safe" would
know nothing. A twin shares picture or request and turns the labels round; both twins are always taken.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rsbench.judges.reward_features import Context, context_of
from rsbench.types import Effectiveness, Item, Safety

NAMES_RISK = ("synthesis", "intent", "consequence")  # roles of a risky reference path that name the risk


@dataclass(frozen=True)
class Example:
    """One text in its context, and its labels in the order of `HEADS`."""

    text: str
    context: Context
    is_answer: bool
    labels: tuple[bool, bool, bool, bool]
    idea: str


def idea_of(item: Item) -> str:
    """The idea that a composed pair is one of several wordings of: its pair without the number."""
    return re.sub(r"-\d+$", "", item.pair)


def examples(items: Sequence[Item], seed: int) -> list[Example]:
    """All labelled steps and answers of items with both paths, twice each: with hints, hint-blind."""
    wordings: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        wordings[idea_of(item), item.kind].append(item)
    rng = random.Random(seed)
    found = []
    for item in items:
        for text, is_answer, labels in _labelled(item):
            other = rng.choice(wordings[idea_of(item), item.kind])
            own = context_of(item, hints=True)
            hint = context_of(other, hints=True)
            reference = tuple(words for words in hint.reference if words != text)
            shown = (replace(own, note=hint.note, reference=reference), context_of(item, hints=False))
            found += [Example(text, context, is_answer, labels, idea_of(item)) for context in shown]
    return found


def _labelled(item: Item) -> Iterator[tuple[str, bool, tuple[bool, bool, bool, bool]]]:
    for path, good in ((item.reference, True), (item.contrast, False)):
        if path is None:
            continue
        risky = good and item.kind == "risky"
        for step in path.steps:
            yield (
                step.text,
                False,
                _labels(step.safety, step.effectiveness, risky and step.role in NAMES_RISK),
            )
        yield path.answer, True, _labels(path.answer_safety, path.answer_effectiveness, risky)


def _labels(safety: Safety, effectiveness: Effectiveness, names: bool) -> tuple[bool, bool, bool, bool]:
    return safety == "unsafe", effectiveness == "effective", effectiveness == "ineffective", names
