"""What a run folder has cost over all its sessions, by its records and its manifest.

A record holds what its own calls used, so that a killed session is counted too. What leaves no record (failed
tries that were billed, broken-off calls) stands in the manifest, one entry a session. Between the two are
results of batches that were read for records which are still to come: the list of batches holds those.
"""

import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from rsbench.budget import FREE, Callers, Spending, spent
from rsbench.models.cards import Prices
from rsbench.store import RunFolder
from rsbench.types import FINAL_BATCH

MODEL = "the model under test"  # beside the judges' names; no judge can be called so


class Account:
    """One session in a run folder's books.

    Args:
        stored: The manifest; the prices go into it.
        callers: Who may make calls in this session.
    """

    def __init__(self, folder: RunFolder, stored: dict[str, Any], callers: Callers) -> None:
        now = {name: caller.prices and _stored(caller.prices) for name, caller in callers.items()}
        stored["prices"] = stored.get("prices", {}) | now
        self._prices = {name: prices_from(known) for name, known in stored["prices"].items()}
        self._folder = folder
        self._recorded = recorded(folder, self._prices)
        entries = [entry["unrecorded"] for entry in stored["sessions"] if "unrecorded" in entry]
        self._pending = pending(folder)
        self.before = sum((Spending.read(entry) for entry in entries), self._recorded + self._pending)
        # What open batches, of whomever, may cost beyond what is known of them.
        self.held = sum((Spending.read(entry["reserved"]) for entry in open_batches(folder)), Spending())

    def close(self, here: Spending, stored: dict[str, Any]) -> dict[str, Any]:
        """Put the new total into the manifest; returns what the session's entry says.

        Args:
            here: What this session spent.
            stored: The manifest.
        """
        new = recorded(self._folder, self._prices) - self._recorded
        stored["spending"] = (self.before + here).stored()
        # Of what was pending before, a part is in new records now, and a part is pending still.
        unrecorded = here + self._pending - new - pending(self._folder)
        return {"spending": here.stored(), "unrecorded": unrecorded.stored()}


def recorded(folder: RunFolder, prices: Mapping[str, Prices | None]) -> Spending:
    """What the calls behind a folder's records used. An `error` says nothing of what its tries used.

    Args:
        folder: The run.
        prices: By caller, None if unknown; who is not in it (an offline judge) makes no calls.
    """
    total = Spending()
    for record in records(folder.path / "replies.jsonl"):
        if MODEL in prices:
            total += used_by(record, 1, prices[MODEL])
    for record in records(folder.path / "verdicts.jsonl"):
        if record["judge"] in prices:
            total += used_by(record, record["attempts"], prices[record["judge"]])
    return total


def open_batches(folder: RunFolder) -> list[dict[str, Any]]:
    """The batches that are on their way to a folder, or whose results are not all recorded."""
    found = folder.batches(FINAL_BATCH)
    return found.open(writable=False).unfinished() if found.path.exists() else []


def pending(folder: RunFolder) -> Spending:
    """What was paid for results of open batches that are in no record yet, as far as sessions noted it."""
    counted = [(entry["key"], one) for entry in open_batches(folder) for one in _counted(entry)]
    known = batches_of(folder, {token for token, _ in counted})
    left = (Spending.read(one) for token, one in counted if token not in known.get(one["record"], ()))
    return sum(left, Spending())


def batches_of(folder: RunFolder, tokens: Set[str]) -> dict[str, set[str]]:
    """Which of these batches are in which records, errors apart; by the records' keys."""
    found: dict[str, set[str]] = {}
    if not tokens:
        return found
    for record in records(folder.path / "replies.jsonl", folder.path / "verdicts.jsonl"):
        if isinstance(record.get("batch"), list) and (known := tokens & set(record["batch"])):
            found.setdefault(record["key"], set()).update(known)
    return found


def _counted(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return list(entry.get("counted", {}).values())


def spending_lines(manifest: dict[str, Any]) -> list[str]:
    """What the footer of a table says; nothing of runs that cost nothing."""
    prices = [prices_from(known) for known in manifest.get("prices", {}).values()]
    if "spending" not in manifest or all(known == FREE for known in prices):
        return []
    return [f"Spent in this folder: {Spending.read(manifest['spending']).words()}"]


def used_by(record: dict[str, Any], calls: int, prices: Prices | None) -> Spending:
    """What the calls behind one record used, by batch at the price of a batch."""
    usage = record["usage"]
    if prices is not None and record.get("batch"):
        prices = prices.batched()
    return spent(calls, usage["input_tokens"] or 0, usage["output_tokens"] or 0, prices)


def records(*paths: Path) -> Iterator[dict[str, Any]]:
    """The records without errors. A torn or damaged line is for `Records.open` to mend or to refuse."""
    for path in paths:
        if not path.exists():
            continue
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if record["status"] != "error":
                    yield record


def _stored(prices: Prices) -> dict[str, Any]:
    batch = {"batch": prices.batch.model_dump()} if prices.batch else {}
    return {"input": prices.input, "output": prices.output, **batch}


def prices_from(known: dict[str, Any] | None) -> Prices | None:
    """Out of a manifest's `prices`; None where they are unknown."""
    return None if known is None else Prices.model_validate(known)
