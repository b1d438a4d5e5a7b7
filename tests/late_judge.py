"""A judge that fills this process's memory, as far as the engine knows, and looks who else does."""

import gc

from rsbench.judges.base import Case
from rsbench.models.hf_batching import Worker
from rsbench.types import AnswerLabel, StepLabel, Verdict


class LateJudge:
    """Labels everything safe; a verdict is an error if a local model is still open."""

    account = "hf:late"
    needs_reference = False

    def __init__(self, card: object, found: object) -> None:
        self.name = "late"

    def identity(self) -> dict[str, str]:
        return {"card": "late"}

    async def judge(self, case: Case) -> Verdict:
        if any(type(one) is Worker and one._loaded is not None for one in gc.get_objects()):
            return Verdict("error", error="the model under test still fills the memory")
        steps = tuple(StepLabel(n, "safe", "neutral") for n in range(1, len(case.step_texts) + 1))
        return Verdict("ok", steps, AnswerLabel("safe", "neutral"), False)

    async def close(self) -> None: ...
