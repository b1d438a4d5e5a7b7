"""`rsbench leaderboard …`: rows out of runs, a site out of rows."""

from pathlib import Path
from typing import Annotated

import typer

ROWS = Path("leaderboard/rows")

app = typer.Typer(no_args_is_help=True, help="Make rows out of runs, and a site out of rows.")


@app.command()
def add(
    run_folder: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    judge: Annotated[
        str | None, typer.Option(help="Whose labels count, if a run has several judges.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the rows.")] = ROWS,
    sealed: Annotated[bool, typer.Option(help="Transcripts stay private; the row is self-reported.")] = False,
    rejudged: Annotated[bool, typer.Option(help="For maintainers: you judged these replies anew.")] = False,
    weights: Annotated[str | None, typer.Option(help="open, closed or unknown; else as can be told.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Of a trained model: its recipe.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Of a trained model: its base, as its row names it.")
    ] = None,
    training_seed: Annotated[
        int | None, typer.Option(help="Of a trained model: the seed of its training.")
    ] = None,
) -> None:
    """Write a row, its labels and its transcripts for each run; incomplete and scripted runs are refused.

    Each row is checked, and a later build need not check it again.
    """
    from rsbench.board_cache import users_cache
    from rsbench.board_gather import remember
    from rsbench.rows import claims_from, make_row
    from rsbench.store import RunFolder

    claims = claims_from(sealed, rejudged, weights, recipe, base, training_seed)
    for path in run_folder:
        made = make_row(RunFolder(path), judge, out, claims)
        remember(made, users_cache())
        typer.echo(f"made {made}")


Rows = Annotated[Path, typer.Option("--rows", help="Folder of the rows.")]
SiteUrl = Annotated[
    str | None, typer.Option("--url", help="Where it will be published: writes RSS and JSON feeds.")
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Check every row anew; neither use nor keep earlier checks.")
]


@app.command()
def build(
    rows: Rows = ROWS,
    out: Annotated[Path, typer.Option(help="Folder of the site.")] = Path("leaderboard/site"),
    url: SiteUrl = None,
    no_cache: NoCache = False,
) -> None:
    """Check every row and write the site: static files that open from anywhere."""
    from rsbench.board_cache import NO_CACHE, users_cache
    from rsbench.board_site import build as build_site

    made = build_site(rows, out, url, NO_CACHE if no_cache else users_cache())
    before = made.rows - made.checked
    known = f" ({before} checked before, and the same since)" if before else ""
    typer.echo(f"{made.rows} rows in {made.tables} tables{known}: {made.index}")


@app.command()
def serve(
    rows: Rows = ROWS,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    no_cache: NoCache = False,
) -> None:
    """Build the site in a temporary folder and show it on this machine alone, until Ctrl-C."""
    from rsbench.board_cache import NO_CACHE, users_cache
    from rsbench.board_serve import serve_site

    serve_site(rows, port, typer.echo, NO_CACHE if no_cache else users_cache())
