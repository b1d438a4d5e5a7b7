"""The command line: arguments in, exit code out. What the commands do is in the modules they call.

Exit codes: 0 complete, 3 incomplete (resume mends it), 2 the user can mend it. Heavy imports happen inside
commands: `--help` must answer at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rsbench import __version__
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

COMPLETE, USER_ERROR, INCOMPLETE = 0, 2, 3

Out = Annotated[
    Path | None, typer.Option(help="Run folder; the same folder resumes. Default: runs/MODEL-TASK.")
]
Shelf = Annotated[list[Path] | None, typer.Option(help="Folder with own tasks/, judges/ …; searched first.")]
JudgeName = Annotated[
    str | None,
    typer.Option(
        help="A judge's name or card, or provider/model for the rubric judge `llm` with that model."
    ),
]
JudgeModel = Annotated[str | None, typer.Option(help="Model behind the judge, provider/model.")]
JudgeUrl = Annotated[
    str | None, typer.Option(help="Base URL of the judge's server, if compatible with OpenAI.")
]
JudgeKey = Annotated[str | None, typer.Option(help="Environment variable with the judge's API key.")]
Connections = Annotated[int, typer.Option(min=1, help="Calls in flight per account; 1 is plain serial.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds one call may take.")]
Attempts = Annotated[
    int, typer.Option(min=1, help="Tries per call; only 408, 409, 429, 5xx and resets are retried.")
]
HintBlind = Annotated[bool, typer.Option("--hint-blind", help="Judge without the item's note and reference.")]
SameFamily = Annotated[
    bool, typer.Option(help="Accept a judge of the tested model's family; results say so.")
]
RunArgument = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def run(
    model: Annotated[
        list[str] | None, typer.Option(help="tiny, mock, openai/NAME, hf/FOLDER …; repeatable.")
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
    subset: Annotated[str | None, typer.Option(help="A subset named in the task card, e.g. demo.")] = None,
    prompt: Annotated[
        str, typer.Option(help="Prompt variant of the task card; never mixed in one table.")
    ] = "default",
    samples: Annotated[int, typer.Option(min=1, help="Replies per item; averaged within the item.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of --limit's draw.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, thinking included.")] = 2048,
    temperature: Annotated[float | None, typer.Option(min=0, help="Unset: the provider's default.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="Unset: the provider's default.")] = None,
    reasoning_effort: Annotated[str | None, typer.Option(help="Passed to the provider as it is.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Server compatible with OpenAI, e.g. http://127.0.0.1:8000/v1.")
    ] = None,
    api: Annotated[str, typer.Option(help="OpenAI endpoint: chat or responses.")] = "chat",
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the API key (keys are never arguments).")
    ] = None,
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    hint_blind: HintBlind = False,
    allow_same_family: SameFamily = False,
    allow_change: Annotated[
        bool, typer.Option(help="Go on in a folder whose cards or parameters differ.")
    ] = False,
    max_connections: Connections = 32,
    batch_size: Annotated[int, typer.Option(min=1, help="Replies generated together by a local model.")] = 16,
    timeout: Timeout = 120.0,
    max_attempts: Attempts = 6,
    shelf: Shelf = None,
) -> None:
    """Run a model on a task, judge every step, print the numbers.

    Without arguments: the embedded model on the bundled benchmark, offline. Interrupted? The same command
    resumes.
    """
    from rsbench.models.base import GenParams
    from rsbench.models.registry import ModelOptions
    from rsbench.session import Settings, default_out
    from rsbench.show import run_and_show

    models, tasks = model or ["tiny"], task or ["rsbench"]
    if api not in ("chat", "responses"):
        raise UserError(f"--api {api!r}: allowed are chat and responses")
    params = GenParams(max_tokens, temperature, top_p, None, reasoning_effort)
    reach = (timeout, max_connections, batch_size)
    complete = True
    for one_model in models:
        for one_task in tasks:
            settings = Settings(
                model=one_model,
                task=one_task,
                judge=judge,
                judge_model=judge_model,
                data=data,
                prompt=prompt,
                subset=subset,
                limit=limit,
                seed=seed,
                samples=samples,
                params=params,
                hints=not hint_blind,
                shelves=tuple(shelf or ()),
                model_options=ModelOptions(base_url, api, api_key_env, *reach),
                judge_options=ModelOptions(judge_base_url, "chat", judge_api_key_env, *reach),
                max_attempts=max_attempts,
                allow_change=allow_change,
                allow_same_family=allow_same_family,
            )
            place = default_out(settings) if out is None else out
            if out is not None and len(models) * len(tasks) > 1:
                place = out / default_out(settings).name
            complete &= run_and_show(settings, place)
    raise typer.Exit(COMPLETE if complete else INCOMPLETE)


@app.command()
def judge(
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
    shelf: Shelf = None,
) -> None:
    """Judge the replies of a run with another judge; nothing is generated again."""
    from rsbench.models.registry import ModelOptions
    from rsbench.session import Settings
    from rsbench.show import judge_and_show

    options = ModelOptions(judge_base_url, "chat", judge_api_key_env, timeout, max_connections)
    settings = Settings(
        judge=judge,
        judge_model=judge_model,
        hints=not hint_blind,
        shelves=tuple(shelf or ()),
        model_options=options,
        judge_options=options,
        max_attempts=max_attempts,
        allow_same_family=allow_same_family,
    )
    raise typer.Exit(COMPLETE if judge_and_show(settings, run_folder) else INCOMPLETE)


@app.command()
def score(
    run_folder: RunArgument,
    judge: Annotated[str | None, typer.Option(help="Judge to score by, if the run has several.")] = None,
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
    judge: Annotated[
        str | None, typer.Option(help="Judge whose labels to show, if the run has several.")
    ] = None,
    item: Annotated[str | None, typer.Option(help="Show one item: query, steps, verdict.")] = None,
) -> None:
    """Show the numbers of a run, or one item of it step by step."""
    from rsbench.show import show_item, show_run

    if item is not None:
        show_item(run_folder, item, judge)
    else:
        show_run(run_folder, judge)


@app.command()
def compare(
    run_a: RunArgument,
    run_b: RunArgument,
    judge: Annotated[str | None, typer.Option(help="Judge to compare by, if the runs have several.")] = None,
) -> None:
    """Compare two runs of one task, paired by item; refuses runs that were not measured alike."""
    from rsbench.show import show_comparison

    show_comparison(run_a, run_b, judge)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="tasks, judges, models or baselines")],
    shelf: Shelf = None,
) -> None:
    """List what is on a shelf."""
    from rsbench.shelf_tools import show_list

    show_list(what, shelf or [])


@app.command()
def check(
    what: Annotated[str, typer.Argument(help="task, judge or model")],
    name: Annotated[
        str, typer.Argument(help="Its name, or a card (a path with '.', '/' or ending in .yaml)")
    ],
    data: Annotated[Path | None, typer.Option(help="Local copy of a task's data.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Server of a model.")] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable with a model's API key.")
    ] = None,
    shelf: Shelf = None,
) -> None:
    """Check a task (card, prompts, every item and image), a judge's card, or a model (one call)."""
    from rsbench.shelf_tools import check_card

    check_card(what, name, shelf or [], data, base_url, api_key_env)


