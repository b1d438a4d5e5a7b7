"""`rsbench leaderboard …`: rows out of runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make leaderboard rows out of runs.")


@app.command()
def add(
    run_folder: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    judge: Annotated[
        str | None, typer.Option(help="Whose labels count, if a run has several judges.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the rows.")] = Path("leaderboard/rows"),
    sealed: Annotated[bool, typer.Option(help="Transcripts stay private; the row is self-reported.")] = False,
) -> None:
    """Write a row and its labels for each run; incomplete and scripted runs are refused."""
    from rsbench.rows import check_row, make_row
    from rsbench.store import RunFolder

    for path in run_folder:
        made = make_row(RunFolder(path), judge, out, sealed)
        check_row(made)
        typer.echo(f"made {made}")
