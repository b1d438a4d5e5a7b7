"""What the judges behind a verdict said apart from one another: their agreement, and what each cost.

Alpha is Krippendorff's for nominal labels, by the package `krippendorff`: chance-corrected over any number of
judges, with missing votes. "unclear" and votes that could not be used are missing. Nothing is called.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsbench.bootstrap import percentiles
from rsbench.budget import Spending
from rsbench.models.cards import Prices
from rsbench.records import read_reply, read_verdict, verdict_key
from rsbench.spending import prices_from, used_by
from rsbench.store import RunFolder
from rsbench.types import FINAL_REPLY, FINAL_VERDICT, Verdict

if TYPE_CHECKING:
    import numpy as np

LABELS = (
    "step_safety",
    "step_effectiveness",
    "answer_safety",
    "answer_effectiveness",
    "refusal",
    "risk_identified",
)
DRAWS = 500  # of the bootstrap over twin pairs


@dataclass
class _Cost:
    """What one voter's calls used, over the replies of the plan."""

    prices: Prices | None  # of live calls; None where unknown
    offline: bool  # it makes no calls, whatever its records say
    statuses: Counter[str] = field(default_factory=Counter)
    spending: Spending = Spending()

    @classmethod
    def of(cls, caller: str, prices: Mapping[str, Any]) -> "_Cost":
        """`prices`: the manifest's, by who makes calls; who is not in it is an offline judge."""
        return cls(prices_from(prices.get(caller)), caller not in prices)

    def count(self, record: dict[str, Any] | None) -> None:
        """Add what a record's calls used; None: an arbiter that nobody needed."""
        if record is not None and not self.offline:
            self.spending += used_by(record, record["attempts"], self.prices)


# One reply's places: for each label, one row a place with what each voter said there.
Places = dict[str, list[list[str | None]]]


def vote_report(folder: RunFolder, manifest: Mapping[str, Any], judge: str, seed: int) -> dict[str, Any]:
    """Agreement and cost of the votes behind a judge's verdicts; empty if they are made of none.

    Args:
        folder: The run.
        manifest: Its manifest.
        judge: A judge of the run.
        seed: Of the bootstrap.
    """
    voters = manifest["judges"][judge].get("voters", [])
    if not voters:
        return {}
    seated = [n for n, voter in enumerate(voters) if not voter["arbiter"]]
    callers = [voter["name"] if voter["vote"] == 0 else judge for voter in voters]
    costs = [_Cost.of(caller, manifest.get("prices", {})) for caller in callers]
    places: dict[str, list[list[str | None]]] = {label: [] for label in LABELS}
    clusters: dict[str, list[str]] = {label: [] for label in LABELS}
    own = {"identity": manifest["judges"][judge]["identity"], "vote": 0}
    marks = {"steps": 0, "boundary_steps": 0, "undecided_steps": 0}
    marks |= {"answers": 0, "boundary_answers": 0, "undecided_answers": 0}
    inner = [
        (cost, {"identity": voter["identity"], "vote": vote})
        for voter, cost in zip(voters, costs, strict=True)
        for vote in range(1, voter["votes"] + 1)
    ]
    for planned, (made, *rest) in _votes(folder, [own, *voters, *(vote for _, vote in inner)]):
        _mark(made, marks)
        votes = rest[: len(voters)]
        for vote, cost in zip(votes, costs, strict=True):
            cost.statuses.update([vote["status"]] if vote else [])
        paid_for = [*costs, *(cost for cost, _ in inner)]
        for vote, cost in zip(rest, paid_for, strict=True):
            cost.count(vote)
        said = [votes[n] for n in seated]
        for label, rows in _places(said).items():
            places[label] += rows
            clusters[label] += [planned["pair"] or f"item:{planned['item']}"] * len(rows)
    return {
        "verdicts": marks,
        "alpha": {label: _alpha(places[label], clusters[label], seed) for label in LABELS},
        "voters": {
            voter["name"] if voter["vote"] == 0 else f"{judge}: {voter['name']}": {
                "arbiter": voter["arbiter"],
                "verdicts": dict(sorted(cost.statuses.items())),
                **cost.spending.stored(),
            }
            for voter, cost in zip(voters, costs, strict=True)
        },
    }


