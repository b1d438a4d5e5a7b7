"""A provider's batch API as the engine sees it: requests in a file, one id, results in any order, cheaper.

Only single exchanges with the provider are here and in its `*_batches` module; what has been submitted, and
what to do after a crash, is the business of `rsbench.batches`.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rsbench.models.base import ProviderError, Request
from rsbench.models.http_replies import json_object, text_of
from rsbench.types import Reply


@dataclass(frozen=True)
class BatchLimits:
    """The most that one batch may hold."""

    requests: int
    bytes: int


@dataclass(frozen=True)
class BatchState:
    """Where a batch stands. `failure`: why it came to nothing as a whole, in the provider's words."""

    ended: bool
    answered: int = 0
    failure: str = ""


class BatchApi(Protocol):
    """One exchange a call; each raises ProviderError as `Model.generate` does."""

    limits: BatchLimits
    marked: bool  # whether batches keep our token, so that `find` is certain

    def line(self, custom_id: str, request: Request) -> bytes:
        """One request as a line of JSON."""
        ...

    async def submit(self, lines: Path, token: str) -> str:
        """Submit a file of such lines; `token` is a mark to find the batch by. Returns the batch's id."""
        ...

    async def find(self, token: str, count: int, since: datetime, known: Collection[str]) -> list[str]:
        """Ids of batches that may be the one submitted with `token`, those in `known` left out.

        Where the API keeps marks, at most one; else those of `count` requests created after `since`.
        """
        ...

    async def state(self, batch_id: str) -> BatchState:
        """Look at a batch."""
        ...

    async def results(self, batch_id: str) -> str:
        """The results of a batch that has ended: lines of JSON as the provider gave them, in any order."""
        ...

    def read(self, line: dict[str, Any]) -> Reply:
        """The reply in one line of results.

        Raises:
            ProviderError: the request failed, expired or was cancelled.
        """
        ...


@runtime_checkable
class HasBatches(Protocol):
    """A model whose provider has a batch API."""

    def batches(self) -> BatchApi:
        """The API, on the model's own client."""
        ...


def custom_id_of(line: str) -> str | None:
    """Whose result a line is; None if it is unreadable."""
    try:
        found = json_object(line).get("custom_id")
    except ProviderError:
        return None
    return found if isinstance(found, str) else None


def as_line(data: dict[str, Any]) -> bytes:
    """Compact JSON, one line."""
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def id_of(row: dict[str, Any]) -> str:
    """The id of a batch, checked: it becomes part of a path, at the provider and in the run folder.

    Raises:
        ProviderError: transient, if there is none of a harmless form.
    """
    found = text_of(row.get("id"), "id")
    if not found or not all(c.isalnum() or c in "-_" for c in found):
        raise ProviderError("transient", f"unusable reply: the id of a batch is {found[:80]!r}")
    return found


def rows_of(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of one page of a listing."""
    return [row for row in page.get("data") or [] if isinstance(row, dict)]
