"""A build's folder: its manifest, and the list of what became of every candidate.

`build.json` is to a build what `manifest.json` is to a run, under another name, so that no command takes one
for the other. `candidates.jsonl` is derived from the records and written anew by each session.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rsbench import manifest
from rsbench.sources import json_lines
from rsbench.ssui.candidates import Outcome
from rsbench.store import RunFolder, read_noted
from rsbench.types import UserError

BUILD = "build.json"
CANDIDATES = "candidates.jsonl"


def read_build(out: Path) -> dict[str, Any]:
    """The build's manifest.

    Raises:
        UserError: no build is there, or a newer one.
    """
    path = out / BUILD
    if not path.is_file():
        raise UserError(f"{out}: no build of `rsbench ssui build` (no {BUILD})")
    return read_noted(path, "a build's manifest", manifest.SCHEMA)


def resume(
    folder: RunFolder, identity: dict[str, Any], allow_change: bool, warn: Callable[[str], None]
) -> dict[str, Any]:
    """The manifest to go on with.

    Raises:
        UserError: the folder holds a build with other models or prompts.
    """
    replies = folder.path / "replies.jsonl"
    if not (folder.path / BUILD).exists() or not replies.exists() or not replies.stat().st_size:
        return manifest.fresh(identity, {}, datetime.now(UTC).isoformat(timespec="seconds"))
    stored = read_build(folder.path)
    for line in manifest.check_unchanged(stored["identity"], identity, folder.path, allow_change):
        warn(f"changed since the build began: {line}")
    return {**stored, "identity": identity}


def write_candidates(folder: RunFolder, outcomes: list[Outcome]) -> None:
    """Write the list whole."""
    lines = [json.dumps(asdict(outcome), ensure_ascii=False) for outcome in outcomes]
    folder.write_text(CANDIDATES, "".join(f"{line}\n" for line in lines))


def read_candidates(out: Path) -> Iterator[Outcome]:
    """Every candidate of the last session, in order.

    Raises:
        UserError: no build, or a damaged list.
    """
    read_build(out)
    for where, row in json_lines(out / CANDIDATES):
        try:
            yield Outcome(**{**row, "items": tuple(row["items"])})
        except (KeyError, TypeError) as error:
            raise UserError(f"{where}: not a candidate ({error}); run the build again") from error
