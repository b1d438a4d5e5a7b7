"""`rsbench validate`: how far a judge can be trusted."""

from pathlib import Path
from typing import Annotated

import typer

from rsbench.cli_options import (
    Attempts,
    Connections,
    DryRun,
    JudgeKey,
    JudgeModel,
    JudgeUrl,
    MaxCalls,
    MaxCost,
    MaxTokensTotal,
    Shelf,
    Timeout,
    Yes,
)
from rsbench.cli_run import COMPLETE, INCOMPLETE


def validate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A judge's name or card, or provider/model.")],
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    task: Annotated[str, typer.Option(help="Task whose gold traces to use.")] = "rsbench",
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="hints (as runs are judged; the default), hint-blind, twin-hint (with the twin's note and "
            "reference), or all. Repeatable."
        ),
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also judge the traces under attack; some ten times the calls."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many traces of each source, to try it out; writes no --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the measurement to this JSON file.")] = None,
    work: Annotated[
        Path | None, typer.Option(help="Where verdicts are kept; resumes. Default: runs/validate-JUDGE.")
    ] = None,
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
    """Measure how often a judge agrees with labelled traces, and whether it can be talked out of it.

    Written to judges/NAME/validation.json, the measurement is printed with every score of that very judge.
    Where over 2 % of the verdicts never came, nothing is written and the exit code is 3: run it again.
    """
    from rsbench.judges.registry import choose
    from rsbench.settings import from_options
    from rsbench.show_judge import validate_and_show
    from rsbench.trials import Trial

    trial = Trial(task, tuple(mode or ["hints"]), robustness, limit)
    complete = validate_and_show(
        choose(name, judge_model, "", None), trial, from_options(context.params), work, out
    )
    raise typer.Exit(COMPLETE if complete else INCOMPLETE)
