"""Who is asked in a build, and the records of what they said: no question is asked twice.

The author's replies lie in `replies.jsonl`, the checker's in `verdicts.jsonl`, each under a content key, as
in a run. The whole pipeline is a function of these records, so that resuming is running it again.
"""

import asyncio
import dataclasses
from dataclasses import dataclass

from rsbench.judges.asking import Generate
from rsbench.models.base import GenParams, Message, ProviderError, Request
from rsbench.records import digest, read_reply, reply_record
from rsbench.runner import Tally
from rsbench.store import Records
from rsbench.types import Item, Reply, UserError

CHECKS = "the checks"  # beside `spending.MODEL`; whose records and prices


@dataclass(frozen=True)
class Speaker:
    """A model in one of the two parts."""

    name: str
    identity: dict[str, str]
    params: GenParams
    generate: Generate
    records: Records
    part: str = ""  # CHECKS for the checker


class Unfinished(Exception):
    """A call gave no reply; asking again may mend it."""


class Desk:
    """Asks the speakers, once a question."""

    def __init__(self, author: Speaker, checker: Speaker, tally: Tally) -> None:
        self.author = author
        self.checker = checker
        self._tally = tally
        self._asking: dict[str, asyncio.Lock] = {}

    async def ask(
        self,
        who: Speaker,
        about: str,
        messages: tuple[Message, ...],
        schema: dict[str, object] | None,
        attempt: int,
    ) -> Reply:
        """What `who` says to the messages, from the records if it was said before.

        Args:
            who: The author or the checker.
            about: Candidate (or picture) and stage, e.g. `kite-1/query`; scripts go by it.
            messages: The turns so far.
            schema: JSON schema of the reply, for providers that can enforce one.
            attempt: From 1; a repeated question is another question.

        Raises:
            Unfinished: the call failed after all its tries.
            UserError: no call can succeed, or the disk is full.
            CapReached: a cap left no room for it.
        """
        said = [(m.role, m.text, [image.sha256 for image in m.images]) for m in messages]
        key = digest("ssui", about, attempt, said, who.identity, dataclasses.asdict(who.params))
        async with self._asking.setdefault(key, asyncio.Lock()):
            if who.records.done(key):
                record = who.records.get(key)
                assert record is not None
                self._tally.reused += 1
                return read_reply(record)
            scripted = Item(about, (), messages[0].text, "", "risky", "", "")
            request = Request(messages, who.params, key, schema, scripted)
            try:
                reply = await who.generate(request)
            except ProviderError as error:
                if error.kind == "fatal":
                    raise UserError(str(error)) from error
                self._keep(who, key, about, attempt, Reply("error", error=str(error)))
                raise Unfinished(str(error)) from error
            self._keep(who, key, about, attempt, reply)
            return reply

    def _keep(self, who: Speaker, key: str, about: str, attempt: int, reply: Reply) -> None:
        record = reply_record(key, about, attempt, reply)
        if who.part:
            record |= {"judge": who.part, "attempts": 1}
        who.records.append(record)
        self._tally.count(reply.status)
