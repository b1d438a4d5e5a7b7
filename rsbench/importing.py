"""Replies that were made elsewhere, as a model whose words are all there already.

`rsbench import` plans, judges and scores them as if they had been generated here; nothing is called but the
judge. The file's hash is the model's revision: another file is another run.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Strict, validated
from rsbench.models.base import Request
from rsbench.models.families import family_of
from rsbench.plan import Plan
from rsbench.records import reply_record
from rsbench.types import Reply, ReplyStatus, UserError


class ReplyLine(Strict):
    """One line of the file. Without `status` a reply with words is `ok`, one without is `empty`."""

    item: Annotated[str, Field(min_length=1)]
    text: str
    reasoning: str = ""
    sample: Annotated[int, Field(ge=0)] = 0
    status: ReplyStatus | None = None
    model: str = ""
    reasoning_kind: Literal["full", "summary"] = "full"  # a summary is never ranked beside whole chains

    @property
    def words(self) -> bool:
        """Whether anything was said."""
        return bool(self.text.strip() or self.reasoning.strip())

    def reply(self, name: str) -> Reply:
        """The reply this line holds; `name` is whose it is where the line does not say."""
        return Reply(
            self.status or ("ok" if self.words else "empty"),
            self.text,
            self.reasoning,
            self.reasoning_kind if self.reasoning.strip() else "none",
            model=self.model or name,
        )


_LINE: TypeAdapter[ReplyLine] = TypeAdapter(ReplyLine)


@dataclass
class ImportedModel:
    """The model under test of an import: it has a name and an identity, and generates nothing."""

    name: str
    family: str | None
    path: Path
    sha256: str
    lines: dict[tuple[str, int], tuple[int, ReplyLine]]  # (item, sample): line number and line
    account: str = "import"

    @property
    def samples(self) -> int:
        """Replies per item: as many as the highest sample number says."""
        return 1 + max(sample for _, sample in self.lines)

    def identity(self) -> dict[str, str]:
        """The name that was given, and the hash of the file."""
        return {"provider": "import", "model": self.name, "sha256": self.sha256}

    def records(self, plan: Plan) -> list[dict[str, Any]]:
        """The records of the plan's samples; a sample without a line has none, and counts as missing.

        Raises:
            UserError: a line about an item that the task does not have, or an `ok` without words.
        """
        known = {entry.id for entry in plan.dataset.index}
        for (item, _), (number, line) in self.lines.items():
            if line.status == "ok" and not line.words:  # a judge would find nothing unsafe in it
                raise UserError(
                    f"{self.path}:{number}: status is 'ok', but text and reasoning are empty; leave status "
                    "out, or say what became of the reply: refused, truncated, empty or error"
                )
            if item not in known:
                task = plan.dataset.card.name
                raise UserError(
                    f"{self.path}:{number}: task {task!r} has no item {item!r}; its {len(known)} items begin "
                    f"with {plan.dataset.index[0].id!r}"
                )
        found = ((sample, self.lines.get((sample.item.id, sample.number))) for sample in plan)
        return [
            reply_record(sample.key, sample.item.id, sample.number, there[1].reply(self.name))
            for sample, there in found
            if there is not None
        ]

    async def generate(self, request: Request) -> Reply:
        """Never called: what is not in the file is missing."""
        raise UserError("imported replies are all there is")

    async def close(self) -> None:
        """Nothing to release."""


def read_replies(path: Path, name: str) -> ImportedModel:
    """Read and check a file of replies.

    Raises:
        UserError: unreadable, empty, a line that is no reply, or two lines about one sample; names the line.
    """
    try:
        raw = path.read_bytes()
        texts = raw.decode("utf-8").split("\n")  # not splitlines: U+2028 may stand in a JSON string
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read as UTF-8 text ({error})") from error
    lines: dict[tuple[str, int], tuple[int, ReplyLine]] = {}
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        line = _line(text, f"{path}:{number}")
        first, _ = lines.setdefault((line.item, line.sample), (number, line))
        if first != number:
            where = f"item {line.item!r}, sample {line.sample}"
            raise UserError(f"{path}:{number}: {where} is there already, in line {first}")
        if line.sample > len(texts):  # a slip here would plan a billion missing samples
            raise UserError(f"{path}:{number}: sample {line.sample}; samples of an item are counted from 0")
    if not lines:
        raise UserError(f"{path}: no replies in it; one JSON object a line, with the keys item and text")
    return ImportedModel(name, family_of(name), path, hashlib.sha256(raw).hexdigest(), lines)


def _line(text: str, where: str) -> ReplyLine:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    return validated(_LINE, data, where)