def _votes(
    folder: RunFolder, voters: Sequence[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any] | None]]]:
    """Each judged sample of the plan with every voter's record, None where there is none."""
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    verdicts = folder.verdicts(FINAL_VERDICT).open(writable=False)
    for planned in folder.plan():
        record = replies.get(planned["key"])
        if record is None or record["status"] not in ("ok", "truncated"):
            continue
        reply = read_reply(record)
        keys = (verdict_key(planned["key"], reply, voter["identity"], voter["vote"]) for voter in voters)
        yield planned, [verdicts.get(key) for key in keys]


def _mark(record: dict[str, Any] | None, marks: dict[str, int]) -> None:
    """Count the places of a verdict that hang on the reading of the rubric, or that have no majority."""
    if record is None or record["status"] != "ok":
        return
    verdict = read_verdict(record)
    answers = [verdict.answer] if verdict.answer else []
    for name, labels in (("steps", verdict.steps), ("answers", answers)):
        marks[name] += len(labels)
        marks[f"boundary_{name}"] += sum(label.boundary for label in labels)
        marks[f"undecided_{name}"] += sum(label.safety == "unclear" for label in labels)


def _places(records: Sequence[dict[str, Any] | None]) -> Places:
    """What each voter said at each place of one reply."""
    verdicts = [read_verdict(record) if record else Verdict("error") for record in records]
    n_steps = max((len(verdict.steps) for verdict in verdicts), default=0)
    found: Places = {label: [] for label in LABELS}
    for n in range(n_steps):
        steps = [verdict.steps[n] if verdict.status == "ok" else None for verdict in verdicts]
        found["step_safety"].append([s.safety if s else None for s in steps])
        found["step_effectiveness"].append([s.effectiveness if s else None for s in steps])
    answers = [verdict.answer for verdict in verdicts]
    found["answer_safety"].append([a.safety if a else None for a in answers])
    found["answer_effectiveness"].append([a.effectiveness if a else None for a in answers])
    found["refusal"].append([a.refusal if a else None for a in answers])
    risks = [verdict.risk_identified for verdict in verdicts]
    found["risk_identified"].append([None if risk is None else str(risk) for risk in risks])
    return found


def _alpha(rows: Sequence[Sequence[str | None]], clusters: Sequence[str], seed: int) -> dict[str, Any]:
    """Alpha with a 95 % expanded-percentile interval over clusters. None where only one label was ever given.

    `places`: those with at least two votes; a single vote agrees with nobody.
    """
    counted = [Counter(label for label in row if label not in (None, "unclear")) for row in rows]
    kept = [(count, c) for count, c in zip(counted, clusters, strict=True) if sum(count.values()) > 1]
    words = sorted({str(word) for count, _ in kept for word in count})
    import numpy as np

    counts = np.array([[count[word] for word in words] for count, _ in kept], dtype=float)
    result: dict[str, Any] = {"value": None, "low": None, "high": None, "places": len(kept)}
    if len(words) < 2:
        return result
    groups = sorted({c for _, c in kept})
    members = [np.flatnonzero([c == group for _, c in kept]) for group in groups]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(DRAWS if len(groups) > 1 else 0):
        chosen = np.concatenate([members[n] for n in rng.integers(0, len(groups), len(groups))])
        draws.append(krippendorff_alpha(counts[chosen]))
    known = [draw for draw in draws if draw is not None]
    if known:
        low, high = np.quantile(known, percentiles(len(groups)))
        result |= {"low": round(float(low), 6), "high": round(float(high), 6)}
    value = krippendorff_alpha(counts)
    return {**result, "value": None if value is None else round(value, 6)}


def krippendorff_alpha(counts: "np.ndarray[Any, np.dtype[np.float64]]") -> float | None:
    """Alpha of `counts` (places, labels): how many gave which label; None if all gave the same one."""
    import krippendorff

    used = counts[:, counts.sum(axis=0) > 0]
    if used.shape[1] < 2:
        return None
    value = float(krippendorff.alpha(value_counts=used, level_of_measurement="nominal"))
    return None if math.isnan(value) else value
