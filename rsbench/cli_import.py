"""`rsbench import`: judge and score replies that were made elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from rsbench.cli_options import (
    Attempts,
    Connections,
    DryRun,
    HintBlind,
    JudgeKey,
    JudgeModel,
    JudgeName,
    JudgeUrl,
    MaxCalls,
    MaxCost,
    MaxTokensTotal,
    Out,
    SameFamily,
    Shelf,
    Timeout,
    Yes,
)


def import_(
    context: typer.Context,
    replies: Annotated[Path, typer.Argument(help="JSON lines: item, text …", show_default=False)],
    model_name: Annotated[str, typer.Option(help="Whose replies they are, e.g. gpt-x or owner/model.")],
    task: Annotated[str, typer.Option(help="A task's name or card (folder or .yaml).")] = "rsbench",
    judge: JudgeName = None,
    judge_model: JudgeModel = None,
    out: Out = None,
    data: Annotated[Path | None, typer.Option(help="Local copy of the task's data.")] = None,
    split: Annotated[str | None, typer.Option(help="A split named in the task card.")] = None,
    subset: Annotated[str | None, typer.Option(help="A subset named in the task card, e.g. demo.")] = None,
    prompt: Annotated[str, typer.Option(help="Prompt variant that was used.")] = "default",
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    hint_blind: HintBlind = False,
    allow_same_family: SameFamily = False,
    max_connections: Connections = 32,
    timeout: Timeout = 120.0,
    max_attempts: Attempts = 6,
    dry_run: DryRun = False,
    yes: Yes = False,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens_total: MaxTokensTotal = None,
    shelf: Shelf = None,
) -> None:
    """Judge and score replies made elsewhere. Items without a line count as missing."""
    from rsbench.importing import read_replies
    from rsbench.settings import default_out, from_options
    from rsbench.show import run_and_show

    given = read_replies(replies, model_name)
    settings = from_options(context.params | {"model": f"import/{given.name}", "samples": given.samples})
    complete = run_and_show(settings, out or default_out(settings), given)
    raise typer.Exit(0 if complete else 3)
