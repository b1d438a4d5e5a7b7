"""How far a judge can be trusted, in the terminal: a line beside every number, tables for a trial."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from rsbench.judges.registry import JudgeChoice
from rsbench.metric_specs import METRICS
from rsbench.settings import Settings
from rsbench.terminal import asking, command, err, interval, number, out, watched
from rsbench.validation import is_complete, measured_elsewhere, reached, store_validation

if TYPE_CHECKING:
    from rsbench.trials import Trial


def validation_line(result: dict[str, Any]) -> str:
    """How far the judge can be trusted, in one sentence."""
    measured, name = result["judge_validation"], result["meta"]["judge"]["name"]
    if measured is not None and "closed_world_oracle" in measured:
        return f"Judge {name}: closed-world oracle, {measured['closed_world_oracle']}."
    if measured is None:
        return f"Judge {name} is UNVALIDATED as used here: nobody has measured its agreement with labels."
    safety, task = measured["labels"]["safety"], measured["task"]
    elsewhere = measured_elsewhere(measured, result["meta"]["task"]["name"])
    traces, steps = reached(measured)
    return (
        f"Judge {name}: agreement with labels on traces of {task}, which it was not made from: kappa "
        f"{number(safety['kappa'], False)} (95 % interval "
        f"{interval(safety['kappa_low'], safety['kappa_high'], False)}) for step safety, on the "
        f"{safety['n']} steps ({number(measured['labelled_share'], True)} of those with a label) where it "
        f"committed itself; it gave a verdict on {traces} traces and {steps} steps; labelled by "
        f"{measured['annotators']}."
        + (
            f" Measured on {elsewhere}'s traces; none of this task. How far it agrees here, they don't say."
            if elsewhere is not None
            else ""
        )
    )


def show_corrected(console: Console, found: dict[str, Any]) -> None:
    """The metrics that people's labels correct, beside nothing else: the raw ones stand above."""
    console.print(
        f"\nCorrected by {found['replies']} replies, labelled by {', '.join(found['annotators'])}",
        markup=False,
    )
    table = Table(box=None, pad_edge=False)
    for column in ("metric", "PPI++", "95 % interval", "Rogan–Gladen", "95 % interval", "labelled", ""):
        table.add_column(column, justify="left" if column in ("metric", "") else "right")
    for key, both in found["metrics"].items():
        ppi, other = both["ppi"], both["rogan_gladen"] or {"value": None, "low": None, "high": None}
        table.add_row(
            METRICS[key].name,
            number(ppi["value"], True),
            interval(ppi["low"], ppi["high"], True),
            number(other["value"], True),
            interval(other["low"], other["high"], True),
            str(ppi["labelled"]),
            ppi["problem"],
        )
    console.print(table)


def validate_and_show(
    choice: JudgeChoice, trial: "Trial", settings: Settings, work: Path | None, place: Path | None
) -> bool:
    """Try a judge on a task's gold traces, print what was found, write it to `place` if given.

    False if too many verdicts are lost: what is left is shown, and written nowhere.
    """
    from rsbench import validate  # attacks, gold traces, statistics: `show` prints a judge without them

    folder = work or validate.default_work(choice)
    measured = watched(
        f"validating {choice.model or choice.card}",
        folder,
        lambda watch, _: validate.measure(choice, trial, settings, folder, watch, asking(watch, settings)),
    )
    console = out()
    for one in measured:
        _show_agreement(console, one)
        if "robustness" in one:
            _show_robustness(console, one)
        if not is_complete(one):
            _say_lost(one, place)
        elif place is not None:
            if trial.limit is None:
                store_validation(place, one)
                console.print(f"written to {place}", markup=False)
            else:
                console.print("Not written: --limit leaves gold traces out, so it is no validation.")
    if measured:
        console.print(f"Verdicts are kept in {folder}.", markup=False, soft_wrap=True)
    return all(is_complete(one) for one in measured)


def _say_lost(measured: dict[str, Any], place: Path | None) -> None:
    lost = f"{measured['mendable_share']:.1%} of the verdicts in mode {measured['mode']}"
    unwritten = "" if place is None else f" Not written to {place}."
    err().print(
        f"INCOMPLETE: {lost} ended as error, unparsed or missing, so this is no measurement.{unwritten} "
        f"To ask again for these:\n  {command()}",
        markup=False,
        soft_wrap=True,  # a wrapped command can't be pasted
    )


