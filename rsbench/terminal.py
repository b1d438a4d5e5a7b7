"""The terminal: two consoles, progress while something runs, and text made safe to print.

Results go to stdout, progress and warnings to stderr. Model text is printed as plain text: control characters
out, markup off, so that a reply can't draw on the terminal.
"""

import shlex
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from rsbench.budget import CapReached
from rsbench.forecast import Ask, Forecast
from rsbench.runner import Tally
from rsbench.settings import Settings
from rsbench.types import UserError

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
Warn = Callable[[str], None]


def out() -> Console:
    """Console for results."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def err() -> Console:
    """Console for progress and warnings."""
    return Console(stderr=True, highlight=False)


class Watch(AbstractContextManager["Watch"]):
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._console = err()
        self._bar: Progress | None = None
        self._task: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> "Watch":
        if self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console)
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=None, note="")
        else:
            self._console.print(f"{self._label} …", markup=False, soft_wrap=True)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def confirm(self, text: str, yes: bool) -> None:
        """Show what is about to be spent; where somebody sits at a terminal, wait for a yes, unless given.

        Raises:
            UserError: the answer was no.
        """
        if self._bar is not None:
            self._bar.stop()
        self._console.print(text, markup=False, soft_wrap=True)
        if not yes and self._console.is_terminal and sys.stdin.isatty():
            self._console.print("Go on? [y/N] ", markup=False, end="")
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                raise UserError("nothing was sent. --yes goes on without asking.")
        if self._bar is not None:
            self._bar.start()

    def __call__(self, tally: Tally, planned: int) -> None:
        """Show where the run stands."""
        trouble = ", ".join(f"{n} {s}" for s, n in sorted(tally.statuses.items()) if s != "ok")
        note = " ".join(part for part in (tally.stage, trouble) if part)
        note += f" · {tally.retries} retries ({tally.note})" if tally.retries else ""
        if self._bar is not None:
            self._bar.update(self._task, total=planned, completed=tally.done, note=plain(note)[:120])
        elif time.monotonic() - self._last > 5 or tally.done == planned:
            self._last = time.monotonic()
            line = f"{self._label}: {tally.done}/{planned} {note}"
            self._console.print(line, markup=False, soft_wrap=True)


def watched(label: str, place: Path | None, work: Callable[[Watch, Warn], T]) -> T:
    """Run `work` with progress and warnings; ^C and a cap reached say how to go on and exit with 3."""

    def warn(message: str) -> None:
        err().print(f"warning: {message}", markup=False, soft_wrap=True)

    try:
        with Watch(label) as watch:
            return work(watch, warn)
    except KeyboardInterrupt:
        kept = (
            f"everything finished is in {place}. To go on:\n  {command()}" if place else "nothing was kept."
        )
        err().print(f"\nStopped; {kept}", markup=False, soft_wrap=True)  # a wrapped command can't be pasted
        sys.exit(3)
    except CapReached as reached:
        kept = f"Everything finished is in {place}. To go on, raise the cap:\n  {command()}"
        err().print(f"Stopped: {reached}\n{kept}", markup=False, soft_wrap=True)
        sys.exit(3)


def asking(watch: Watch, settings: Settings) -> Ask:
    """What is done with a forecast: print it and stop, or ask before money is spent."""

    def ask(paid: bool, count: Callable[[], Forecast]) -> bool:
        if settings.dry_run:
            out().print(count().text(), markup=False, soft_wrap=True)
        elif paid:
            watch.confirm(count().text(), settings.yes)
        return not settings.dry_run

    return ask


def command() -> str:
    """The command line as the user could type it again."""
    return shlex.join(["rsbench", *sys.argv[1:]])


def plain(text: str) -> str:
    """Text without control characters and direction overrides: what a terminal may print."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def number(value: float | None, share: bool) -> str:
    """A share in percent, any other number as it is; a dash for what is undefined."""
    if value is None:
        return "–"
    return f"{value:.1%}" if share else f"{value:.2f}"


def interval(low: float | None, high: float | None, share: bool) -> str:
    """Two ends, or a dash."""
    return "–" if low is None or high is None else f"{number(low, share)} to {number(high, share)}"
