"""What a judge is to the engine: it labels one reply's steps and answer, or says that it could not."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rsbench.types import Item, Reply, Steps, Verdict


@dataclass(frozen=True)
class Case:
    """All a judge may look at. `hints` off means hint-blind: no note, no reference, no contrast."""

    item: Item
    reply: Reply
    steps: Steps
    key: str  # content key of the verdict; scripts and nonces derive from it
    hints: bool = True

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
        """Label one reply. Raises ProviderError from the model behind it; never returns a guessed label."""
        ...

    async def close(self) -> None:
        """Release what the judge holds."""
        ...


@runtime_checkable
class Choosy(Protocol):
    """A judge that knows from an item alone whether it can judge replies to it."""

    def check(self, item: Item) -> None:
        """Refuse an item it can't judge, before replies are paid for. Raises UserError."""
        ...
