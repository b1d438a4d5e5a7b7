"""Checking a row: its numbers are never trusted, but recomputed from its labels; here, in CI, by the site."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rsbench.cards import validated
from rsbench.metrics import score_outcomes
from rsbench.official import official_numbers
from rsbench.publishable import check_whole
from rsbench.records import digest
from rsbench.row_items import check_items, check_task
from rsbench.row_judge import check_judge
from rsbench.row_labels import read_labels, read_sheet
from rsbench.row_texts import check_texts
from rsbench.rows import RECOMPUTED, ROW, Row
from rsbench.score import SEED
from rsbench.sheets import Sheet
from rsbench.types import Outcome, UserError

# NAME.schema.json is passed over as no row; NAME.values.html is a part of the comparison of row NAME.
_TAKEN = (".schema", ".values")


@dataclass(frozen=True)
class Checked:
    """A row that passed its check, with the labels that its numbers come from: in columns, and raw."""

    row: Row
    sheet: Sheet
    labels: Path
    content: bytes

    def outcomes(self) -> list[Outcome]:
        """The same labels with roles and probabilities, one a sample."""
        return list(read_labels(self.labels, self.content))


def check_row(path: Path) -> Row:
    """Check a row against its schema, its digest, its labels and its transcripts.

    Raises:
        UserError: what is wrong with it: bad shape, edited, labels missing, numbers that are not theirs.
    """
    return read_row(path).row


def read_row(path: Path) -> Checked:
    """A row, checked as `check_row` says, with its labels."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a row ({error})") from error
    row = validated(ROW, data, str(path))
    if digest({key: value for key, value in data.items() if key != "digest"}) != row.digest:
        raise UserError(f"{path}: edited after it was made (digest differs); make it anew from its run")
    _check_name(path, row)
    _check_day(path, row.made)
    _check_standing(path, row)
    check_task(path, row)
    check_judge(path, row)
    check_whole(str(path), row.task.condition)
    labels = path.with_name(row.labels.file)
    content = _beside(path, row.labels.file, row.labels.sha256, "the labels that its numbers come from")
    found = Checked(row, read_sheet(labels, content), labels, content)
    check_items(path, row, found.sheet)
    _check_numbers(path, data, found)
    if row.model.identity.get("provider") == "mock" or re.fullmatch(r"mock(-.*)?", row.judge.name):
        raise UserError(f"{path}: scripted model or judge (mock); that is no measurement and no row")
    if row.replies.file is not None:
        _beside(path, row.replies.file, row.replies.sha256, "its transcripts, unless it is sealed")
        chain = check_texts(path.with_name(row.replies.file), found.sheet, row.task.segmenter)
        if (said := row.model.chain_visibility) != chain:
            raise UserError(
                f"{path}: model.chain_visibility: {said!r}; allowed is {chain!r}, as its transcripts show"
            )
    return found


def _check_numbers(path: Path, data: dict[str, Any], found: Checked) -> None:
    """Every number is what the labels give, to the last digit, and the run behind them is complete."""
    row = found.row
    if row.labels.samples != len(found.sheet):
        raise UserError(
            f"{path}: labels.samples is {row.labels.samples}, but its labels are {len(found.sheet)}"
        )
    recomputed = score_outcomes(found.sheet, SEED)
    if row.task.official:
        recomputed["official"] = official_numbers(row.task.official, found.outcomes())
    for key in (*RECOMPUTED, "official"):
        # As text, for to Python False is 0.
        if _as_json(recomputed.get(key)) != _as_json(data.get(key)):
            raise UserError(f"{path}: {key} is not what its labels give; the row was not made by rsbench")
    if not recomputed["complete"]:
        raise UserError(f"{path}: the run behind this row is incomplete")


def _as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _check_name(path: Path, row: Row) -> None:
    """A row's files bear its name, which gives none of them the name of another file."""
    if row.name != path.stem or row.labels.file != f"{path.stem}.labels.jsonl":
        raise UserError(f"{path}: the row is named {row.name!r}; its files must bear that name")
    if row.name.endswith(_TAKEN):
        raise UserError(
            f"{path}: name: {row.name!r}; allowed are names that do not end in {' or '.join(_TAKEN)}, as "
            "other files do; call its judge otherwise"
        )


def _check_day(path: Path, made: str) -> None:
    """The schema tells the form of a day; that there is such a day, only a calendar."""
    try:
        date.fromisoformat(made)
    except ValueError as error:
        raise UserError(f"{path}: made: {made!r} is no day ({error})") from error


def _check_standing(path: Path, row: Row) -> None:
    """Open or sealed, and what follows from it: words beside a sealed row would be published with it."""
    sealed = row.transcripts == "sealed"
    beside = path.with_name(f"{row.name}.transcripts.jsonl")
    if sealed and beside.exists():
        raise UserError(
            f"{beside}: lies beside a row whose transcripts are sealed, and would be published with it; move "
            f"it out of this folder, or make {path.name} anew without --sealed"
        )
    if row.replies.file != (None if sealed else f"{row.name}.transcripts.jsonl"):
        raise UserError(
            f"{path}: transcripts are {row.transcripts}, but replies.file is {row.replies.file!r}"
        )
    if row.standing == ("recomputed" if sealed else "self-reported"):
        raise UserError(f"{path}: standing {row.standing!r} does not go with {row.transcripts} transcripts")


def _beside(path: Path, name: str, sha256: str, what: str) -> bytes:
    """A file beside a row, checked by its hash."""
    beside = path.with_name(name)
    if not beside.is_file():
        raise UserError(f"{beside}: missing; a row ships {what}")
    content = beside.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{beside}: not the file this row was made with (sha256 differs)")
    return content
