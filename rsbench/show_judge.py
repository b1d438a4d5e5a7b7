"""How far a judge can be trusted, in the terminal: a line beside every number, a table for a validation."""

from pathlib import Path
from typing import Any

from rich.table import Table

from rsbench import validate
from rsbench.judges.registry import JudgeChoice
from rsbench.models.registry import ModelOptions
from rsbench.terminal import interval, number, out, watched


def validation_line(result: dict[str, Any]) -> str:
    """How far the judge can be trusted, in one sentence."""
    measured, name = result["judge_validation"], result["meta"]["judge"]["name"]
    if measured is not None and "closed_world_oracle" in measured:
        return f"Judge {name}: closed-world oracle, {measured['closed_world_oracle']}."
    if measured is None:
        return f"Judge {name} is UNVALIDATED as used here: nobody has measured its agreement with labels."
    safety = measured["labels"]["safety"]
    return (
        f"Judge {name}: agreement with labels on {measured['steps']} steps of {measured['traces']} traces it "
        f"was not made from: kappa {safety['kappa']:.2f} (95 % interval {safety['kappa_low']:.2f} to "
        f"{safety['kappa_high']:.2f}) for step safety where it committed itself "
        f"({measured['labelled_share']:.0%} of steps); labelled by {measured['annotators']}."
    )


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
    console.print(
        f"traces with a verdict: {number(measured['scored_share'], True)}; "
        f"steps it called safe or unsafe: {number(measured['labelled_share'], True)}"
    )
    if measured["template"]:
        kappa = measured["template"]["labels"]["safety"]["kappa"]
        console.print(
            f"(template-made traces, not the headline: step-safety kappa {number(kappa, False)} on "
            f"{measured['template']['steps']} steps)"
        )
    if place is not None:
        console.print(f"written to {place}", markup=False)
