"""The manifest of a run: what was run, with what, where. Written before the first call, checked on resume.

`identity` holds what makes two runs the same run; a resume whose identity differs stops and prints the
difference. Everything else (hardware, versions, timings) is kept for the reader and compared by nothing.
"""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsbench import __version__
from rsbench.shelves import Found
from rsbench.types import UserError

SCHEMA = 1
_LIBRARIES = (
    "torch",
    "transformers",
    "datasets",
    "openai",
    "anthropic",
    "pydantic",
    "jinja2",
    "pillow",
    "numpy",
)


def fresh(identity: dict[str, Any], cards: dict[str, Found], started: str) -> dict[str, Any]:
    """A new manifest. `started` is an ISO 8601 time in UTC."""
    return {
        "schema": SCHEMA,
        "identity": identity,
        "cards": {name: card_entry(found) for name, found in cards.items()},
        "judges": {},
        "created": started,
        "rsbench": {"version": __version__, "commit": own_commit()},
        "libraries": dict(_versions()),
        "hardware": hardware(),
        "sessions": [],
    }


def card_entry(found: Found) -> dict[str, str]:
    """Where a card lies, which shelf it came from, and its hash."""
    return {"path": str(found.path), "origin": found.origin, "sha256": found.sha256}


def check_unchanged(old: dict[str, Any], new: dict[str, Any], folder: Path, allow: bool) -> list[str]:
    """The differences between two identities, one line each.

    Raises:
        UserError: there are some and `allow` is off.
    """
    differences = list(_differences(old, new, ""))
    if differences and not allow:
        listed = "\n  ".join(differences)
        raise UserError(
            f"{folder} holds a run with other settings:\n  {listed}\n"
            "Give another --out, or --allow-change to go on here (finished records that still fit are kept)."
        )
    return differences


def _differences(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where}: was {old!r}, now {new!r}"


def own_commit() -> str | None:
    """Commit of the checkout rsbench runs from; None for an installed wheel."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", platform.python_version()
    for name in _LIBRARIES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def hardware() -> dict[str, Any]:
    """Processor, cores, system; the GPUs' names if torch has been loaded anyway."""
    return {"machine": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
