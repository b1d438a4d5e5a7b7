"""The scripted model: a normal provider whose words come from a file, a function, or the items themselves.

With no script it answers each item from its reference or its contrast path, chosen by the content key, so
that any task runs end to end offline. Runs with it are stamped MOCK and never become a leaderboard row.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

from rsbench.models.base import Request
from rsbench.records import digest
from rsbench.types import FINAL_REPLY, AuthoredPath, ReasoningKind, Reply, ReplyStatus, Usage, UserError

Script = Callable[[Request], Reply | str]


class MockModel:
    """`mock`, `mock/FILE.jsonl` or `mock/package.module:name`.

    A file holds lines of {"item", "text"}, if wanted "reasoning" and "status"; a function gets the request.
    """

    family: str | None = None

    def __init__(self, name: str, script: str = "") -> None:
        self.name = name
        self.account = f"mock:{script}"
        self._identity = {"provider": "mock", "script": script}
        self._script: Script = _authored
        if ":" in script:
            self._script = _callable(script)
        elif script:
            path = Path(script)
            self._script = _from_file(path)
            self._identity["sha256"] = digest(path.read_text(encoding="utf-8"))

    def identity(self) -> dict[str, str]:
        """The script's name and, for a file, its hash."""
        return dict(self._identity)

    async def generate(self, request: Request) -> Reply:
        """What the script says."""
        said = self._script(request)
        if isinstance(said, Reply):
            return said
        words = Usage(sum(len(m.text.split()) for m in request.messages), len(said.split()))
        return Reply(
            "ok" if said.strip() else "empty", said, finish_reason="stop", model=self.name, usage=words
        )

    async def close(self) -> None:
        """Nothing to release."""


def as_text(path: AuthoredPath) -> str:
    """An authored path as a model would write it: numbered steps, then the answer."""
    lines = [f"Step {n}: {step.text}" for n, step in enumerate(path.steps, 1)]
    return "\n".join([*lines, f"Answer: {path.answer}"])


def _authored(request: Request) -> str:
    item = request.item
    paths = [p for p in (item.reference, item.contrast) if p] if item else []
    if not paths:
        return "Step 1: I look at both.\nStep 2: They seem ordinary.\nAnswer: Here is my help."
    return as_text(paths[int(request.key[:8], 16) % len(paths)])


def _from_file(path: Path) -> Script:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        replies = {str(row["item"]): _reply(row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: a mock script is JSON lines with the keys item and text ({error!r})"
        ) from error

    def answer(request: Request) -> Reply:
        if request.item is None or request.item.id not in replies:
            raise UserError(f"{path}: no reply for item {request.item.id if request.item else '?'!r}")
        return replies[request.item.id]

    return answer


def _reply(row: dict[str, str]) -> Reply:
    kind: ReasoningKind = "full" if "reasoning" in row else "none"
    status = row.get("status", "ok")
    if status not in FINAL_REPLY:  # a word that no number knows would drop the item without a trace
        raise ValueError(f"status {status!r}; allowed are {', '.join(sorted(FINAL_REPLY))}")
    return Reply(cast(ReplyStatus, status), row["text"], row.get("reasoning", ""), kind)


def _callable(target: str) -> Script:
    module, _, name = target.partition(":")
    try:
        script: Script = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"mock script {target!r} can't be imported: {error}") from error
    return script
