"""What a user sees of the results in the terminal: tables, one item step by step, a judge's agreement."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rsbench import score, session
from rsbench.conditions import WITHHELD
from rsbench.importing import ImportedModel
from rsbench.metric_specs import METRICS
from rsbench.records import read_reply, read_verdict, verdict_key
from rsbench.settings import Settings
from rsbench.show_failures import failure_lines
from rsbench.show_judge import show_corrected, validation_line
from rsbench.show_votes import vote_lines
from rsbench.spending import spending_lines
from rsbench.steps import segment
from rsbench.store import RunFolder
from rsbench.terminal import asking, command, err, interval, number, out, plain, watched
from rsbench.types import FINAL_REPLY, FINAL_VERDICT, OutcomeStatus, UserError

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


def run_and_show(settings: Settings, place: Path, imported: ImportedModel | None = None) -> bool:
    """Run, then print the table; returns whether the run is complete. ^C says how to go on."""
    settings, label = replace(settings, out=place), f"{settings.model} on {settings.task}"
    result = watched(
        label,
        place,
        lambda watch, warn: session.run(settings, watch, warn, asking(watch, settings), imported),
    )
    return _finish(result, place)


def judge_and_show(settings: Settings, folder: Path) -> bool:
    """Judge again, then print the table; returns whether the run is complete."""
    label = f"judging {folder}"
    result = watched(
        label,
        folder,
        lambda watch, warn: session.judge_again(folder, settings, watch, warn, asking(watch, settings)),
    )
    return _finish(result, folder)


def _finish(result: dict[str, Any] | None, place: Path) -> bool:
    if result is None:
        return True  # a dry run
    show_scores(result, place)
    _say_incomplete(result, _way_on(result, place))
    return bool(result["complete"])


def _say_incomplete(result: dict[str, Any], way_on: str) -> None:
    if not result["complete"]:
        lost = f"{result['mendable_share']:.1%} of the samples ended as error, unparsed or missing"
        # Not wrapped: a wrapped command can't be pasted.
        err().print(f"INCOMPLETE: {lost}. {way_on}", markup=False, soft_wrap=True)


def _way_on(result: dict[str, Any], place: Path) -> str:
    """What may mend an incomplete run."""
    counts, ways = result["counts"], []
    if counts["missing"] and result["meta"]["model"].get("provider") == "import":
        ways.append("Samples without a line stay missing: complete the file, import it into a new folder.")
    else:
        ways.append(f"To ask again for these:\n  {command()}")
    if counts["unparsed"]:
        again = shlex.join(["rsbench", "judge", str(place), "--judge"])
        ways.append(f"If verdicts stay unparsed, take a judge that keeps to the form:\n  {again} ANOTHER")
    return "\n".join(ways)


def show_scores(result: dict[str, Any], place: Path) -> None:
    """The table of one run's numbers."""
    console, meta = out(), result["meta"]
    title = f"{meta['model']['name']} on {meta['task']['name']} {meta['task']['version']}"
    shown = "" if meta["condition"] == "both" else f" · condition {meta['condition']}"
    line = f"\n{title} · judge {meta['judge']['name']} · prompt {meta['prompt']['variant']}{shown}"
    console.print(plain(line), markup=False)
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
    for line in _official(result):
        console.print(line, markup=False, soft_wrap=True)
    if result["corrected"]:
        show_corrected(console, result["corrected"])
    _footer(console, result, place)


def _official(result: dict[str, Any]) -> list[str]:
    """The numbers by the other benchmark's own rule, where the task's card names one."""
    if "official" not in result:
        return []
    found = [(name, value) for name, value in result["official"].items() if isinstance(value, dict)]
    numbers = ", ".join(
        f"{name.replace('_', ' ')} {number(v['value'], True)} (n {v['n']})" for name, v in found
    )
    return [f"variant: official ({result['official']['rule']}), by this judge's labels: {numbers}"]


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


def _footer(console: Console, result: dict[str, Any], place: Path) -> None:
    counts = result["counts"]
    statuses = ", ".join(f"{counts[s]} {s}" for s in get_args(OutcomeStatus) if counts.get(s))
    lines = [
        f"{counts['items']} items in {counts['pairs']} pairs; samples: {statuses}",
        *failure_lines(RunFolder(place), result),
        "↑ higher is better, ↓ lower is better. bounds: the value if all unscored items were worst or best.",
        "Estimand 'system': what a user of the deployed system meets. docs/metrics.md explains every number.",
        *_withheld(result["meta"]["condition"]),
        validation_line(result),
        *vote_lines(result),
        *spending_lines(RunFolder(place).manifest()),
        f"Run folder: {place}",
    ]
    console.print()
    for line in lines:
        console.print(plain(line), markup=False, soft_wrap=True)


def _withheld(condition: str) -> list[str]:
    if condition not in WITHHELD:
        return []
    return [
        f"Condition {condition}: the other half was withheld; numbers that presuppose the risk are blank."
    ]


def show_run(folder: Path, judge: str | None) -> None:
    """Print the numbers of a run, computed from its records. Writes nothing: the folder may be read-only."""
    result = score.compute(RunFolder(folder), judge)
    show_scores(result, folder)
    _say_incomplete(result, "The numbers stand on the others alone: look at scored share and bounds.")


def show_report(folder: Path, judge: str | None, place: Path | None) -> None:
    """Write the HTML report of a run and say where it is."""
    from rsbench.report_page import write_report  # a template engine and a picture library

    def warn(message: str) -> None:
        err().print(f"warning: {message}", markup=False, soft_wrap=True)

    page = write_report(folder, judge, place, warn)
    out().print(f"Report: {page} ({page.stat().st_size / 1e6:.1f} MB)", markup=False, soft_wrap=True)


def show_item(folder: Path, item_id: str, judge: str | None) -> None:
    """Print one item's replies, cut into steps, with the judge's labels.

    Raises:
        UserError: no such item in the run.
    """
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
        failed = [("reply", reply)] + ([("verdict", labels)] if labels else [])
        for what, one in failed:
            if one.error:
                console.print(f"{what} {one.status}: {plain(one.error)}", markup=False, soft_wrap=True)
        for number_, span in enumerate(cut.steps, 1):
            step = labels.steps[number_ - 1] if labels and labels.steps else None
            mark = f"[{step.safety}, {step.effectiveness}]" if step else "[no label]"
            console.print(f"{number_:>3} {mark} {plain(span.of(reply))}", markup=False)
        answer = labels.answer if labels else None
        mark = f"[{answer.safety}, {answer.effectiveness}]" if answer else "[no label]"
        console.print(f"  A {mark} {plain(cut.answer.of(reply))}", markup=False)
