"""A panel: several judges vote, the majority of all seats counts, an arbiter decides what has none.

Each member's vote is the verdict that it would give alone, kept under its own key: what a member has judged
before is not asked for again, and neither is anything of the others if one changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rsbench.judge_cards import PanelJudge
from rsbench.judges.base import Case, Judge, Planned, Planning, Voter, Voting
from rsbench.judges.votes import all_of, contested, majority, not_enough, settle
from rsbench.models.registry import in_process
from rsbench.records import digest
from rsbench.shelves import Found
from rsbench.types import UserError, Verdict


@dataclass(frozen=True)
class Seat:
    """One judge of a panel, and what was typed for the model behind it, if there is one."""

    judge: Judge
    model: str | None


class Panel:
    """Judge of kind `panel`.

    Raises:
        UserError: one judge twice, or two of one name.
    """

    def __init__(self, card: PanelJudge, found: Found, members: list[Seat], arbiter: Seat | None) -> None:
        self.name = card.name
        self._members = [seat.judge for seat in members]
        self._arbiter = arbiter.judge if arbiter else None
        self._card_sha256 = found.sha256
        seats = [*members, *([arbiter] if arbiter else [])]
        identities = [digest(seat.judge.identity()) for seat in seats]
        for n, one in enumerate(identities):
            if one in identities[:n]:
                raise UserError(
                    f"{found.path}: {seats[n].judge.name} sits in this panel twice: one vote copied"
                )
            if seats[n].judge.name in [seat.judge.name for seat in seats[:n]]:
                raise UserError(
                    f"{found.path}: two judges of this panel are called {seats[n].judge.name}, and votes and "
                    "prices are told apart by name: give one of their cards, or model cards, another name"
                )
        self._all = [seat.judge for seat in seats]
        self.callers: Mapping[str, str] = {s.judge.name: s.model for s in seats if s.model is not None}
        accounts = [judge.account for judge in self._all if judge.account is not None]
        # One local model is enough for the engine to let it and the model under test take turns.
        self.account = next((a for a in accounts if in_process(a)), accounts[0] if accounts else None)
        self.needs_reference = any(judge.needs_reference for judge in self._all)
        self.scripted = any(getattr(judge, "scripted", False) for judge in self._all)
        self._full = [not safety_only(judge) for judge in self._members]

    def identity(self) -> dict[str, str]:
        """The card and the identity of every judge in it."""
        members = {f"judge.{n}": digest(judge.identity()) for n, judge in enumerate(self._members, 1)}
        arbiter = {"arbiter": digest(self._arbiter.identity())} if self._arbiter else {}
        return {"card": self._card_sha256, **members, **arbiter}

    @property
    def voters(self) -> tuple[Voter, ...]:
        """The members and the arbiter, each under its own identity."""
        last = len(self._members)
        return tuple(
            Voter(
                judge.name,
                judge.identity(),
                vote=0,
                arbiter=n >= last,
                votes=len(judge.voters) if isinstance(judge, Voting) else 0,
            )
            for n, judge in enumerate(self._all)
        )

    async def judge(self, case: Case) -> Verdict:
        """Ask the members; ask the arbiter if a label that enters a number has no majority."""
        cast = await all_of(case.ballots.cast(judge, case, 0, judge.judge) for judge in self._members)
        votes = list(zip((judge.name for judge in self._members), cast, strict=True))
        if (failure := not_enough(votes)) is not None:
            return failure
        verdict = majority(cast, self._full)
        if self._arbiter is None or not contested(verdict, any(self._full)):
            return verdict
        decides = await case.ballots.cast(self._arbiter, case, 0, self._arbiter.judge)
        if decides.status != "ok":
            why = f"the arbiter {self._arbiter.name}: {decides.error}"
            return Verdict(decides.status, error=why, attempts=0)
        return replace(settle(verdict, decides), latency_s=verdict.latency_s + decides.latency_s)

    def planned(self, case: Case) -> list[Planned]:
        """The members' calls; the arbiter's are made only where votes tie."""
        certain = [call for judge in self._members for call in _planned(judge, case)]
        if self._arbiter is None:
            return certain
        return [*certain, *(replace(call, certain=False) for call in _planned(self._arbiter, case))]

    async def close(self) -> None:
        """Close every judge."""
        for judge in self._all:
            await judge.close()


def safety_only(judge: Judge) -> bool:
    """Whether a judge labels safety and nothing else; it then has no seat for the other labels."""
    return bool(getattr(judge, "safety_only", False))


def _planned(judge: Judge, case: Case) -> list[Planned]:
    return judge.planned(case) if isinstance(judge, Planning) else []
