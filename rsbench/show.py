"""What a user sees in the terminal: progress while a run goes, tables when it is done, one item step by step.

Results go to stdout, progress and warnings to stderr. Model text is printed as plain text: control characters
out, markup off, so that a reply can't draw on the terminal.
"""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rsbench import compare, score, session
from rsbench.metric_specs import METRICS
from rsbench.runner import Tally
from rsbench.store import RunFolder
from rsbench.types import OutcomeStatus, UserError

_HEADLINES = (
    "safe_effective_path",
    "path_safe",
    "path_effective",
    "safe_answer",
    "effective_answer",
    "safe_effective_answer",
    "step_safe",
    "step_effective",
    "risk_identified",
    "over_refusal",
    "twin_accuracy",
    "unsafe_chain_safe_answer",
    "safe_chain_unsafe_answer",
    "steps_per_path",
)


def out() -> Console:
    """Console for results."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def err() -> Console:
    """Console for progress and warnings."""
    return Console(stderr=True, highlight=False)


class Watch(AbstractContextManager["Watch"]):
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._console = err()
        self._bar: Progress | None = None
        self._task: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> "Watch":
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console)
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=None, note="")
        else:
            self._console.print(f"{self._label} …", markup=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, tally: Tally, planned: int) -> None:
        """Show where the run stands."""
        trouble = ", ".join(f"{n} {s}" for s, n in sorted(tally.statuses.items()) if s != "ok")
        note = trouble + (f" · {tally.retries} retries ({tally.note})" if tally.retries else "")
        if self._bar is not None:
            self._bar.update(self._task, total=planned, completed=tally.done, note=plain(note)[:120])
        elif time.monotonic() - self._last > 5 or tally.done == planned:
            self._last = time.monotonic()
            self._console.print(f"{self._label}: {tally.done}/{planned} {note}", markup=False)


def run_and_show(settings: session.Settings, place: Path) -> bool:
    """Run, then print the table; returns whether the run is complete. ^C says how to go on."""
    settings = replace(settings, out=place)
    label = f"{settings.model} on {settings.task}"
    return _watched(label, place, lambda watch, warn: session.run(settings, watch, warn))


def judge_and_show(settings: session.Settings, folder: Path) -> bool:
    """Judge again, then print the table."""
    label = f"judging {folder}"
    return _watched(label, folder, lambda watch, warn: session.judge_again(folder, settings, watch, warn))


Warn = Callable[[str], None]


def _watched(label: str, place: Path, work: Callable[[Watch, Warn], dict[str, Any]]) -> bool:
    def warn(message: str) -> None:
        err().print(f"warning: {message}", markup=False)

    try:
        with Watch(label) as watch:
            result = work(watch, warn)
    except KeyboardInterrupt:
        err().print(f"\nStopped; everything finished is in {place}. To go on:\n  {_command()}", markup=False)
        sys.exit(3)
    show_scores(result, place)
    if not result["complete"]:
        lost = f"{result['mendable_share']:.1%} of the samples ended as error, unparsed or missing"
        err().print(f"INCOMPLETE: {lost}. To go on:\n  {_command()}", markup=False)
    return bool(result["complete"])


def _command() -> str:
    import shlex

    return shlex.join(["rsbench", *sys.argv[1:]])


def show_scores(result: dict[str, Any], place: Path) -> None:
    """The table of one run's numbers."""
    console, meta = out(), result["meta"]
    title = f"{meta['model']['name']} on {meta['task']['name']} {meta['task']['version']}"
    console.print(
        f"\n{title} · judge {meta['judge']['name']} · prompt {meta['prompt']['variant']}", markup=False
    )
    if meta["mock"]:
        console.print("MOCK: scripted model or judge. Not a measurement.", style="bold")
    table = Table(box=None, pad_edge=False)
    for name, justify in (("metric", "left"), ("", "left"), ("value", "right"), ("95 % interval", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type] # the two words are rich's own
    table.add_column("n", justify="right")
    table.add_column("scored", justify="right")
    table.add_column("bounds", justify="right")
    for key in _HEADLINES:
        _row(table, key, result["estimands"]["system"].get(key))
    console.print(table)
    _footer(console, result, place)


def _row(table: Table, key: str, estimate: dict[str, Any] | None) -> None:
    spec = METRICS[key]
    if estimate is None:
        return
    share = key != "steps_per_path"
    arrow = {"higher": "↑", "lower": "↓"}.get(spec.direction, "")
    table.add_row(
        Text(spec.name, style="bold" if key == _HEADLINES[0] else ""),
        arrow,
        number(estimate["value"], share),
        interval(estimate["low"], estimate["high"], share),
        str(estimate["n"]),
        number(estimate["scored_share"], True),
        interval(estimate["bound_low"], estimate["bound_high"], share),
    )


def number(value: float | None, share: bool) -> str:
    """A share in percent, any other number as it is; a dash for what is undefined."""
    if value is None:
        return "–"
    return f"{value:.1%}" if share else f"{value:.2f}"


def interval(low: float | None, high: float | None, share: bool) -> str:
    """Two ends, or a dash."""
    return "–" if low is None or high is None else f"{number(low, share)} to {number(high, share)}"


def _footer(console: Console, result: dict[str, Any], place: Path) -> None:
    counts = result["counts"]
    statuses = ", ".join(f"{counts[s]} {s}" for s in get_args(OutcomeStatus) if counts.get(s))
    lines = [
        f"{counts['items']} items in {counts['pairs']} pairs; samples: {statuses}",
        "↑ higher is better, ↓ lower is better. bounds: the value if all unscored items were worst or best.",
        "Estimand 'system': what a user of the deployed system meets. docs/metrics.md explains every number.",
        validation_line(result),
        f"Run folder: {place}",
    ]
    console.print()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def validation_line(result: dict[str, Any]) -> str:
    """How far the judge can be trusted, in one sentence."""
    measured, name = result["judge_validation"], result["meta"]["judge"]["name"]
    if measured is None:
        return f"Judge {name} is UNVALIDATED as used here: nobody has measured its agreement with labels."
    safety = measured["labels"]["safety"]
    return (
        f"Judge {name}: agreement with labels on {measured['steps']} steps of {measured['traces']} traces it was "
        f"not made from: kappa {safety['kappa']:.2f} (95 % interval {safety['kappa_low']:.2f} to "
        f"{safety['kappa_high']:.2f}) for step safety; labelled by {measured['annotators']}."
    )


def show_run(folder: Path, judge: str | None) -> None:
    """Print the stored scores of a run, computing them if they are not there."""
    with RunFolder(folder) as run:
        result = score.score(run, judge)
    show_scores(result, folder)


def show_comparison(path_a: Path, path_b: Path, judge: str | None) -> None:
    """Print the paired comparison of two runs.

    Raises:
        UserError: the runs were not measured alike.
    """
    sides = []
    for path in (path_a, path_b):
        with RunFolder(path) as run:
            name = score.pick_judge(run.manifest(), judge)
            sides.append((score.score(run, name), list(score.outcomes(run, name))))
    (scores_a, outcomes_a), (scores_b, outcomes_b) = sides
    compare.check_comparable(scores_a["meta"], scores_b["meta"])
    console = out()
    names = [s["meta"]["model"]["name"] for s in (scores_a, scores_b)]
    console.print(f"\na = {path_a} ({names[0]}), b = {path_b} ({names[1]}), paired by item", markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("metric", "", "a", "b", "b − a", "95 % interval", "p", "p (Holm)", "n", "pairs"):
        table.add_column(column, justify="left" if column in ("metric", "") else "right")
    for row in compare.compare_outcomes(outcomes_a, outcomes_b):
        share = row.metric != "steps_per_path"
        table.add_row(
            METRICS[row.metric].name,
            "↑" if row.direction == "higher" else "↓",
            number(row.a, share),
            number(row.b, share),
            number(row.difference, share),
            interval(row.low, row.high, share),
            "–" if row.p is None else f"{row.p:.3g}",
            "–" if row.p_holm is None else f"{row.p_holm:.3g}",
            str(row.n),
            str(row.clusters),
        )
    console.print(table)
    console.print("Holm corrects p for the number of rows. Differences with Holm p above 0.05 are ties.")


def plain(text: str) -> str:
    """Text without control characters and direction overrides: what a terminal may print."""
    bidi = {chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    return "".join(c for c in text if (c.isprintable() or c in "\n\t") and c not in bidi)


def show_item(folder: Path, item_id: str, judge: str | None) -> None:
    """Print one item's replies, cut into steps, with the judge's labels.

    Raises:
        UserError: no such item in the run.
    """
    from rsbench.records import read_reply, read_verdict, verdict_key
    from rsbench.steps import segment
    from rsbench.types import FINAL_REPLY, FINAL_VERDICT

    console, run = out(), RunFolder(folder)
    manifest = run.manifest()
    identity = manifest["judges"][score.pick_judge(manifest, judge)]["identity"]
    replies = run.replies(FINAL_REPLY).open(writable=False)
    verdicts = run.verdicts(FINAL_VERDICT).open(writable=False)
    planned = [row for row in run.plan() if row["item"] == item_id]
    if not planned:
        raise UserError(f"{folder} has no item {item_id!r}")
    for row in planned:
        console.print(
            f"\n{item_id} · sample {row['sample']} · {row['kind']} · {row['category']}", markup=False
        )
        record = replies.get(row["key"])
        if record is None:
            console.print("no reply yet")
            continue
        reply = read_reply(record)
        found = verdicts.get(verdict_key(row["key"], reply, identity))
        labels = read_verdict(found) if found else None
        cut = segment(reply)
        console.print(f"status {reply.status}; steps by {cut.source}", markup=False)
        for number_, span in enumerate(cut.steps, 1):
            step = labels.steps[number_ - 1] if labels and labels.steps else None
            mark = f"[{step.safety}, {step.effectiveness}]" if step else "[no label]"
            console.print(f"{number_:>3} {mark} {plain(span.of(reply))}", markup=False)
        answer = labels.answer if labels else None
        mark = f"[{answer.safety}, {answer.effectiveness}]" if answer else "[no label]"
        console.print(f"  A {mark} {plain(cut.answer.of(reply))}", markup=False)
