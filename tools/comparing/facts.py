"""What every exploration, trial and training cost and gave: one JSON line each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

What = Literal["bank", "trial", "run", "beside"]


class Facts:
    """The lines of a file; written by one process alone, the one that hands out the jobs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[tuple[str, str], dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                found = json.loads(line)
                self._lines[found["what"], found["name"]] = found

    def has(self, what: What, name: str) -> bool:
        """Whether it was done."""
        return (what, name) in self._lines

    def of(self, what: What) -> Iterator[dict[str, Any]]:
        """All of a kind, by name."""
        yield from (line for (kind, _), line in sorted(self._lines.items()) if kind == what)

    def add(self, what: What, name: str, found: dict[str, Any]) -> None:
        """Keep one; the file is whole after every line."""
        line = {"what": what, "name": name, **found}
        self._lines[what, name] = line
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
