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
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rsbench.runner import Tally

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
            self._console.print(f"{self._label} …", markup=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, tally: Tally, planned: int) -> None:
        """Show where the run stands."""
        trouble = ", ".join(f"{n} {s}" for s, n in sorted(tally.statuses.items()) if s != "ok")
        note = trouble + (f" · {tally.retries} retries ({tally.note})" if tally.retries else "")
        if self._bar is not None:
            self._bar.update(self._task, total=planned, completed=tally.done, note=plain(note)[:120])
        elif time.monotonic() - self._last > 5 or tally.done == planned:
            self._last = time.monotonic()
            self._console.print(f"{self._label}: {tally.done}/{planned} {note}", markup=False)


def watched(label: str, place: Path | None, work: Callable[[Watch, Warn], T]) -> T:
    """Run `work` with progress and warnings; ^C says how to go on and exits with 3."""

    def warn(message: str) -> None:
        err().print(f"warning: {message}", markup=False)

    try:
        with Watch(label) as watch:
            return work(watch, warn)
    except KeyboardInterrupt:
        kept = (
            f"everything finished is in {place}. To go on:\n  {command()}" if place else "nothing was kept."
        )
        err().print(f"\nStopped; {kept}", markup=False)
        sys.exit(3)


def command() -> str:
    """The command line as the user could type it again."""
    return shlex.join(["rsbench", *sys.argv[1:]])


def plain(text: str) -> str:
    """Text without control characters and direction overrides: what a terminal may print."""
    bidi = {chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    return "".join(c for c in text if (c.isprintable() or c in "\n\t") and c not in bidi)
