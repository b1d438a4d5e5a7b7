"""What a person decided on each pair: kept, append-only, and valid for exactly the words that were shown.

A decision's key covers the pair as shown; a pair that a later session made anew is shown anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter

from rsbench.cards import validated
from rsbench.item_records import ItemRecord
from rsbench.leakage import normalised
from rsbench.records import digest
from rsbench.ssui.candidates import Outcome
from rsbench.store import Records
from rsbench.types import UserError

DECISIONS = "decisions.jsonl"
Decided = Literal["accepted", "edited", "rejected"]
_PAIR: TypeAdapter[list[ItemRecord]] = TypeAdapter(list[ItemRecord])


@dataclass(frozen=True)
class Decision:
    """One person's word on one pair; `items` are the edited ones, else those that were shown."""

    what: Decided
    by: str
    reason: str
    items: tuple[dict[str, Any], ...]


class Decisions:
    """`decisions.jsonl` of a build. The last decision on a pair counts."""

    def __init__(self, out: Path) -> None:
        self._records = Records(out / DECISIONS, frozenset(get_args(Decided)))

    def open(self, writable: bool) -> "Decisions":
        """Index what is there."""
        if writable or self._records.path.exists():
            self._records.open(writable)
        return self

    def of(self, candidate: Outcome) -> Decision | None:
        """What was decided on the candidate as it is now."""
        record = self._records.get(_key(candidate))
        if record is None:
            return None
        return Decision(record["status"], record["by"], record["reason"], tuple(record["items"]))

    def keep(self, candidate: Outcome, decision: Decision) -> None:
        """Write one down, at once."""
        head = {"schema": 1, "key": _key(candidate), "candidate": candidate.id, "status": decision.what}
        more = {"by": decision.by, "reason": decision.reason, "items": list(decision.items)}
        self._records.append(head | more)
        self._records.sync()

    def close(self) -> None:
        """Close the file."""
        self._records.close()


def _key(candidate: Outcome) -> str:
    return digest("decision", candidate.id, list(candidate.items))


def check_edited(shown: Outcome, edited: Any) -> tuple[dict[str, Any], ...]:
    """The edited items, if they are still a pair that a task can hold.

    Raises:
        UserError: what is wrong with them.
    """
    where = f"pair {shown.id}"
    if not isinstance(edited, list):
        raise UserError(f"{where}: must be a list of its two items")
    records = validated(_PAIR, edited, where)
    for key in ("id", "pair", "kind", "images", "swap"):
        if [item.get(key) for item in edited] != [item[key] for item in shown.items]:
            raise UserError(f"{where}: {key} can't be edited")
    if normalised(records[0].query) == normalised(records[1].query):
        raise UserError(f"{where}: the two queries are the same")
    if any(record.reference is None or record.contrast is None for record in records):
        raise UserError(f"{where}: reference and contrast must stay")
    return tuple(edited)
