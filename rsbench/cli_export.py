"""`rsbench export`: a run in the format of another tool."""

from pathlib import Path
from typing import Annotated

import typer

from rsbench.cli_options import OneJudge, RunArgument


def export(
    run_folder: RunArgument,
    format_: Annotated[str, typer.Option("--format", help="csv, parquet, hf, eee or inspect.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the files. Default: RUN/export-FORMAT.")] = None,
    judge: OneJudge = None,
    sealed: Annotated[bool, typer.Option("--sealed", help="Labels and hashes only, no words.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    images: Annotated[bool, typer.Option("--images", help="hf: copy the items' images too.")] = False,
    benchmark: Annotated[
        str | None, typer.Option(help="hf: hub id of the benchmark's data set, for .eval_results.")
    ] = None,
    benchmark_task: Annotated[
        str | None, typer.Option(help="hf: its task id there. Default: the task's name.")
    ] = None,
    model_id: Annotated[
        str | None, typer.Option(help="eee: DEVELOPER/MODEL. Default: from the run's model.")
    ] = None,
    organization: Annotated[str | None, typer.Option(help="eee: who publishes the record.")] = None,
) -> None:
    """Write a run as CSV, Parquet, a Hugging Face data set, Every Eval Ever records or an Inspect log."""
    from rsbench.export import export as write
    from rsbench.exports.source import Options

    def warn(words: str) -> None:
        typer.echo(f"rsbench: {words}", err=True)

    options = Options(images, benchmark, benchmark_task, model_id, organization)
    for path in write(run_folder, format_, out, judge, sealed, force, options, warn):
        typer.echo(f"made {path}")
