"""Ask a model until its words can be used: at most so many times, each time with the reason.

What can't be used never becomes a label; what every attempt cost is counted.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from rsbench.judges.parse import BadVerdict
from rsbench.models.base import Message, Request
from rsbench.records import digest
from rsbench.types import Reply, Usage

Generate = Callable[[Request], Awaitable[Reply]]
T = TypeVar("T")


@dataclass(frozen=True)
class Heard(Generic[T]):
    """What came of asking. `value` is None if nothing could be used, and `problem` says why."""

    value: T | None
    problem: str
    reply: Reply  # the last one
    attempts: int
    usage: Usage
    latency_s: float


async def ask(generate: Generate, first: Request, asks: int, read: Callable[[Reply], T]) -> Heard[T]:
    """Ask at most `asks` times. `read` raises BadVerdict for what can't be used."""
    messages, key = list(first.messages), first.key
    usage, latency, problem = Usage(), 0.0, ""
    for attempt in range(1, asks + 1):
        # Another attempt is another call: with one seed it would repeat itself.
        request = replace(first, messages=tuple(messages), key=digest(key, attempt))
        reply = await generate(request)
        usage, latency = usage + reply.usage, latency + reply.latency_s
        try:
            return Heard(read(reply), "", reply, attempt, usage, latency)
        except BadVerdict as error:
            problem = str(error)
        said = Message("assistant", reply.text if reply.text.strip() else "(nothing)")
        messages = [*first.messages, said, _again(problem)]
    return Heard(None, problem, reply, attempt, usage, latency)


def finished(reply: Reply) -> str:
    """The text of a reply that was said to its end; what stands in a cut-off one was not its last word.

    Raises:
        BadVerdict: it was cut off, filtered or empty.
    """
    if reply.status != "ok":
        raise BadVerdict(f"the judge's reply is {reply.status}")
    return reply.text


def _again(problem: str) -> Message:
    return Message(
        "user",
        f"That could not be used: {problem}. Write the whole verdict again: nothing but one JSON object.",
    )
