"""What a run is about to ask for: calls, tokens and cost, counted over what has no record yet.

Estimates by stated rules, made from the requests that would be sent; nothing is sent and nothing written.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rsbench.budget import Callers, Spending, spent
from rsbench.judges.base import Case, Judge, Planned, Planning
from rsbench.models.base import GenParams
from rsbench.models.cards import Prices
from rsbench.pacing import BYTES_A_TOKEN, IMAGE_TOKENS, input_tokens
from rsbench.plan import Plan, Sample
from rsbench.records import read_reply, verdict_key
from rsbench.runner import JUDGED, judge_identity
from rsbench.spending import MODEL
from rsbench.steps import segment
from rsbench.store import Records, RunFolder
from rsbench.types import FINAL_REPLY, FINAL_VERDICT, Reply

LIKELY = 0.25  # of the longest reply allowed
STEPS = 6  # of a reply that is still to be made


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
            f"{LIKELY:.0%} of the longest allowed and {STEPS} steps. At most: full-length replies, every "
            "re-ask of the judge; retries apart."
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
    identity = judge_identity(judge, hints)
    likely, most = dict.fromkeys(callers, Spending()), Spending()
    for sample in plan:
        longer = 0  # tokens by which the reply may be longer than likely
        if MODEL in callers and not replies.done(sample.key):
            usual, longest = _reply(sample, plan.params, callers[MODEL].rate)
            likely[MODEL] += usual
            most += longest
            longer = longest.output_tokens - usual.output_tokens
            reply = _stand_in(BYTES_A_TOKEN * usual.output_tokens)
        elif record := replies.get(sample.key):
            reply = read_reply(record)
        else:
            continue
        if reply.status not in JUDGED or not isinstance(judge, Planning):
            continue
        if not verdicts.done(verdict_key(sample.key, reply, identity)):
            case = Case(sample.item, reply, segment(reply), sample.key, hints)
            for planned in judge.planned(case):
                usual, longest = of_verdict(planned, longer, callers[planned.caller].rate)
                if planned.certain:
                    likely[planned.caller] += usual
                most += longest
    return Forecast(likely, most)


def _stand_in(length: int) -> Reply:
    """A reply that is still to be made, for judges that make a call a step."""
    words = "x" * (length // (STEPS + 1))
    return Reply("ok", "\n".join([*(f"Step {n}: {words}" for n in range(1, STEPS + 1)), f"Answer: {words}"]))


def _reply(sample: Sample, params: GenParams, prices: Prices | None) -> tuple[Spending, Spending]:
    """Likely and most of one reply."""
    read = input_tokens(sample.request(params))
    return spent(1, read, _likely(params), prices), spent(1, read, params.max_tokens, prices)


def of_verdict(planned: Planned, longer: int, prices: Prices | None) -> tuple[Spending, Spending]:
    """Likely and most of a judge's call; a re-ask sends the prompt again, and the reply of no use."""
    read, asks, params = input_tokens(planned.request), planned.asks, planned.request.params
    longest = params.max_tokens
    most_read = asks * (read + longer) + (asks - 1) * longest
    return spent(1, read, _likely(params), prices), spent(asks, most_read, asks * longest, prices)


def _likely(params: GenParams) -> int:
    return math.ceil(LIKELY * params.max_tokens)


def _open(records: Records) -> Records:
    """For reading; a file that is not there yet has no records."""
    return records.open(writable=False) if records.path.exists() else records
