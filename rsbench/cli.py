"""The command line: arguments in, exit code out. What the commands do is in the modules they call.

Exit codes: 0 complete, 3 incomplete (resume mends it), 2 the user can mend it. Heavy imports happen inside
commands: `--help` must answer at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rsbench import __version__
from rsbench.cli_export import export
from rsbench.cli_import import import_
from rsbench.cli_label import app as label
from rsbench.cli_leaderboard import app as leaderboard
from rsbench.cli_options import (
    OneJudge,
    ReportFile,
    RunArgument,
)
from rsbench.cli_run import COMPLETE, INCOMPLETE
from rsbench.cli_run import app as runs
from rsbench.cli_shelves import check, list_, new
from rsbench.cli_ssui import app as ssui
from rsbench.cli_train import train
from rsbench.cli_validate import validate
from rsbench.types import UserError

app = typer.Typer(
    name="rsbench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Measure the safety and effectiveness of multimodal reasoning, step by step.\n\n"
    "Start with `rsbench run` (offline, embedded model), then `rsbench list models`.",
)

USER_ERROR = 2


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


app.registered_commands += runs.registered_commands  # here, so that --help begins with them


@app.command()
def score(
    run_folder: RunArgument,
    judge: OneJudge = None,
) -> None:
    """Compute the numbers of a run again from its records. No model is called."""
    from rsbench import score as scoring
    from rsbench.show import show_scores
    from rsbench.store import RunFolder

    with RunFolder(run_folder) as folder:
        result = scoring.score(folder, judge)
    show_scores(result, run_folder)
    raise typer.Exit(COMPLETE if result["complete"] else INCOMPLETE)


@app.command()
def show(
    run_folder: RunArgument,
    judge: OneJudge = None,
    item: Annotated[str | None, typer.Option(help="Show one item: steps and answer, with labels.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Write an HTML report with every item.")] = False,
    out: ReportFile = None,
) -> None:
    """Show the numbers of a run, or one item of it step by step, or write them as an HTML report."""
    from rsbench.show import show_item, show_report, show_run

    if out is not None and not html:
        raise UserError("--out is where the report goes; it needs --html")
    if html and item is not None:
        raise UserError("--item is for the terminal; the report holds every item, at its address #ITEM")
    if html:
        show_report(run_folder, judge, out)
    elif item is not None:
        show_item(run_folder, item, judge)
    else:
        show_run(run_folder, judge)


@app.command()
def compare(
    run_a: RunArgument,
    run_b: RunArgument,
    run_c: Annotated[Path | None, typer.Argument(help="A third, for the cross-modal gap.")] = None,
    judge: OneJudge = None,
) -> None:
    """Compare two runs of one task, paired by item; refuses runs that were not measured alike.

    Runs of one model under the conditions both, text and image (two of them or all three): the cross-modal
    gap, what only the combination of image and query breaks.
    """
    from rsbench.show_compare import show_comparison

    show_comparison([run for run in (run_a, run_b, run_c) if run is not None], judge)


app.command()(validate)
app.command("list")(list_)
app.command()(check)
app.command()(new)
app.command("import")(import_)
app.command()(export)
app.add_typer(ssui, name="ssui")
app.command()(train)
app.add_typer(label, name="label")
app.add_typer(leaderboard, name="leaderboard")


def main() -> None:
    """Entry point: one message and exit code 2 for what the user can mend; tracebacks are for our bugs."""
    try:
        app()
    except UserError as error:
        from rsbench.terminal import plain  # here: `--help` does without

        sys.stderr.write(f"rsbench: {plain(str(error))}\n")  # it may quote a stranger's file
        sys.exit(USER_ERROR)
