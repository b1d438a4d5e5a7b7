"""`rsbench run` and `rsbench judge`: the commands that call models for a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from rsbench.cli_options import (
    Adapter,
    Attempts,
    BaseUrl,
    Batch,
    BatchPoll,
    Connections,
    Device,
    DeviceMap,
    Devices,
    DryRun,
    DType,
    HintBlind,
    JudgeBatch,
    JudgeKey,
    JudgeModel,
    JudgeName,
    JudgeUrl,
    KeyName,
    MaxCalls,
    MaxCost,
    MaxTokensTotal,
    Out,
    Revision,
    RunArgument,
    SameFamily,
    Shelf,
    Timeout,
    Yes,
)
from rsbench.types import UserError

app = typer.Typer()

COMPLETE, INCOMPLETE = 0, 3


@app.command()
def run(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(help="tiny, mock, openai/NAME, hf/FOLDER …, or a model card (.yaml); repeatable."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="A task's name or card (folder or .yaml); repeatable.")
    ] = None,
    judge: JudgeName = None,
    judge_model: JudgeModel = None,
    out: Out = None,
    data: Annotated[
        Path | None, typer.Option(help="Local copy of the task's data, instead of the card's.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many items: whole twin pairs, spread over the categories, drawn by --seed.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="A split named in the task card; one for training never makes a row.")
    ] = None,
    subset: Annotated[str | None, typer.Option(help="A subset named in the task card, e.g. demo.")] = None,
    prompt: Annotated[
        str, typer.Option(help="Prompt variant of the task card; never mixed in one table.")
    ] = "default",
    condition: Annotated[
        str,
        typer.Option(
            help="both (the benchmark), text or image (the other is withheld; judged hint-blind), caption."
        ),
    ] = "both",
    samples: Annotated[int, typer.Option(min=1, help="Replies per item; averaged within the item.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of --limit's draw.")] = 0,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest reply, thinking included. Unset: 2048.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="Unset: the provider's default.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="Unset: the provider's default.")] = None,
    reasoning_effort: Annotated[str | None, typer.Option(help="Passed to the provider as it is.")] = None,
    base_url: BaseUrl = None,
    api: Annotated[str | None, typer.Option(help="OpenAI endpoint: chat (default) or responses.")] = None,
    api_key_env: KeyName = None,
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    hint_blind: HintBlind = False,
    allow_same_family: SameFamily = False,
    allow_change: Annotated[
        bool, typer.Option(help="Go on in a folder whose cards or parameters differ.")
    ] = False,
    max_connections: Connections = 32,
    batch_size: Annotated[int, typer.Option(min=1, help="Replies generated together by a local model.")] = 16,
    device: Device = None,
    devices: Devices = None,
    device_map: DeviceMap = None,
    dtype: DType = None,
    adapter: Adapter = None,
    revision: Revision = None,
    timeout: Timeout = 120.0,
    max_attempts: Attempts = 6,
    batch: Batch = False,
    judge_batch: JudgeBatch = False,
    batch_poll: BatchPoll = 30.0,
    dry_run: DryRun = False,
    yes: Yes = False,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens_total: MaxTokensTotal = None,
    shelf: Shelf = None,
) -> None:
    """Run a model on a task, judge every step, print the numbers.

    Without arguments: the embedded model on the bundled benchmark, offline. Interrupted? The same command
    resumes.
    """
    from rsbench.settings import default_out, from_options
    from rsbench.show import run_and_show

    if api not in (None, "chat", "responses"):
        raise UserError(f"--api {api!r}: allowed are chat and responses")
    models, tasks = model or ["tiny"], task or ["rsbench"]
    complete = True
    for one_model in models:
        for one_task in tasks:
            settings = from_options(context.params | {"model": one_model, "task": one_task})
            place = default_out(settings) if out is None else out
            if out is not None and len(models) * len(tasks) > 1:
                place = out / default_out(settings).name
            complete &= run_and_show(settings, place)
    raise typer.Exit(COMPLETE if complete else INCOMPLETE)


@app.command()
def judge(
    context: typer.Context,
    run_folder: RunArgument,
    judge: JudgeName = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    hint_blind: HintBlind = False,
    allow_same_family: SameFamily = False,
    max_connections: Connections = 32,
    timeout: Timeout = 120.0,
    max_attempts: Attempts = 6,
    batch: Batch = False,
    batch_poll: BatchPoll = 30.0,
    dry_run: DryRun = False,
    yes: Yes = False,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens_total: MaxTokensTotal = None,
    shelf: Shelf = None,
) -> None:
    """Judge the replies of a run with another judge; nothing is generated again."""
    from rsbench.settings import from_options
    from rsbench.show import judge_and_show

    complete = judge_and_show(from_options(context.params), run_folder)
    raise typer.Exit(COMPLETE if complete else INCOMPLETE)