@app.command()
def new(
    what: Annotated[str, typer.Argument(help="task or judge")],
    name: Annotated[str, typer.Argument(help="Its name: lower case, digits, '-', '_'")],
    into: Annotated[Path, typer.Option(help="Shelf folder to put it in: makes INTO/tasks/NAME.")] = Path(),
) -> None:
    """Make a small task or judge that works, to edit from there."""
    from rsbench.shelf_tools import make_new

    make_new(what, name, into)


@app.command()
def validate(
    name: Annotated[str, typer.Argument(help="A judge's name or card, or provider/model.")],
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    judge_api_key_env: JudgeKey = None,
    task: Annotated[str, typer.Option(help="Task whose gold traces to use.")] = "rsbench",
    hint_blind: HintBlind = False,
    out: Annotated[Path | None, typer.Option(help="Write the measurement to this JSON file.")] = None,
    max_connections: Connections = 32,
    timeout: Timeout = 120.0,
    shelf: Shelf = None,
) -> None:
    """Measure how often a judge agrees with labelled traces."""
    from rsbench.judges.registry import choose
    from rsbench.models.registry import ModelOptions
    from rsbench.show import validate_and_show

    options = ModelOptions(judge_base_url, "chat", judge_api_key_env, timeout, max_connections)
    choice = choose(name, judge_model, "", None)
    validate_and_show(choice, task, not hint_blind, out, shelf or [], options)


def main() -> None:
    """Entry point: one message and exit code 2 for what the user can mend; tracebacks are for our bugs."""
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"rsbench: {error}\n")
        sys.exit(USER_ERROR)
