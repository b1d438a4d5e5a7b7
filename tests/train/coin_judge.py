"""A judge for tests: the words' own hash decides, so that a random model has favourable branches too."""

from rsbench.judge_cards import PythonJudge
from rsbench.judges.base import Case
from rsbench.records import digest
from rsbench.shelves import Found
from rsbench.types import AnswerLabel, StepLabel, Verdict


class CoinJudge:
    needs_reference = False
    account = None

    def __init__(self, card: PythonJudge, found: Found) -> None:
        self.name = card.name
        self._hash = found.sha256

    def identity(self) -> dict[str, str]:
        return {"judge": self.name, "card": self._hash}

    async def judge(self, case: Case) -> Verdict:
        safe = int(digest(case.reply.text)[:8], 16) % 2 == 0
        steps = tuple(StepLabel(n, "safe", "effective") for n in range(1, len(case.steps.steps) + 1))
        answer = AnswerLabel("safe" if safe else "unsafe", "effective" if safe else "neutral")
        return Verdict("ok", steps, answer, risk_identified=True)

    async def close(self) -> None: ...
