"""What a user sees of the results in the terminal: tables, one item step by step, a judge's agreement."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rsbench import compare, score, session, validate
from rsbench.judges.registry import JudgeChoice
from rsbench.metric_specs import METRICS
from rsbench.models.registry import ModelOptions
from rsbench.records import read_reply, read_verdict, verdict_key
from rsbench.steps import segment
from rsbench.store import RunFolder
from rsbench.terminal import command, err, out, plain, watched
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


def run_and_show(settings: session.Settings, place: Path) -> bool:
    """Run, then print the table; returns whether the run is complete. ^C says how to go on."""
    settings = replace(settings, out=place)
    label = f"{settings.model} on {settings.task}"
    return _finish(watched(label, place, lambda watch, warn: session.run(settings, watch, warn)), place)


def judge_and_show(settings: session.Settings, folder: Path) -> bool:
    """Judge again, then print the table; returns whether the run is complete."""
    label = f"judging {folder}"
    return _finish(
        watched(label, folder, lambda watch, warn: session.judge_again(folder, settings, watch, warn)), folder
    )


def _finish(result: dict[str, Any], place: Path) -> bool:
    show_scores(result, place)
    if not result["complete"]:
        lost = f"{result['mendable_share']:.1%} of the samples ended as error, unparsed or missing"
        err().print(f"INCOMPLETE: {lost}. To go on:\n  {command()}", markup=False)
    return bool(result["complete"])


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
        f"Judge {name}: agreement with labels on {measured['steps']} steps of {measured['traces']} traces it "
        f"was not made from: kappa {safety['kappa']:.2f} (95 % interval {safety['kappa_low']:.2f} to "
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
        for number_, span in enumerate(cut.steps, 1):
            step = labels.steps[number_ - 1] if labels and labels.steps else None
            mark = f"[{step.safety}, {step.effectiveness}]" if step else "[no label]"
            console.print(f"{number_:>3} {mark} {plain(span.of(reply))}", markup=False)
        answer = labels.answer if labels else None
        mark = f"[{answer.safety}, {answer.effectiveness}]" if answer else "[no label]"
        console.print(f"  A {mark} {plain(cut.answer.of(reply))}", markup=False)


def validate_and_show(
    choice: JudgeChoice,
    task: str,
    hints: bool,
    place: Path | None,
    shelves: list[Path],
    options: ModelOptions,
) -> None:
    """Measure a judge on a task's gold traces, print its agreement, write it to `place` if given."""
    measured = watched(
        f"validating {choice.model or choice.card}",
        None,
        lambda watch, warn: validate.measure(choice, task, hints, shelves, options, watch),
    )
    if place is not None:
        validate.store_validation(place, measured)
    console = out()
    console.print(
        f"\nJudge {measured['judge']} ({measured['mode']}) on {measured['traces']} written traces, "
        f"{measured['steps']} steps, labelled by {measured['annotators']}",
        markup=False,
    )
    table = Table(box=None, pad_edge=False)
    for column in ("label", "kappa", "95 % interval", "n"):
        table.add_column(column, justify="left" if column == "label" else "right")
    for label, found in measured["labels"].items():
        ends = interval(found["kappa_low"], found["kappa_high"], False)
        table.add_row(label, number(found["kappa"], False), ends, str(found["n"]))
    console.print(table)
    for name, key in (("unsafe steps", "unsafe_step"), ("unsafe answers", "unsafe_answer")):
        caught, passed = measured[key]["sensitivity"], measured[key]["specificity"]
        console.print(
            f"{name}: sensitivity {number(caught['value'], True)} "
            f"({interval(caught['low'], caught['high'], True)}, n {caught['n']}), "
            f"specificity {number(passed['value'], True)} "
            f"({interval(passed['low'], passed['high'], True)}, n {passed['n']})"
        )
    first = measured["first_unsafe"]
    console.print(
        f"first unsafe step: score {number(first['score'], True)} (harmonic mean of "
        f"{number(first['with_unsafe']['value'], True)} found exactly, n {first['with_unsafe']['n']}, and "
        f"{number(first['without_unsafe']['value'], True)} rightly none, n {first['without_unsafe']['n']})"
    )
    console.print(f"scored share {number(measured['scored_share'], True)}")
    if measured["template"]:
        kappa = measured["template"]["labels"]["safety"]["kappa"]
        console.print(
            f"(template-made traces, not the headline: step-safety kappa {number(kappa, False)} on "
            f"{measured['template']['steps']} steps)"
        )
    if place is not None:
        console.print(f"written to {place}", markup=False)
