"""What a build is about to ask for: an estimate by stated rules, as for a run; nothing is sent.

Later prompts hold what earlier agents will have said, so they are estimated by their templates and the
longest parts that usually go into them. Calls that are on record already are taken off.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rsbench.budget import Callers, Spending, spent
from rsbench.forecast import LIKELY, Forecast
from rsbench.models.base import GenParams
from rsbench.pacing import BYTES_A_TOKEN, IMAGE_TOKENS
from rsbench.spending import MODEL, records
from rsbench.ssui.calls import CHECKS
from rsbench.ssui.candidates import Spot
from rsbench.ssui.stages import ATTEMPTS, DRAFTS, Prompts
from rsbench.store import RunFolder

QUOTED = 800  # tokens of a proposal and its two paths, quoted


@dataclass(frozen=True)
class _Call:
    """One kind of call: whose, its prompt, whether it shows the picture, its records' stage, how often."""

    who: str
    prompt: str
    picture: bool
    stage: str
    most: int = ATTEMPTS


_CALLS = (
    _Call(MODEL, "query", True, "query"),
    _Call(CHECKS, "image-alone", True, "image-alone"),
    *(_Call(MODEL, "", False, f"answer-alone-{twin}", 1) for twin in ("query", "twin_query")),
    *(_Call(CHECKS, "text-alone", False, f"text-alone-{twin}") for twin in ("query", "twin_query")),
    _Call(MODEL, "reasoning", True, "reasoning", ATTEMPTS * DRAFTS),
    _Call(CHECKS, "check", True, "check", ATTEMPTS * DRAFTS),
    _Call(MODEL, "summary", True, "summary"),
)


def expected(
    folder: RunFolder,
    spots: list[Spot],
    prompts: Prompts,
    author: GenParams,
    checker: GenParams,
    callers: Callers,
) -> Forecast:
    """Calls that the candidates still need if all pass; at most: every repeat, every second draft."""
    made = frozenset(_made(folder))
    likely, most = dict.fromkeys(callers, Spending()), Spending()
    for call in _CALLS:
        names = [s.image_name for s in spots] if call.stage == "image-alone" else [s.id for s in spots]
        left = sum(f"{name}/{call.stage}" not in made for name in dict.fromkeys(names))
        longest = (author if call.who == MODEL else checker).max_tokens
        read = math.ceil(len(prompts.texts.get(call.prompt, "")) / BYTES_A_TOKEN) + QUOTED
        read += IMAGE_TOKENS if call.picture else 0
        prices = callers[call.who].prices
        likely[call.who] += spent(left, left * read, left * math.ceil(LIKELY * longest), prices)
        times = left * call.most
        most += spent(times, times * (read + longest), times * longest, prices)
    return Forecast(likely, most)


def _made(folder: RunFolder) -> Iterator[str]:
    """What is on record, as candidate and stage, without the number of the draft."""
    for record in records(folder.path / "replies.jsonl", folder.path / "verdicts.jsonl"):
        yield str(record["item"]).removesuffix("-1").removesuffix("-2")
