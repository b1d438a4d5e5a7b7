"""What a run is about to ask for: calls, tokens and cost, counted over what has no record yet.

Estimates by stated rules, made from the requests that would be sent; nothing is sent and nothing written.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rsbench.budget import Callers, Spending, spent
from rsbench.judges.base import Case, Judge
from rsbench.judges.llm import RubricJudge
from rsbench.models.base import GenParams
from rsbench.models.cards import Prices
from rsbench.pacing import BYTES_A_TOKEN, IMAGE_TOKENS, input_tokens
from rsbench.plan import Plan, Sample
from rsbench.records import read_reply, verdict_key
from rsbench.runner import JUDGED, judge_identity, judge_name
from rsbench.spending import MODEL
from rsbench.steps import segment
from rsbench.store import Records, RunFolder
from rsbench.types import FINAL_REPLY, FINAL_VERDICT, Reply

LIKELY = 0.25  # of the longest reply allowed


@dataclass(frozen=True)
class Forecast:
    """`likely`: by caller. `most`: every reply as long as allowed, every re-ask made; retries apart."""

    likely: dict[str, Spending]
    most: Spending

    def text(self) -> str:
        """For a person to read, one line a caller."""
        together = sum(self.likely.values(), Spending())
        lines = [f"{who}: {spending.words()}" for who, spending in self.likely.items()]
        lines += [f"together: {together.words()}", f"at most: {self.most.words()}"]
        rules = (
            f"Estimates: {BYTES_A_TOKEN} bytes of text a token, {IMAGE_TOKENS:,} tokens an image, replies of "
            f"{LIKELY:.0%} of the longest allowed. At most: full-length replies, every re-ask of the judge; "
            "retries apart."
        )
        if self.most.cost is None:
            rules += " For the cost, give a model card with prices (docs/cost.md)."
        return "\n  ".join(["Planned:", *lines]) + f"\n{rules}"


# Asks the user: whether the calls cost money, and the forecast to show; returns whether to go on.
Ask = Callable[[bool, Callable[[], Forecast]], bool]


def forecast(plan: Plan, place: Path, judge: Judge, hints: bool, callers: Callers) -> Forecast:
    """Count the calls that a run in folder `place` has yet to make; the folder need not exist.

    Raises:
        UserError: an image or the rubric can't be read.
    """
    folder = RunFolder(place)
    replies, verdicts = _open(folder.replies(FINAL_REPLY)), _open(folder.verdicts(FINAL_VERDICT))
    name, identity = judge_name(judge, hints), judge_identity(judge, hints)
    likely, most = dict.fromkeys(callers, Spending()), Spending()
    for sample in plan:
        longer = 0  # tokens by which the reply may be longer than likely
        if MODEL in callers and not replies.done(sample.key):
            usual, longest = _reply(sample, plan.params, callers[MODEL].rate)
            likely[MODEL] += usual
            most += longest
            longer = longest.output_tokens - usual.output_tokens
            reply = Reply("ok", "x" * BYTES_A_TOKEN * usual.output_tokens)
        elif record := replies.get(sample.key):
            reply = read_reply(record)
        else:
            continue
        if reply.status not in JUDGED or not isinstance(judge, RubricJudge):
            continue
        if not verdicts.done(verdict_key(sample.key, reply, identity)):
            case = Case(sample.item, reply, segment(reply), sample.key, hints)
            usual, longest = _verdict(judge, case, longer, callers[name].rate)
            likely[name] += usual
            most += longest
    return Forecast(likely, most)


def _reply(sample: Sample, params: GenParams, prices: Prices | None) -> tuple[Spending, Spending]:
    """Likely and most of one reply."""
    read = input_tokens(sample.request(params))
    return spent(1, read, _likely(params), prices), spent(1, read, params.max_tokens, prices)


def _verdict(judge: RubricJudge, case: Case, longer: int, prices: Prices | None) -> tuple[Spending, Spending]:
    """Likely and most of one verdict; a re-ask sends the prompt again, and the reply that was of no use."""
    read, asks = input_tokens(judge.first_request(case)), judge.card.reasks + 1
    longest = judge.params.max_tokens
    most_read = asks * (read + longer) + (asks - 1) * longest
    return spent(1, read, _likely(judge.params), prices), spent(asks, most_read, asks * longest, prices)


def _likely(params: GenParams) -> int:
    return math.ceil(LIKELY * params.max_tokens)


def _open(records: Records) -> Records:
    """For reading; a file that is not there yet has no records."""
    return records.open(writable=False) if records.path.exists() else records
