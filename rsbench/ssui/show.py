"""What a user sees of a build: progress, the tally of candidates with reasons, and what to do next."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rsbench.forecast import Ask, Forecast
from rsbench.settings import Settings
from rsbench.spending import spending_lines
from rsbench.ssui.build import build, make_plan
from rsbench.ssui.candidates import Outcome
from rsbench.ssui.review import review
from rsbench.ssui.state import CANDIDATES, read_build
from rsbench.ssui.task import write_task
from rsbench.terminal import Watch, command, err, out, plain, watched

REASONS = 10  # dropped candidates that are listed; all stand in the file


def build_and_show(
    settings: Settings,
    folder: Path,
    images: Path,
    per_image: int,
    against: Iterable[str],
    asked: dict[str, Any],
) -> bool:
    """Build, then say what became of the candidates; returns whether none is unfinished."""
    plan = make_plan(settings, folder, images, per_image, against, asked)
    label = f"building from {images}"
    outcomes = watched(label, folder, lambda watch, warn: build(plan, watch, warn, _ask(watch, settings)))
    if outcomes is None:
        return True  # a dry run
    _show(outcomes, folder)
    return not any(outcome.fate == "unfinished" for outcome in outcomes)


def _ask(watch: Watch, settings: Settings) -> Ask:
    def ask(paid: bool, count: Callable[[], Forecast]) -> bool:
        if settings.dry_run:
            out().print(
                f"{count().text()}\nFor the case that every candidate passes.", markup=False, soft_wrap=True
            )
        elif paid:
            watch.confirm(count().text(), settings.yes)
        return not settings.dry_run

    return ask


def _show(outcomes: list[Outcome], folder: Path) -> None:
    console, fates = out(), Counter(outcome.fate for outcome in outcomes)
    built = read_build(folder)
    if built["identity"]["mock"]:
        console.print("MOCK: scripted model. No real data.", style="bold")
    counts = ", ".join(f"{fates[fate]} {fate}" for fate in ("passed", "dropped", "unfinished") if fates[fate])
    console.print(f"{len(outcomes)} candidates: {counts}", markup=False)
    dropped = [outcome for outcome in outcomes if outcome.fate == "dropped"]
    for stage, count in sorted(Counter(outcome.stage for outcome in dropped).items()):
        console.print(f"  {count:>5}  dropped at {stage}", markup=False)
    for outcome in dropped[:REASONS]:
        console.print(f"  {outcome.id}: {plain(outcome.reason)}", markup=False, soft_wrap=True)
    console.print(f"Every candidate with its reason: {folder / CANDIDATES}", markup=False, soft_wrap=True)
    for line in spending_lines(built):
        console.print(line, markup=False, soft_wrap=True)
    if fates["unfinished"]:
        why = next(outcome.reason for outcome in outcomes if outcome.fate == "unfinished")
        text = f"UNFINISHED: {fates['unfinished']} candidates ({plain(why)}). To go on:\n  {command()}"
        err().print(text, markup=False, soft_wrap=True)
    if fates["passed"]:
        console.print(
            f"Next: {shlex.join(['rsbench', 'ssui', 'review', str(folder)])}", markup=False, soft_wrap=True
        )


def review_and_show(folder: Path, by: str, read: Callable[[], str], name: str | None, license_: str) -> None:
    """Review, and write the task if anything is accepted."""
    console = out()
    counts = review(folder, by, console, read)
    console.print("\n" + ", ".join(f"{count} {what}" for what, count in counts.items()), markup=False)
    if counts["accepted"] or counts["edited"] or counts["rejected"]:
        write_and_show(folder, name, license_, unreviewed=False, may_be_empty=True)


def write_and_show(
    folder: Path, name: str | None, license_: str, unreviewed: bool, may_be_empty: bool = False
) -> None:
    """Write the task and say how to go on."""
    written = write_task(folder, name, license_, unreviewed, may_be_empty)
    if written is None:
        out().print("No pair is accepted yet; no task was written.", markup=False)
        return
    task, pairs = written
    place = str(task) if str(task).startswith(("/", ".")) else f"./{task}"
    out().print(f"{pairs} pairs written to {task}", markup=False, soft_wrap=True)
    out().print(f"Next: {shlex.join(['rsbench', 'check', 'task', place])}", markup=False, soft_wrap=True)
