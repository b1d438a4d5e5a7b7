"""`rsbench list`, `check` and `new`: what lies on the shelves, whether it is sound, and more of it."""

from pathlib import Path
from typing import Annotated

import typer

from rsbench.cli_options import BaseUrl, KeyName, Shelf


def list_(
    what: Annotated[str, typer.Argument(help="tasks, judges, models or baselines")],
    shelf: Shelf = None,
) -> None:
    """List what is on a shelf."""
    from rsbench.shelf_tools import show_list

    show_list(what, shelf or [])


def check(
    what: Annotated[str, typer.Argument(help="task, judge, model or row")],
    name: Annotated[
        str, typer.Argument(help="Its name, or a card (a path with '.', '/' or ending in .yaml)")
    ],
    data: Annotated[Path | None, typer.Option(help="Local copy of a task's data.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Also: no item may repeat one of this task; repeatable.")
    ] = None,
    base_url: BaseUrl = None,
    api_key_env: KeyName = None,
    shelf: Shelf = None,
) -> None:
    """Check a task (card, prompts, every item and image), a judge's card, a model (one call) or a row."""
    from rsbench.shelf_tools import check_card

    check_card(what, name, shelf or [], data, base_url, api_key_env, against or [])


def new(
    what: Annotated[str, typer.Argument(help="task or judge")],
    name: Annotated[str, typer.Argument(help="Its name: lower case, digits, '-', '_'")],
    into: Annotated[Path, typer.Option(help="Shelf folder to put it in: makes INTO/tasks/NAME.")] = Path(),
) -> None:
    """Make a small task or judge that works, to edit from there."""
    from rsbench.shelf_tools import make_new

    make_new(what, name, into)
