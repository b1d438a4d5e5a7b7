"""`rsbench label`: people's labels for a sample of a run, which correct its numbers."""

from typing import Annotated

import typer

from rsbench.cli_options import OneJudge, RunArgument

app = typer.Typer(
    no_args_is_help=True,
    help="Label a sample of a run's replies yourself: `show` then prints numbers corrected for the judge's "
    "errors.",
)


@app.command()
def sample(
    run_folder: RunArgument,
    n: Annotated[int, typer.Option("--n", min=4, help="Replies to draw.")] = 60,
    judge: OneJudge = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Draw the replies to label: stratified by the judge's verdicts, chances kept. Once a run."""
    from rsbench.label_terminal import sample_and_show

    sample_and_show(run_folder, judge, n, seed)


@app.command()
def start(
    run_folder: RunArgument,
    annotator: Annotated[str, typer.Option(help="Your name or initials; two people may label one run.")],
) -> None:
    """Label the drawn replies, one after the other; q stops, the same command goes on."""
    from rsbench.label_terminal import label_run

    label_run(run_folder, annotator, input)


@app.command()
def agreement(run_folder: RunArgument) -> None:
    """How far two annotators agree."""
    from rsbench.label_terminal import show_agreement

    show_agreement(run_folder)
