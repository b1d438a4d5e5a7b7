"""What a judge is to the engine: it labels one reply's steps and answer, or says that it could not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from rsbench.judges.shape import checked
from rsbench.models.base import Request
from rsbench.records import digest
from rsbench.types import Item, Reply, Steps, Verdict

Ask = Callable[["Case"], Awaitable[Verdict]]


class Ballots(Protocol):
    """Where the votes that a verdict is made of are kept, so that none is asked for twice."""

    async def cast(self, judge: "Judge", case: "Case", vote: int, ask: Ask) -> Verdict:
        """The vote of a judge on a case: the one that is kept, else what `ask` says of the case.

        A vote's case has a key of its own. A run keeps a provider's failure as a vote of status `error`, and
        anywhere a vote that says what no verdict can say is one (`shape.checked`).
        """
        ...


class Unkept:
    """Ballots outside a run: every vote is asked for."""

    async def cast(self, judge: "Judge", case: "Case", vote: int, ask: Ask) -> Verdict:
        """Ask."""
        own = replace(case, key=digest("vote", case.key, judge.identity(), vote))
        return checked(await ask(own), len(case.steps.steps))


@dataclass(frozen=True)
class Case:
    """All a judge may look at. `hints` off means hint-blind: no note, no reference, no contrast."""

    item: Item
    reply: Reply
    steps: Steps
    key: str  # content key of the verdict; scripts and nonces derive from it
    hints: bool = True
    ballots: Ballots = Unkept()

    @property
    def step_texts(self) -> tuple[str, ...]:
        """The words of each step, in order."""
        return tuple(span.of(self.reply) for span in self.steps.steps)

    @property
    def answer_text(self) -> str:
        """The words of the answer; empty if the reply has none."""
        return self.steps.answer.of(self.reply)


class Judge(Protocol):
    """A named instrument. Its identity is part of every verdict key."""

    name: str
    account: str | None  # limiter account of the model behind it; None for judges that call no model
    needs_reference: bool  # whether it can't judge hint-blind, nor items without a reference path

    def identity(self) -> dict[str, str]:
        """Card hash, rubric hash, model, parameters: what makes a verdict this judge's own."""
        ...

    async def judge(self, case: Case) -> Verdict:
        """Label one reply. Raises ProviderError from the model behind it; never returns a guessed label.

        Who calls this passes the verdict through `shape.checked`, for a judge may be anybody's.
        """
        ...

    async def close(self) -> None:
        """Release what the judge holds."""
        ...


def name_with_hints(name: str, hints: bool) -> str:
    """A judge's name in a run: with or without hints it is another instrument, with scores of its own."""
    return name if hints else f"{name}-hint-blind"


@dataclass(frozen=True)
class Planned:
    """A call that a judge is about to make, for the forecast of what a run costs.

    `caller`: the name of the judge whose model is asked. `asks`: most attempts at a usable reply. `certain`:
    made in any case, not only where votes tie.
    """

    caller: str
    request: Request
    asks: int
    certain: bool = True


@runtime_checkable
class Planning(Protocol):
    """A judge that can say which calls it will make."""

    def planned(self, case: Case) -> list[Planned]:
        """The first call of each thing it asks for."""
        ...


@dataclass(frozen=True)
class Voter:
    """Whose vote, under which identity and number, a verdict is made of; `arbiter`: asked where votes tie."""

    name: str
    identity: dict[str, str]
    vote: int
    arbiter: bool = False
    votes: int = 0  # of its own, numbered from 1, if it makes up its mind by voting


@runtime_checkable
class Voting(Protocol):
    """A judge whose verdicts are made of votes that are kept beside them."""

    voters: tuple[Voter, ...]


@runtime_checkable
class Choosy(Protocol):
    """A judge that knows from an item alone whether it can judge replies to it."""

    def check(self, item: Item) -> None:
        """Refuse an item it can't judge, before replies are paid for. Raises UserError."""
        ...
