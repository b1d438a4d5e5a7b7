"""Can risky and benign items be told apart by one modality alone? Cross-validated probes over twin pairs.

    python tools/probes.py --task tasks/rsbench --out probes.json

Pairs that swap the probed modality and all pairs pooled are reported apart: twins that share a query pull
a query probe towards 0.5. Exits with 1 if an AUC is over the goal; a probe that can't run here says so and
counts neither way. Owns the report; features and statistics are in `probing`.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

# Run as a script, this folder is on the path, and rsbench, which is one folder up, may not be installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from probing import crossval, features
from probing.crossval import Floats
from probing.features import Features, NotRun, Probe

from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.stats import Interval
from rsbench.types import Item, UserError

TINY = Path(__file__).resolve().parents[1] / "rsbench" / "models" / "tiny"
GOAL = 0.60
LISTED = 12  # features and pairs named as what drives a probe
Direction = Literal["query-swapped", "image-swapped", "pooled"]


@dataclass(frozen=True)
class Twins:
    """The two items of one pair."""

    risky: Item
    benign: Item


@dataclass(frozen=True)
class Row:
    """One probe in one direction. A probe that did not run has a reason and no numbers: it passed nothing."""

    probe: str
    modality: str
    direction: Direction
    pairs: int
    not_run: str | None = None
    auc: float | None = None
    auc_interval: Interval | None = None
    paired_accuracy: float | None = None
    paired_interval: Interval | None = None
    within_goal: bool | None = None
    # Log-odds a standard deviation of the feature adds, over all pairs; > 0 speaks for risky.
    top_features: tuple[tuple[str, float], ...] = ()
    # Out-of-fold log-odds, risky minus benign twin: the pairs that the probe tells apart best.
    top_pairs: tuple[tuple[str, float], ...] = ()


def load_twins(task: Path) -> list[Twins]:
    """The pairs of all splits of a task, by name.

    Raises:
        UserError: a bad card or item, or items that don't come in image- or query-swapped pairs.
    """
    card, place = load_task(str(task.resolve()))
    if not card.pairs:
        raise UserError(f"{place.path}: probes compare twins, and this task has no pairs (pairs: true)")
    kinds: dict[str, dict[str, Item]] = {}
    for item in (
        item for split in card.splits or [None] for item in Dataset(card, place.folder, split=split)
    ):
        if item.swap is None:
            raise UserError(f"{item.id}: no `swap`; a probe needs to know which modality the twins differ in")
        kinds.setdefault(item.pair, {})[item.kind] = item
    return [Twins(kinds[pair]["risky"], kinds[pair]["benign"]) for pair in sorted(kinds)]


def one_per_idea(twins: Sequence[Twins]) -> list[Twins]:
    """The first of the pairs whose names differ in a final `-NUMBER` alone.

    Composed pairs of one idea share wordings: left together, a probe would be tested on its training.
    """
    ideas = {re.sub(r"-\d+$", "", one.risky.pair): one for one in reversed(twins)}
    return [ideas[name] for name in sorted(ideas)]


def evaluate(probe: Probe, twins: Sequence[Twins], seed: int) -> list[Row]:
    """Run one probe on the pairs that swap its modality, and on all pairs pooled."""
    swapped = np.array([t.risky.swap == probe.modality for t in twins])
    directions: list[tuple[Direction, Any]] = [
        ("query-swapped" if probe.modality == "query" else "image-swapped", swapped),
        ("pooled", np.ones(len(twins), dtype=bool)),
    ]
    try:
        seen = probe.extract([item for t in twins for item in (t.risky, t.benign)])
    except NotRun as error:
        return [Row(probe.name, probe.modality, d, int(mask.sum()), str(error)) for d, mask in directions]
    rows = []
    x = seen.rows.reshape(len(twins), 2, -1)
    for direction, mask in directions:
        if mask.sum() < crossval.FOLDS:
            reason = f"too few pairs for {crossval.FOLDS} folds"
            rows.append(Row(probe.name, probe.modality, direction, int(mask.sum()), reason))
            continue
        names = [t.risky.pair for t, taken in zip(twins, mask, strict=True) if taken]
        rows.append(_row(probe, direction, x[mask], seen, names, seed))
    return rows


def _row(
    probe: Probe, direction: Direction, x: Floats, seen: Features, pairs: Sequence[str], seed: int
) -> Row:
    scores = crossval.out_of_fold(x, probe.standardise, seed)
    value = crossval.auc(scores)
    share, paired = crossval.paired_accuracy(scores)
    weights = crossval.fit(x, probe.standardise).weights * x.reshape(-1, x.shape[-1]).std(axis=0)
    return Row(
        probe.name,
        probe.modality,
        direction,
        len(pairs),
        auc=value,
        auc_interval=crossval.auc_interval(scores, seed),
        paired_accuracy=share,
        paired_interval=paired,
        within_goal=value <= GOAL,
        top_features=_largest(seen.names, np.abs(weights), weights) if seen.names else (),
        top_pairs=_largest(pairs, scores[:, 0] - scores[:, 1], scores[:, 0] - scores[:, 1]),
    )


def _largest(names: Sequence[str], order: Floats, values: Floats) -> tuple[tuple[str, float], ...]:
    return tuple((names[i], round(float(values[i]), 4)) for i in np.argsort(-order, kind="stable")[:LISTED])


def table(rows: Sequence[Row]) -> str:
    """The report as text; what drives a probe is shown for those over the goal."""
    lines = [
        f"{'probe':<20}{'pairs':<15}{'n':>4}  {'AUC [95 %]':<21}{'paired accuracy':<24}goal <= {GOAL:.2f}"
    ]
    for row in rows:
        head = f"{row.probe:<20}{row.direction:<15}{row.pairs:>4}  "
        if row.not_run is not None:
            lines.append(f"{head}not run: {row.not_run}")
            continue
        first, second = _figure(row.auc, row.auc_interval), _figure(row.paired_accuracy, row.paired_interval)
        lines.append(f"{head}{first:<21}{second:<24}{'within' if row.within_goal else 'OVER'}")
        if not row.within_goal:
            lines += [f"    {what}: {value:+.3f}" for what, value in (*row.top_features, *row.top_pairs)]
    ran = [row for row in rows if row.not_run is None]
    within = sum(bool(row.within_goal) for row in ran)
    lines.append(f"{within} of {len(ran)} within the goal; {len(rows) - len(ran)} not run")
    return "\n".join(lines) + "\n"


def _figure(value: float | None, interval: Interval | None) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]" if interval is not None else ""


def report(items: Sequence[Item], rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Everything needed to quote the numbers, and to tell which items they were measured on."""
    digest = hashlib.sha256("".join(sorted(item.hash for item in items)).encode()).hexdigest()
    method = {
        "folds": crossval.FOLDS,
        "repeats": crossval.REPEATS,
        "bootstrap_draws": crossval.DRAWS,
        "regularisation_c": crossval.C,
        "seed": seed,
        "goal": GOAL,
    }
    return {
        "items": len(items),
        "items_sha256": digest,
        "method": method,
        "rows": [asdict(row) for row in rows],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--task", type=Path, required=True, help="folder of the task")
    parser.add_argument("--out", type=Path, help="also write the report as JSON")
    parser.add_argument("--model", type=Path, default=TINY, help="folder whose vision encoder is used")
    parser.add_argument("--seed", type=int, default=0, help="of folds and bootstrap")
    args = parser.parse_args(arguments)
    try:
        twins = one_per_idea(load_twins(args.task))
        rows = [row for probe in features.probes(args.model) for row in evaluate(probe, twins, args.seed)]
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(table(rows))
    if args.out is not None:
        items = [item for t in twins for item in (t.risky, t.benign)]
        args.out.write_text(json.dumps(report(items, rows, args.seed), indent=1) + "\n", encoding="utf-8")
    return int(any(row.within_goal is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
