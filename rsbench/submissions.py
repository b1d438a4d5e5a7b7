"""Batches at a provider: submitted once, found again after a crash, awaited, their results fetched.

A batch is noted in `batches.jsonl` before it is submitted (`intent`), with its id (`submitted`), and when all
that it answered is recorded (`done`). So a crash at any moment is followed by a look at what the provider
has, never by a second submission of requests that are already there. What a session that ends has read of an
open batch is noted as well: see `batches`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rsbench.budget import Budget, Spending
from rsbench.limits import Limiter, RetryPolicy, with_retry
from rsbench.models.base import ProviderError
from rsbench.models.batch_api import BatchApi, custom_id_of
from rsbench.store import Records, RunFolder
from rsbench.types import FINAL_BATCH, UserError

T = TypeVar("T")
Entry = dict[str, Any]  # a line of batches.jsonl
FOLDER = "batches"  # of results, beside the list of batches
_GO_ON = "What was submitted goes on there; the same command picks it up."


class Progress(Protocol):
    """What is shown while a batch is waited for."""

    calls: int
    stage: str


@dataclass(frozen=True)
class Means:
    """What a session lends to its batches."""

    budget: Budget
    limiter: Limiter
    policy: RetryPolicy
    tally: Progress
    on_change: Callable[[], None]
    poll_s: float


class Submissions:
    """The batches of one model in one run folder. `who`: for whose calls, the model's or a judge's."""

    def __init__(
        self, api: BatchApi, means: Means, folder: RunFolder, who: str, model: dict[str, str]
    ) -> None:
        self.path = folder.path / FOLDER
        self._api = api
        self._means = means
        self._folder = folder
        self._who = who
        self._whose: dict[str, object] = {"who": who, "model": model}
        self._list: Records = folder.batches(FINAL_BATCH).open()

    async def unfinished(self) -> list[Entry]:
        """The batches of an earlier session whose results are not all recorded, each with its id."""
        found = []
        for entry in self._list.unfinished():
            if any(entry[key] != value for key, value in self._whose.items()):
                continue
            batch_id = entry["id"] or await self._look_for(entry)
            if batch_id:
                found.append(self._submitted(entry, batch_id))
            else:
                self._note(entry, "lost")
                self._means.budget.release(Spending.read(entry["reserved"]))
        return found

    async def submit(self, lines: Path, token: str, keys: list[str], reserved: Spending) -> Entry:
        """Submit a file of requests.

        Raises:
            UserError: the provider refused it, or can't be reached.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"schema": 1, "key": token, **self._whose, "id": "", "at": now}
        entry |= {"requests": keys, "reserved": reserved.stored()}
        self._note(entry, "intent")
        return self._submitted(entry, await self._get_in(lines, entry))

    async def wait(self, entries: Iterable[Entry]) -> list[tuple[Entry, Path]]:
        """Until every batch has ended and its results lie in the run folder."""
        waiting, fetched = {entry["key"]: entry for entry in entries}, []
        answered = dict.fromkeys(waiting, 0)
        while waiting:
            for token, entry in list(waiting.items()):
                path = self.path / f"{token}.jsonl"
                if not path.exists():
                    answered[token] = await self._fetch(entry["id"], path)
                if path.exists():
                    fetched.append((waiting.pop(token), path))
            if waiting:
                total = sum(len(entry["requests"]) for entry in waiting.values())
                done = sum(answered[token] for token in waiting)
                self._show(f"waiting for {len(waiting)} batches ({done}/{total} requests answered)")
                await asyncio.sleep(self._means.poll_s)
        return fetched

    def done(self, entry: Entry) -> None:
        """All that this batch answered is recorded."""
        self._note(entry, "done")

    def leave(self, entry: Entry) -> None:
        """This batch is for a later session, with what the entry says of it now."""
        self._note(entry, "submitted")

    def close(self) -> None:
        """Close the list."""
        self._list.close()

    async def _get_in(self, lines: Path, entry: Entry) -> str:
        """Submit until the provider has it. What looks like a failure may have arrived: look, then repeat."""
        policy, token = self._means.policy, entry["key"]
        for attempt in range(1, policy.max_attempts + 1):
            try:
                return await self._api.submit(lines, token)
            except ProviderError as error:
                if error.kind in ("bad_request", "fatal"):
                    self._note(entry, "refused")
                    raise UserError(f"The batch was refused, and nothing was asked: {error}") from error
                failure = error
            await asyncio.sleep(max(failure.retry_after_s or 0.0, policy.backoff_s(token, attempt)))
            if failure.kind == "transient" and (found := await self._look_for(entry)):
                return found
        raise UserError(f"{failure} ({policy.max_attempts} attempts). {_GO_ON}") from failure

    async def _look_for(self, entry: Entry) -> str | None:
        """The id of a batch that was submitted, perhaps, without an id having come back."""
        since = datetime.fromisoformat(entry["at"])
        known = {str(one["id"]) for one in self._list.all()}
        count, token = len(entry["requests"]), entry["key"]
        for batch_id in await self._ask(lambda: self._api.find(token, count, since, known)):
            if self._api.marked or await self._is_ours(batch_id, token):
                return batch_id
        return None

    async def _is_ours(self, batch_id: str, token: str) -> bool:
        """By the ids in its results, when it has ended: another program may send as many requests."""
        while not (await self._ask(lambda: self._api.state(batch_id))).ended:
            self._show(f"looking whether batch {batch_id} is this run's")
            await asyncio.sleep(self._means.poll_s)
        lines = (await self._ask(lambda: self._api.results(batch_id))).splitlines()
        return any((custom_id_of(line) or "").startswith(custom_id(token, "")) for line in lines)

    async def _fetch(self, batch_id: str, path: Path) -> int:
        """Put the results into the run folder if the batch has ended; returns how many are answered."""
        state = await self._ask(lambda: self._api.state(batch_id))
        if state.ended:
            text = json.dumps({"failure": state.failure})
            if not state.failure:
                text = await self._ask(lambda: self._api.results(batch_id))
            self._folder.write_text(f"{FOLDER}/{path.name}", text.rstrip("\n") + "\n")
        return state.answered

    def _submitted(self, entry: Entry, batch_id: str) -> Entry:
        if entry["id"] == batch_id:
            return entry
        entry = {**entry, "id": batch_id}
        self._note(entry, "submitted")
        return entry

    def _note(self, entry: Entry, status: str) -> None:
        self._list.append({**entry, "status": status})
        self._list.sync()

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """A question that changes nothing, repeated like any call.

        Raises:
            UserError: the provider can't be reached; what was submitted goes on there.
        """
        means = self._means
        try:
            found, _ = await with_retry(call, means.limiter, means.policy, key=self._who)
        except ProviderError as error:
            raise UserError(f"{error}. {_GO_ON}") from error
        return found

    def _show(self, words: str) -> None:
        self._means.tally.stage = words
        self._means.on_change()


def custom_id(token: str, key: str) -> str:
    """Id of a request within its batch, in the 64 characters that the providers allow."""
    return f"{token[:16]}-{key[:47]}"
