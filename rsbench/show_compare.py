"""Comparisons in the terminal: two runs measured alike, or one model under several conditions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rsbench import compare, score
from rsbench.conditions import WITHHELD
from rsbench.gap import Gap, cross_modal
from rsbench.metric_specs import METRICS
from rsbench.row_texts import chain_visibility
from rsbench.store import RunFolder
from rsbench.terminal import interval, number, out, plain
from rsbench.types import Outcome, UserError


def show_comparison(paths: Sequence[Path], judge: str | None) -> None:
    """Print the paired comparison of two runs, or the cross-modal gap of two or three.

    Raises:
        UserError: the runs were not measured alike.
    """
    runs = [RunFolder(path) for path in paths]
    judges = [score.pick_judge(run.manifest(), judge) for run in runs]
    scores = [score.compute(*side) for side in zip(runs, judges, strict=True)]
    metas = [found["meta"] for found in scores]
    conditions = [meta["condition"] for meta in metas]
    across = len(set(conditions)) > 1 and WITHHELD & set(conditions)
    alike = [
        {**meta, "chain": compare.chain_shown(chain_visibility(run))}
        | ({"condition": "any"} if across else {})
        for meta, run in zip(metas, runs, strict=True)
    ]
    for other in alike[1:]:
        compare.check_comparable(alike[0], other)
    _check_same_items(runs)
    if across:
        _check_conditions(metas)
    elif len(paths) != 2:
        raise UserError("three runs are compared only as the conditions both, text and image of one model")
    outcomes = [list(score.outcomes(*side)) for side in zip(runs, judges, strict=True)]
    _say_what_differs(scores)
    for path, found in zip(paths, scores, strict=True):
        if not found["complete"]:
            lost = f"{found['mendable_share']:.1%} of its samples ended as error, unparsed or missing"
            _line(out(), f"\nINCOMPLETE: {path}: {lost}, and are paired with nothing.")
    if across:
        _show_gap(cross_modal(dict(zip(conditions, outcomes, strict=True))), metas[0]["model"]["name"])
    else:
        names = [f"{path} ({meta['model']['name']})" for path, meta in zip(paths, metas, strict=True)]
        _show_pair(names, outcomes[0], outcomes[1])


def _say_what_differs(scores: Sequence[dict[str, Any]]) -> None:
    """A model is measured as it was run; if one was allowed longer replies, the reader has to know."""
    metas, counts = [found["meta"] for found in scores], [found["counts"] for found in scores]
    settings = [
        compare.settings(meta["model"], meta["parameters"], count["planned"] / count["items"])
        for meta, count in zip(metas, counts, strict=True)
    ]
    found = [f"{name} {' and '.join(own)}" for name, own in compare.differing(settings).items()]
    if found:
        said = f"These runs were made with different settings: {'; '.join(found)}."
        _line(out(), f"\n{said} What differs below may come from that.")


def _check_conditions(metas: Sequence[dict[str, Any]]) -> None:
    """One model and one run a condition, `both` among them.

    Raises:
        UserError: what is missing or given twice.
    """
    conditions = [meta["condition"] for meta in metas]
    if (
        len(set(conditions)) < len(conditions)
        or "both" not in conditions
        or set(conditions) - {"both"} - WITHHELD
    ):
        raise UserError(
            "the cross-modal gap needs one run with the condition both, and one with text or image or one of "
            f"each; found {', '.join(conditions)}"
        )
    models = {str(meta["model"]) + str(meta["parameters"]) for meta in metas}
    if len(models) > 1:
        names = ", ".join(str(meta["model"]["name"]) for meta in metas)
        raise UserError(f"the cross-modal gap is one model's, with the same parameters; found {names}")


def _show_pair(names: Sequence[str], a: Sequence[Outcome], b: Sequence[Outcome]) -> None:
    console = out()
    console.print(plain(f"\na = {names[0]}, b = {names[1]}, paired by item"), markup=False)
    table = _table("metric", "", "a", "b", "b − a", "95 % interval", "p", "p (Holm)", "n", "pairs")
    for row in compare.compare_outcomes(a, b):
        share = row.metric != "steps_per_path"
        table.add_row(
            METRICS[row.metric].name,
            "↑" if row.direction == "higher" else "↓",
            number(row.a, share),
            number(row.b, share),
            number(row.difference, share),
            interval(row.low, row.high, share),
            _p(row.p),
            _p(row.p_holm),
            str(row.n),
            str(row.clusters),
        )
    console.print(table)
    console.print("Holm corrects p for the number of rows. Differences with Holm p above 0.05 are ties.")


def _show_gap(gap: Gap, model: str) -> None:
    console = out()
    console.print(
        f"\nCross-modal gap of {model}: S on risky items, shown whole and in halves; paired by item, "
        f"{gap.n} of {gap.planned} items have a value in every run",
        markup=False,
    )
    table = _table("shown", "S", "95 % interval", "both − alone", "95 % interval", "p", "p (Holm)")
    whole = gap.together
    table.add_row("both", number(whole.value, True), interval(whole.low, whole.high, True))
    for drop in gap.drops:
        table.add_row(
            f"{drop.condition} alone",
            number(drop.alone.value, True),
            interval(drop.alone.low, drop.alone.high, True),
            number(drop.difference, True),
            interval(drop.low, drop.high, True),
            _p(drop.p),
            _p(drop.p_holm),
        )
    console.print(table)
    broken = gap.only_together
    alone = " and ".join(f"{drop.condition} alone" for drop in gap.drops)
    _line(
        console,
        f"Only the combination breaks {number(broken.value, True)} of them "
        f"({interval(broken.low, broken.high, True)}): unsafe answer to both, safe to {alone}.",
    )
    _line(console, "All runs are judged hint-blind, by what the model was shown. docs/metrics.md says more.")


def _line(console: Console, text: str) -> None:
    console.print(plain(text), markup=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("metric", "", "shown") else "right")
    return table


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _check_same_items(runs: Sequence[RunFolder]) -> None:
    """Items are paired by id, so what bears one id must be one item, image bytes included."""
    hashes: dict[str, str] = {}
    changed = set()
    for run in runs:
        for row in run.plan():
            if hashes.setdefault(row["item"], row["item_hash"]) != row["item_hash"]:
                changed.add(row["item"])
    if changed:
        raise UserError(
            f"these runs can't be compared: {len(changed)} items were changed between them, the first is "
            f"{min(changed)!r}. Run one of them again."
        )
