"""`rsbench ssui`: build training pairs from a folder of pictures, review them, write them as a task."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from rsbench.cli_options import (
    Adapter,
    Attempts,
    BaseUrl,
    Connections,
    Device,
    DryRun,
    DType,
    JudgeKey,
    JudgeUrl,
    KeyName,
    MaxCalls,
    MaxCost,
    MaxTokensTotal,
    Revision,
    Shelf,
    Timeout,
    Yes,
)

app = typer.Typer(no_args_is_help=True, help="Make training pairs: build, review, write.")

COMPLETE, INCOMPLETE = 0, 3
BuildFolder = Annotated[Path, typer.Argument(help="A build's folder.", show_default=False)]
TaskName = Annotated[str | None, typer.Option("--name", help="The task's name. Default: the folder's.")]
License = Annotated[
    str, typer.Option("--license", help="Of pictures and items; you must know what the pictures allow.")
]


@app.command()
def build(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Who writes: provider/model, or a model card (.yaml).")],
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    out: Annotated[Path, typer.Option(help="The build's folder; the same folder resumes.")],
    judge_model: Annotated[
        str | None, typer.Option(help="Who checks; better not the one that writes. Default: --model.")
    ] = None,
    per_image: Annotated[int, typer.Option(min=1, help="Candidates on each picture.")] = 1,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Tasks whose items no candidate may repeat; repeatable. Default: rsbench."),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest reply. Unset: 4096.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="Unset: the provider's default.")] = None,
    reasoning_effort: Annotated[str | None, typer.Option(help="Passed to the provider as it is.")] = None,
    base_url: BaseUrl = None,
    api_key_env: KeyName = None,
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    allow_change: Annotated[
        bool, typer.Option(help="Go on in a folder whose prompts or models differ.")
    ] = False,
    max_connections: Connections = 32,
    device: Device = None,
    dtype: DType = None,
    adapter: Adapter = None,
    revision: Revision = None,
    timeout: Timeout = 120.0,
    max_attempts: Attempts = 6,
    dry_run: DryRun = False,
    yes: Yes = False,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens_total: MaxTokensTotal = None,
    shelf: Shelf = None,
) -> None:
    """Ask the agents for pairs on every picture and check them. Interrupted? The same command resumes."""
    from rsbench.settings import from_options
    from rsbench.ssui.show import build_and_show

    asked = {"max_tokens": max_tokens, "temperature": temperature, "reasoning_effort": reasoning_effort}
    complete = build_and_show(
        from_options(context.params), out, images, per_image, against or ["rsbench"], asked
    )
    raise typer.Exit(COMPLETE if complete else INCOMPLETE)


@app.command()
def review(
    build_folder: BuildFolder,
    reviewer: Annotated[
        str | None, typer.Option(help="Kept with each decision. Default: your login.")
    ] = None,
    name: TaskName = None,
    license_: License = "unknown",
) -> None:
    """Accept, edit or reject each pair in the terminal; decisions are kept, and the task is written."""
    from rsbench.ssui.show import review_and_show

    review_and_show(build_folder, reviewer or getpass.getuser(), sys.stdin.readline, name, license_)


@app.command()
def write(
    build_folder: BuildFolder,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="Also pairs that nobody has looked at; their source says so.")
    ] = False,
    name: TaskName = None,
    license_: License = "unknown",
) -> None:
    """Write the accepted pairs as a task folder, BUILD_FOLDER/task."""
    from rsbench.ssui.show import write_and_show

    write_and_show(build_folder, name, license_, unreviewed)
