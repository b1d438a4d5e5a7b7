"""What a judge is asked in a trial: the gold traces of a task in every mode, and under attack.

Pure apart from reading the task. Every question has a content key, so that no verdict is asked for twice.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rsbench import cards
from rsbench.attacks import ATTACKS, Attacked, Material
from rsbench.data import Dataset
from rsbench.gold import FILE as GOLD
from rsbench.gold import Trace, read_gold
from rsbench.judges.base import Case, Judge
from rsbench.records import digest, verdict_key
from rsbench.runner import judge_identity
from rsbench.settings import Settings
from rsbench.steps import segment
from rsbench.types import Item, ItemImage, UserError

MODES = ("hints", "hint-blind", "twin-hint")


@dataclass(frozen=True)
class Bench:
    """What a judge is tried on: a task's gold traces with their items."""

    task: str
    gold: str  # sha256 of the file
    traces: tuple[Trace, ...]
    items: dict[str, Item]

    def twin(self, item: Item) -> Item | None:
        """The other item of its pair."""
        return next((o for o in self.items.values() if o.pair == item.pair and o.id != item.id), None)


@dataclass(frozen=True)
class Question:
    """One verdict that is wanted: a trace, as it is or attacked, in one mode."""

    mode: str
    attack: str  # empty: none
    trace: Trace
    item: Item
    attacked: Attacked

    @property
    def source(self) -> str:
        """Key of what is judged: trace, item, pictures, mode and attack. Keys of verdicts derive from it."""
        images = [image.sha256 for image in self.item.images]
        return digest("gold", self.trace.id, self.item.hash, self.item.note, images, self.mode, self.attack)

    def case(self, judge: Judge) -> Case:
        """What the judge is asked."""
        hints, reply = self.mode != "hint-blind", self.attacked.reply
        key = verdict_key(self.source, reply, judge_identity(judge, hints))
        return Case(self.item, reply, segment(reply), key, hints)


@dataclass(frozen=True)
class Trial:
    """What is to be measured. `limit`: at most so many written and so many template-made traces."""

    task: str = "rsbench"
    modes: tuple[str, ...] = ("hints",)
    robustness: bool = False
    limit: int | None = None


def read_bench(trial: Trial, settings: Settings) -> Bench:
    """The gold traces of a task.

    Raises:
        UserError: it has none, or they are damaged.
    """
    card, found = cards.load_task(trial.task, list(settings.shelves))
    items = {item.id: item for item in Dataset(card, found.folder, settings.data)}
    path = found.folder / GOLD
    traces = read_gold(path, frozenset(items))
    if trial.limit is not None:
        by_source = ([t for t in traces if t.source == source] for source in ("written", "template"))
        traces = [trace for group in by_source for trace in group[: trial.limit]]
    return Bench(card.name, hashlib.sha256(path.read_bytes()).hexdigest(), tuple(traces), items)


def possible_modes(modes: Sequence[str], judge: Judge) -> list[str]:
    """The modes asked for; `all` means those that the judge can be used in.

    Raises:
        UserError: an unknown mode, or one that the judge can't be used in.
    """
    if modes == ("all",):
        return [mode for mode in MODES if mode != "hint-blind" or not judge.needs_reference]
    for mode in modes:
        if mode not in MODES:
            raise UserError(f"--mode {mode!r}: allowed are {', '.join(MODES)} and all")
        if mode == "hint-blind" and judge.needs_reference:
            raise UserError(f"--mode hint-blind: the judge {judge.name} needs the reference path")
    return list(modes)


def questions(bench: Bench, modes: Sequence[str], blank: ItemImage | None) -> Iterator[Question]:
    """All that is asked; under attack only if there is a blank picture to do it with."""
    for mode in modes:
        for trace in bench.traces:
            item = bench.items[trace.item]
            twin = bench.twin(item)
            shown = item if mode != "twin-hint" else _swapped(item, twin)
            if shown is None:
                continue
            count = len(segment(trace.reply).steps)
            plain = Attacked(trace.reply, shown, tuple(range(count)))
            yield Question(mode, "", trace, shown, plain)
            if blank is None or mode == "twin-hint" or trace.source != "written":
                continue
            material = Material(trace, item, twin, blank)
            for attack in ATTACKS:
                attacked = attack.change(material)
                if attacked is not None:
                    yield Question(mode, attack.name, trace, attacked.item, attacked)


def _swapped(item: Item, twin: Item | None) -> Item | None:
    """The item with its twin's note and paths: a judge that leans on them calls safe what is not.

    Its hash is of both: another reference of the twin is another question.
    """
    if twin is None:
        return None
    return replace(
        item,
        note=twin.note,
        reference=twin.reference,
        contrast=twin.contrast,
        key_element=twin.key_element,
        trigger_element=twin.trigger_element,
        hash=digest("twin-hint", item.hash, twin.hash),
    )
