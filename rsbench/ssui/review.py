"""The fifth stage: a person looks at every pair in the terminal, and accepts, edits or rejects it.

Each answer is written down before the next pair is shown, so that the review can be left at any time. What
models wrote is printed as plain text.
"""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from rsbench.ssui.candidates import Outcome
from rsbench.ssui.decisions import Decision, Decisions, check_edited
from rsbench.ssui.state import read_candidates
from rsbench.store import RunFolder
from rsbench.terminal import plain
from rsbench.types import UserError

QUESTION = "[a]ccept, [e]dit, [r]eject, [s]kip, [q]uit? "


def review(out: Path, by: str, console: Console, read: Callable[[], str]) -> dict[str, int]:
    """Show what has no decision yet; returns how many were decided, and how many are left.

    Args:
        out: The build's folder.
        by: Who decides; kept with each decision.
        console: Where pairs are shown.
        read: The next line that was typed; empty at the end of input.

    Raises:
        UserError: no build, or the folder is in use.
    """
    passed = [outcome for outcome in read_candidates(out) if outcome.fate == "passed"]
    counts = {"accepted": 0, "edited": 0, "rejected": 0, "left": 0}
    with RunFolder(out).locked():
        decisions = Decisions(out).open(writable=True)
        try:
            todo = [outcome for outcome in passed if decisions.of(outcome) is None]
            for number, outcome in enumerate(todo, 1):
                console.print(f"\n{number} of {len(todo)}", style="bold")
                for line in lines(outcome, out):
                    console.print(line, markup=False, soft_wrap=True)
                decision = _decide(outcome, by, console, read)
                if decision is None:
                    break
                if decision == "skip":
                    continue
                assert isinstance(decision, Decision)
                decisions.keep(outcome, decision)
                counts[decision.what] += 1
            counts["left"] = sum(decisions.of(outcome) is None for outcome in passed)
        finally:
            decisions.close()
    return counts


def _decide(outcome: Outcome, by: str, console: Console, read: Callable[[], str]) -> Decision | str | None:
    """A decision, "skip", or None to quit; anything else is asked again."""
    while True:
        console.print(QUESTION, markup=False, end="")
        typed = read()
        answer = typed.strip().lower()[:1]
        if not typed or answer == "q":
            return None
        if answer == "s":
            return "skip"
        if answer == "a":
            return Decision("accepted", by, "", outcome.items)
        if answer == "r":
            console.print("Why? ", markup=False, end="")
            return Decision("rejected", by, read().strip(), outcome.items)
        if answer == "e":
            try:
                edited = check_edited(outcome, _edit(list(outcome.items)))
            except UserError as error:
                console.print(str(error), markup=False, soft_wrap=True)
                continue
            if edited == outcome.items:
                console.print("Nothing was changed.", markup=False)
                continue
            return Decision("edited", by, "", edited)


def _edit(items: list[dict[str, Any]]) -> Any:
    """Open the pair as JSON in $EDITOR; what it holds afterwards."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.json"
        path.write_text(json.dumps(items, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        try:
            subprocess.run([*editor, str(path)], check=True)
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(f"the editor {editor[0]!r} did not work ({error}); set EDITOR") from error
        except ValueError as error:
            raise UserError(f"not JSON any more ({error}); nothing was kept") from error


def lines(outcome: Outcome, out: Path) -> list[str]:
    """A pair for a person to read."""
    first = outcome.items[0]
    shown = [f"{outcome.id} · {first['category']} · picture {out / outcome.image}"]
    shown.append(f"caption: {plain(first['images'][0]['caption'])}")
    for item in outcome.items:
        shown += ["", f"{item['kind'].upper()}: {plain(item['query'])}", f"  note: {plain(item['note'])}"]
        for name in ("reference", "contrast"):
            shown.append(f"  {name}:")
            for number, step in enumerate(item[name]["steps"], 1):
                labels = _labels(step, "")
                shown.append(f"  {number:>4} {step['role']}{labels}: {plain(step['text'])}")
            labels = _labels(item[name], "answer_")
            shown.append(f"     A{labels}{':' if labels else ''} {plain(item[name]['answer'])}")
    return shown


def _labels(of: dict[str, Any], prefix: str) -> str:
    """What a contrast path's step or answer is labelled; a reference path's are not."""
    named = [of[prefix + key] for key in ("safety", "effectiveness") if prefix + key in of]
    return f" [{', '.join(named)}]" if named else ""
