"""The comparison's numbers, from rows: values by seed and twin pair, and what they say of two methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from comparing.facts import Facts
from comparing.plan import Plan
from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.judges.lexicon import Reader, read_lexicon
from rsbench.metric_specs import METRICS
from rsbench.row_check import read_row
from rsbench.row_texts import read_texts
from rsbench.rows import Row
from rsbench.sheets import Sheet
from rsbench.shelves import find
from rsbench.steps import segment
from rsbench.two_way import TwoWay, two_way
from rsbench.types import Item, Outcome, Reply, UserError
from rsbench.units import Samples

SHOWN = ("safe_effective_path", "safe_answer", "effective_answer", "over_refusal")
NAMING = "naming"  # our general-ability control; not among the metrics of rsbench
OURS, PARENT, CONTROL = "srpo", "rpo", "srpo-shuffled"
HEADLINE = "safe_effective_path"
WORDS = {
    "safe_effective_path": "SafeEffectivePath ↑",
    "safe_answer": "S ↑",
    "effective_answer": "E ↑",
    "over_refusal": "over-refusal ↓",
    NAMING: "naming F1 ↑",
}
Values = Mapping[str, Mapping[str, float]]  # metric -> item -> value


@dataclass(frozen=True)
class Measured:
    """One row with its values by item, and what its model said."""

    row: Row
    outcomes: list[Outcome]
    values: Values
    texts: Mapping[str, Reply]


@dataclass
class Results:
    """Every method's rows by seed; the base's single row is under seed 0."""

    base: Measured
    methods: dict[str, dict[int, Measured]] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)


def read_results(plan: Plan, facts: Facts, rows: Path) -> Results:
    """All rows of the comparison, checked, and refused if they are not of the frozen task, judge and base.

    Raises:
        UserError: a row that is missing, edited, or was measured with another version of something.
    """
    card, found = load_task(plan.task)
    items = {item.id: item for item in Dataset(card, found.folder)}
    reader = Reader(read_lexicon(find("judges", plan.judge, []).folder / "lexicon.json"))

    def measured(name: str) -> Measured:
        found = read_row(rows / f"{name}.json")
        outcomes = found.outcomes()
        texts = {item: reply for (item, _), reply in read_texts(rows / f"{name}.transcripts.jsonl").items()}
        values = {key: values_of(outcomes, key) for key in SHOWN}
        return Measured(found.row, outcomes, {**values, NAMING: naming(texts, items, reader)}, texts)

    base = measured(f"{plan.base}-{plan.task}-test-{plan.judge}")
    results = Results(base, items=items)
    for line in facts.of("run"):
        one = measured(line["row"])
        check_frozen(base.row, one.row)
        results.methods.setdefault(line["recipe"], {})[line["seed"]] = one
    return results


def check_frozen(base: Row, other: Row) -> None:
    """Refuse a row that was not measured as the base was.

    Raises:
        UserError: another version of task, data, prompt, segmenter or judge, other sampling, or replies that
            another limit of their length has cut off.
    """
    for what in ("sha256", "data", "prompt_sha256", "condition", "segmenter"):
        if getattr(base.task, what) != getattr(other.task, what):
            raise UserError(f"{other.name}: task.{what} is not the base's; the comparison is of one version")
    if (base.judge.name, base.judge.identity) != (other.judge.name, other.judge.identity):
        raise UserError(f"{other.name}: judge is not the base's; the comparison is of one version")
    ours, theirs = ({**row.model.parameters} for row in (base, other))
    limits = ours.pop("max_tokens", None), theirs.pop("max_tokens", None)
    if ours != theirs:
        raise UserError(f"{other.name}: its replies were not sampled as the base's were")
    if limits[0] != limits[1] and (base.counts["truncated"] or other.counts["truncated"]):
        raise UserError(f"{other.name}: max_tokens is not the base's, and replies were cut off")


def values_of(outcomes: Sequence[Outcome], metric: str) -> dict[str, float]:
    """A metric's value of every item (or pair) that has one."""
    return Samples(Sheet.of(outcomes), "system").units(METRICS[metric]).by_id()


def naming(texts: Mapping[str, Reply], items: Mapping[str, Item], reader: Reader) -> dict[str, float]:
    """General ability: how well the first step of a harmless item names what is in the picture.

    F1 of the things named against the things there; 0 where the step names nothing that can be read.
    """
    found = {}
    for name, reply in texts.items():
        scene = items[name].scene
        if items[name].kind != "benign" or scene is None:
            continue
        cut = segment(reply)
        first = cut.steps[0].of(reply) if cut.steps else ""
        reading = reader.read(first.removeprefix("Step 1: ").strip(), "step")
        named = set(reading.objects or ()) if reading else set()
        both = len(named & set(scene.objects))
        found[name] = 2 * both / (len(named) + len(set(scene.objects))) if named else 0.0
    return found


def level(results: Results, method: str, metric: str) -> float:
    """Mean over seeds of the mean over items."""
    rows = [results.base] if method == "base" else results.methods[method].values()
    return float(np.mean([np.mean(list(one.values[metric].values())) for one in rows]))


def difference(results: Results, method: str, other: str, metric: str, seeds: Sequence[int]) -> TwoWay:
    """`method` − `other` by seed and twin pair, over the items of `common`.

    As the plan has it, every pair weighs the same, also one of which only one item is in `common`. The board
    (`rsbench.board_trained`) subtracts means over items, which is another number where such a pair is.
    """
    ours, theirs = (_by_seed(results, name, metric, seeds) for name in (method, other))
    return two_way(table(ours, theirs, lambda item: results.items[item].pair or item))


def common(results: Results, method: str, other: str, metric: str, seeds: Sequence[int]) -> list[str]:
    """The items that every row of both methods has a value for."""
    return _shared([one for name in (method, other) for one in _by_seed(results, name, metric, seeds)])


def _by_seed(results: Results, method: str, metric: str, seeds: Sequence[int]) -> list[Mapping[str, float]]:
    """Values by item, a seed after the other; the base's are the same each time."""
    rows = [results.base if method == "base" else results.methods[method][seed] for seed in seeds]
    return [one.values[metric] for one in rows]


def _shared(rows: Sequence[Mapping[str, float]]) -> list[str]:
    return sorted(set.intersection(*map(set, rows)))


def table(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], cluster: Callable[[str], str]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(seeds, pairs): the mean difference of a pair's items."""
    pairs: dict[str, list[str]] = {}
    for item in _shared([*ours, *theirs]):
        pairs.setdefault(cluster(item), []).append(item)
    return np.array(
        [
            [np.mean([a[item] - b[item] for item in members]) for members in pairs.values()]
            for a, b in zip(ours, theirs, strict=True)
        ]
    )


def first_breaks(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Replies by the role of their first unsafe step; `none` if no step is, `none shown` without steps."""
    found: dict[str, int] = {}
    for outcome in outcomes:
        unsafe = [step for step in outcome.steps if step.safety == "unsafe"]
        word = (unsafe[0].role or "unknown") if unsafe else "none" if outcome.steps else "none shown"
        found[word] = found.get(word, 0) + 1
    return found
