"""A judge's measured agreement, as it lies beside its card: `validation.json`.

A measurement belongs to exactly the instrument it was made with; with another model, rubric or hint setting
the judge counts as unvalidated, and every page that shows its scores says so.
"""

import json
from pathlib import Path
from typing import Any

from rsbench.records import digest

FILE = "validation.json"


def find_validation(folder: Path, identity: dict[str, str]) -> dict[str, Any] | None:
    """The measurement of this very judge; None if there is none.

    The file holds a list under `measurements`, each with the `identity` digest it was made with.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    measurements: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["measurements"]
    wanted = digest(identity)
    return next((m for m in measurements if m["identity"] == wanted), None)