def _show_agreement(console: Console, measured: dict[str, Any]) -> None:
    console.print(
        f"\nJudge {measured['judge']} ({measured['mode']}) on {measured['traces']} written traces, "
        f"{measured['steps']} steps, labelled by {measured['annotators']}",
        markup=False,
    )
    table = _table("label", "kappa", "95 % interval", "n")
    for label, found in measured["labels"].items():
        ends = interval(found["kappa_low"], found["kappa_high"], False)
        table.add_row(label, number(found["kappa"], False), ends, str(found["n"]))
    console.print(table)
    for name, key in (("unsafe steps", "unsafe_step"), ("unsafe answers", "unsafe_answer")):
        caught, passed = measured[key]["sensitivity"], measured[key]["specificity"]
        console.print(f"{name}: sensitivity {_share(caught)}, specificity {_share(passed)}")
    _show_first_unsafe(console, measured["first_unsafe"])
    console.print(
        f"traces with a verdict: {measured['scored_traces']} of {measured['traces']}; "
        f"steps it called safe or unsafe: {number(measured['labelled_share'], True)}"
    )
    if measured["template"]:
        kappa = measured["template"]["labels"]["safety"]["kappa"]
        console.print(
            f"(template-made traces, not the headline: step-safety kappa {number(kappa, False)} on "
            f"{measured['template']['steps']} steps)"
        )
    if measured["usage"]:
        _show_usage(console, measured["usage"])
    if measured["mode"] == "twin-hint":
        console.print(
            "With the twin's note and reference path: where agreement falls against mode hints, the judge "
            "follows what it is told of the item more than what it reads."
        )


def _show_first_unsafe(console: Console, first: dict[str, Any]) -> None:
    found, none = first["with_unsafe"], first["without_unsafe"]
    bounds = first["bound_low"], first["bound_high"]
    console.print(
        f"first unsafe step: score {number(first['score'], True)} (harmonic mean of {_share(found)} found "
        f"exactly and {_share(none)} rightly none), on the {number(first['committed_share'], True)} of "
        f"traces where it committed itself; left out, for an unclear step before its claim: "
        f"{found['left_out']} with an unsafe step, {none['left_out']} without. "
        f"Bounds, were those all missed or all found: {interval(*bounds, True)}",
        soft_wrap=True,
    )


def _show_usage(console: Console, usage: dict[str, Any]) -> None:
    cost = "cost unknown" if usage["cost_usd"] is None else f"{usage['cost_usd']:,.4f} USD"
    seconds = "" if usage["median_seconds"] is None else f", median {usage['median_seconds']:.1f} s a verdict"
    console.print(
        f"{usage['verdicts']} verdicts: {usage['calls']:,} calls, {usage['input_tokens']:,} tokens in, "
        f"{usage['output_tokens']:,} tokens out, {cost}{seconds}"
    )


def _show_robustness(console: Console, measured: dict[str, Any]) -> None:
    found = measured["robustness"]
    limits = found["thresholds"]
    console.print(f"\nRobustness of {measured['judge']} ({measured['mode']})", markup=False)
    table = _table("attack", "labels flipped", "unsafe let pass", "n", "no verdict", "")
    for name, attack in found["attacks"].items():
        table.add_row(
            name,
            _share(attack["flips"]),
            _share(attack["induced_misses"]),
            str(attack["traces"]),
            str(attack["unusable"]),
            attack["decision"],
        )
    console.print(table)
    verdict = {True: "PASSED", False: "FAILED", None: "UNDECIDED: too few traces to tell"}[found["passed"]]
    console.print(
        f"{verdict}. Allowed by the card: {limits['flip_rate']:.0%} flipped, "
        f"{limits['induced_miss_rate']:.0%} let pass; a pass needs the whole interval below. "
        "Unsafe let pass: of what the judge caught in the plain trace.",
        soft_wrap=True,
    )


def _share(found: dict[str, Any]) -> str:
    return f"{number(found['value'], True)} ({interval(found['low'], found['high'], True)}, n {found['n']})"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("label", "attack", "") else "right")
    return table
