"""The items of a run as its report's browser needs them: query, pictures, replies cut into steps, labels.

JSON-ready and pure but for reading records and pictures. A reply travels once and whole; its steps are
offsets into it, counted as JavaScript counts characters.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

from rsbench import cards
from rsbench.conditions import check_condition, show
from rsbench.data import Dataset
from rsbench.formulas import safe_effective_path
from rsbench.readings import ESTIMANDS, Truths, labels_of, read_outcomes
from rsbench.records import read_reply, read_verdict, verdict_key
from rsbench.score import outcomes
from rsbench.sheets import Sheet
from rsbench.steps import segment
from rsbench.store import RunFolder
from rsbench.types import FINAL_REPLY, FINAL_VERDICT, Item, Outcome, Reply, Span, Verdict


@dataclass(frozen=True)
class Sample:
    """One planned sample: what the numbers saw of it, what the model said, what the judge said."""

    outcome: Outcome
    reply: Reply | None
    verdict: Verdict | None


def samples(folder: RunFolder, judge: str) -> Iterator[Sample]:
    """Every planned sample, in plan order."""
    identity = folder.manifest()["judges"][judge]["identity"]
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    verdicts = folder.verdicts(FINAL_VERDICT).open(writable=False)
    for planned, outcome in zip(folder.plan(), outcomes(folder, judge), strict=True):
        record = replies.get(planned["key"])
        reply = read_reply(record) if record else None
        found = verdicts.get(verdict_key(planned["key"], reply, identity)) if reply else None
        yield Sample(outcome, reply, read_verdict(found) if found else None)


def task_items(folder: RunFolder) -> dict[str, tuple[str, Item]]:
    """Id → (query as the model saw it, item as the judge saw it), of the items that are still what they were.

    Raises:
        UserError: the task or its data is not where it was, or no longer readable.
    """
    manifest = folder.manifest()
    planned = {row["item"]: row["item_hash"] for row in folder.plan()}
    settings = manifest["settings"]
    card, found = cards.load_task(manifest["cards"]["task"]["path"])
    dataset = Dataset(card, found.folder, Path(settings["data"]) if settings["data"] else None)
    dataset.keep(planned.keys())
    condition = check_condition(manifest["identity"]["condition"])
    known = {}
    for item in dataset:
        if item.hash == planned[item.id]:
            shown = show(item, condition, card.neutral_query)
            known[item.id] = (shown.query, shown.judged)
    return known


def item_entry(query: str, item: Item, pictures: dict[Path, str]) -> dict[str, Any]:
    """What the browser shows of an item; `pictures` maps a file to the picture's name in the report."""
    reference = item.reference
    return {
        "query": query,
        "note": item.note,
        "key_element": item.key_element,
        "trigger_element": item.trigger_element,
        "images": [{"picture": pictures[i.path], "caption": i.caption} for i in item.images],
        "reference": None
        if reference is None
        else {
            "steps": [{"role": step.role, "text": step.text} for step in reference.steps],
            "answer": reference.answer,
        },
    }


def reply_entry(sample: Sample, withheld: bool = False) -> dict[str, Any]:
    """What the browser shows of one reply and its labels, and what it filters by.

    `withheld`: image or query was; then what presupposes the risk of both is as blank as in the scores.
    """
    outcome, reply, verdict = sample.outcome, sample.reply, sample.verdict
    labels, read = labels_of(outcome), read_outcomes([outcome], ESTIMANDS[0])
    visible = bool(read.seen[0])
    entry: dict[str, Any] = {
        "item": outcome.item,
        "pair": outcome.pair,
        "category": outcome.category,
        "kind": outcome.kind,
        "sample": outcome.sample,
        "status": outcome.status,
        "chain": _word(read.no_unsafe_step) if visible else None,
        "answered": _word(read.answer_safe) if visible else None,
        "full_refusal": None if withheld else _truth(read.full_refusal),
        "risk_identified": None if withheld else _truth(read.risk_identified),
        "headline": None if withheld else _truth(safe_effective_path(read)),
        "first_unsafe": labels.breaks_at or None,
        "first_unsafe_role": (labels.breaking_role or "unknown") if labels.breaks_at else None,
        "unsafe": _truth(read.answer_safe) is False or bool(read.unsafe[0]),
        "steps": [],
        "answer": None,
        "reply": None,
        "verdict": None,
    }
    if reply is not None:
        entry["reply"] = {
            "text": reply.text,
            "reasoning": reply.reasoning,
            "reasoning_kind": reply.reasoning_kind,
            "finish_reason": reply.finish_reason,
            "error": reply.error,
        }
        entry |= _cut(reply, verdict)
    if verdict is not None:
        entry["verdict"] = {name: getattr(verdict, name) for name in ("status", "error", "raw", "attempts")}
    return entry


def _truth(of_one: Truths) -> bool | None:
    """The truth of a single reply; None for missing."""
    (value,) = of_one.tolist()
    return None if isnan(value) else bool(value)


def _word(safe: Truths) -> str:
    truth = _truth(safe)
    return "unclear" if truth is None else "safe" if truth else "unsafe"


def _cut(reply: Reply, verdict: Verdict | None) -> dict[str, Any]:
    """Steps and answer as places in the reply, with their labels where a verdict has some."""
    cut = segment(reply)
    places = {"text": _Units(reply.text), "reasoning": _Units(reply.reasoning)}
    labels = {step.index: asdict(step) for step in verdict.steps} if verdict else {}
    answer = asdict(verdict.answer) if verdict and verdict.answer else None

    def place(span: Span) -> dict[str, Any]:
        units = places[span.part]
        return {"part": span.part, "start": units.offset(span.start), "end": units.offset(span.end)}

    return {
        "source": cut.source,
        "steps": [{**place(span), "label": labels.get(n)} for n, span in enumerate(cut.steps, 1)],
        "answer": {**place(cut.answer), "label": answer},
    }


class _Units:
    """Offsets in characters of one text as offsets in UTF-16 units."""

    def __init__(self, text: str) -> None:
        self._wide = [n for n, character in enumerate(text) if character > "\uffff"]

    def offset(self, characters: int) -> int:
        return characters + bisect_left(self._wide, characters)


def refusals(sheet: Sheet) -> dict[str, dict[str, int]]:
    """Kind → how replies of that kind refuse: by the provider, in full, in part, not at all, unknown."""
    words = ("provider", "full", "partial", "none", "unknown")
    table = {kind: dict.fromkeys(words, 0) for kind in ("benign", "risky")}
    for labels in sheet.labels:
        word = "provider" if labels.status == "refused" else labels.refusal
        table[labels.kind][word if word in words else "unknown"] += 1
    return table
