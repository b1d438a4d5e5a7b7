"""`rsbench train`: the training's command line. The training itself is another package, reached by name."""

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from rsbench.cli_options import (
    BaseUrl,
    Connections,
    Device,
    DType,
    JudgeKey,
    JudgeUrl,
    KeyName,
    Revision,
    SameFamily,
    Shelf,
    Timeout,
    Yes,
)
from rsbench.types import UserError

STAGES = ("explore", "optimise", "run")


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe of the shelf baselines, or a .yaml file.")],
    model: Annotated[
        str | None, typer.Option(help="tiny, hf/FOLDER or hf/HUB-ID; unset: the recipe's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Training folder; the same one resumes. Default: runs/train-RECIPE-MODEL."),
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="explore, optimise or run alone; repeatable. Unset: all three.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split to train on; unset: the recipe's.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items a task.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of branches and training; unset: the recipe's.")] = None,
    branches: Annotated[
        Path | None, typer.Option(help="Train on the branches of this folder (another training's explore/).")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print steps, tokens, memory; load no weights, write nothing."),
    ] = False,
    base_url: BaseUrl = None,
    api_key_env: KeyName = None,
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    allow_same_family: SameFamily = False,
    max_connections: Connections = 32,
    timeout: Timeout = 120.0,
    device: Device = None,
    dtype: DType = None,
    revision: Revision = None,
    yes: Yes = False,
    shelf: Shelf = None,
) -> None:
    """Train a model on reasoning paths: explore branches, optimise over them, run the benchmark.

    Each stage goes on where it was interrupted. Start with `rsbench train srpo-tiny --dry-run`.
    """
    wanted = tuple(stage or STAGES)
    if bad := [name for name in wanted if name not in STAGES]:
        raise UserError(f"--stage {bad[0]!r}: allowed are {', '.join(STAGES)}")
    from rsbench.models.registry import LocalOptions, ModelOptions

    reach: dict[str, Any] = {"timeout_s": timeout, "max_connections": max_connections}
    local = LocalOptions(device=device, dtype=dtype)
    complete = _package("srpo_train.command").train(
        recipe,
        wanted,
        changes={"model": model, "split": split, "limit": limit, "seed": seed},
        out=out,
        branches=branches,
        dry_run=dry_run,
        model_options=ModelOptions(base_url, None, api_key_env, revision=revision, local=local, **reach),
        judge_options=ModelOptions(judge_base_url, None, judge_api_key_env, **reach),
        allow_same_family=allow_same_family,
        yes=yes,
        shelves=shelf or [],
    )
    raise typer.Exit(0 if complete else 3)


def _package(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"Training needs the extra [train]: pip install 'rsbench[train]' ({error})"
        ) from error
