"""People's labels for replies of a run: drawing whom to ask about, keeping what they say, reading it back.

The sample is drawn once, stratified by what the judge said, with every reply's chance of being drawn kept:
what the rare strata lack in number is made up by weight. Labels are records of the run folder.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from rsbench.correction import Drawn, ppi, rogan_gladen
from rsbench.estimates import rounded
from rsbench.metric_specs import JOINT, METRICS, MetricSpec
from rsbench.readings import read_outcomes
from rsbench.records import digest, read_reply
from rsbench.steps import segment
from rsbench.store import Records, RunFolder
from rsbench.types import (
    FINAL_REPLY,
    AnswerLabel,
    Outcome,
    Reply,
    StepLabel,
    UserError,
)

SAMPLE = "labels/sample.json"
LABELS = "labels/labels.jsonl"
TEXTED = frozenset({"ok", "truncated"})  # replies with words to label
STATED = frozenset({"refused", "empty"})  # what such a reply is worth follows from its status
DONE = frozenset({"ok"})


@dataclass(frozen=True)
class Wanted:
    """One reply that is to be labelled."""

    key: str  # of the reply
    item: str
    sample: int
    stratum: str
    probability: float


def draw(folder: RunFolder, judge: str, outcomes: Sequence[Outcome], n: int, seed: int) -> dict[str, Any]:
    """Draw `n` replies, the strata as evenly as their sizes allow; writes and returns the sample.

    Strata: risky or benign, by what the judge made of the path (safe, unsafe, unclear, or no verdict).

    Raises:
        UserError: there is a sample already, or nothing to draw from.
    """
    if (folder.path / SAMPLE).exists():
        raise UserError(f"{folder.path / SAMPLE}: this run has a sample; what was drawn is not drawn again")
    strata: dict[str, list[dict[str, Any]]] = {}
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    for planned, outcome in zip(folder.plan(), outcomes, strict=True):
        record = replies.get(planned["key"])
        if record is not None and record["status"] in TEXTED:
            strata.setdefault(stratum_of(outcome), []).append(planned)
    if not strata:
        raise UserError(f"{folder.path}: no reply with words to label")
    shares = allocate({name: len(members) for name, members in strata.items()}, n)
    rng = Random(seed)
    wanted = [
        Wanted(one["key"], one["item"], one["sample"], name, shares[name] / len(strata[name]))
        for name in sorted(strata)
        for one in sorted(rng.sample(strata[name], shares[name]), key=lambda one: str(one["key"]))
    ]
    sizes = {name: {"replies": len(strata[name]), "drawn": count} for name, count in sorted(shares.items())}
    sample = {
        "schema": 1,
        "judge": judge,
        "seed": seed,
        "strata": sizes,
        "replies": [asdict(one) for one in wanted],
        # Of all replies: scores by another judge, or by later verdicts, must weigh by the strata of the draw.
        "members": {str(one["key"]): name for name in sorted(strata) for one in strata[name]},
    }
    folder.write(SAMPLE, sample)
    return sample


def stratum_of(outcome: Outcome) -> str:
    """What the judge made of a reply, as far as the draw minds."""
    if outcome.status not in TEXTED or outcome.answer is None:
        return f"{outcome.kind}, no verdict"
    words = {step.safety for step in outcome.steps} | {outcome.answer.safety}
    said = "unsafe" if "unsafe" in words else "unclear" if "unclear" in words else "safe"
    return f"{outcome.kind}, {said}"


def allocate(sizes: dict[str, int], n: int) -> dict[str, int]:
    """Spread `n` over strata: evenly, no stratum beyond its size, the rest to those that have some left."""
    shares = dict.fromkeys(sizes, 0)
    left = min(n, sum(sizes.values()))
    while left:
        open_ = sorted(name for name in sizes if shares[name] < sizes[name])
        for name in sorted(open_, key=lambda name: (shares[name], -sizes[name], name))[:left]:
            shares[name] += 1
            left -= 1
    return shares


def read_sample(folder: RunFolder) -> list[Wanted]:
    """The replies that were drawn.

    Raises:
        UserError: none were.
    """
    return [Wanted(**one) for one in _sample(folder)["replies"]]


def _sample(folder: RunFolder) -> dict[str, Any]:
    path = folder.path / SAMPLE
    if not path.exists():
        raise UserError(f"{path}: missing; draw one with `rsbench label sample {folder.path}`")
    sample: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if sample["schema"] > 1:
        raise UserError(f"{path}: schema {sample['schema']}; this rsbench reads up to 1. Upgrade rsbench.")
    return sample


def open_labels(folder: RunFolder, writable: bool) -> Records:
    """The labels of a run."""
    path = folder.path / LABELS
    if writable:
        path.parent.mkdir(parents=True, exist_ok=True)
    return Records(path, DONE).open(writable)


def label_key(reply_key: str, reply: Reply, annotator: str) -> str:
    """Key of one annotator's labels for one reply; a changed reply wants new ones."""
    return digest("label", reply_key, reply.text, reply.reasoning, annotator)


def label_record(wanted: Wanted, reply: Reply, annotator: str, labels: Outcome) -> dict[str, Any]:
    """One line of `labels/labels.jsonl`."""
    return {
        "schema": 1,
        "key": label_key(wanted.key, reply, annotator),
        "status": "ok",
        "reply": wanted.key,
        "item": wanted.item,
        "sample": wanted.sample,
        "annotator": annotator,
        "steps": [asdict(step) for step in labels.steps],
        "answer": asdict(labels.answer) if labels.answer else None,
        "risk_identified": labels.risk_identified,
    }


@dataclass(frozen=True)
class Labelled:
    """What one annotator said of one reply, as an outcome."""

    annotator: str
    reply: str
    outcome: Outcome


def read_labels(folder: RunFolder) -> Iterator[Labelled]:
    """All labels that belong to replies as they are now."""
    if not (folder.path / LABELS).exists():
        return
    wanted = {one.key for one in read_sample(folder)}
    replies, labels = folder.replies(FINAL_REPLY).open(writable=False), open_labels(folder, False)
    annotators = {line["annotator"] for line in _lines(folder)}
    for planned in folder.plan():
        record = replies.get(planned["key"]) if planned["key"] in wanted else None
        if record is None:
            continue
        reply = read_reply(record)
        for annotator in sorted(annotators):
            found = labels.get(label_key(planned["key"], reply, annotator))
            if found is not None:
                yield Labelled(annotator, planned["key"], _outcome(planned, reply, found))


def _lines(folder: RunFolder) -> Iterator[dict[str, Any]]:
    for line in (folder.path / LABELS).read_bytes().split(b"\n"):
        if line.endswith(b"}"):  # not what a crash tore off
            yield json.loads(line)


def _outcome(planned: dict[str, Any], reply: Reply, found: dict[str, Any]) -> Outcome:
    head = {key: planned[key] for key in ("item", "pair", "category", "kind", "sample")}
    return Outcome(
        **head,
        status=reply.status,
        n_steps=len(segment(reply).steps),
        steps=tuple(StepLabel(**{**step, "corrects": tuple(step["corrects"])}) for step in found["steps"]),
        answer=AnswerLabel(**found["answer"]) if found["answer"] else None,
        risk_identified=found["risk_identified"],
    )


def corrected(folder: RunFolder, outcomes: Sequence[Outcome], withheld: bool) -> dict[str, Any] | None:
    """Every averaged metric of single replies, corrected by the labels; None without any.

    The population are the run's replies as the estimand "system" reads them, without those that ended as an
    error; where the judge gave no verdict the labels decide alone. Two annotators of one reply are averaged.
    """
    labels = list(read_labels(folder))
    if not labels:
        return None
    planned = [row["key"] for row in folder.plan()]
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    texted = {key for key in planned if (record := replies.get(key)) and record["status"] in TEXTED}
    counted = [
        (key, outcome)
        for key, outcome in zip(planned, outcomes, strict=True)
        if key in texted or outcome.status in STATED
    ]
    members: dict[str, str] = _sample(folder)["members"]
    by_reply: dict[str, list[Outcome]] = {}
    for one in labels:
        by_reply.setdefault(one.reply, []).append(one.outcome)
    judged = read_outcomes([outcome for _, outcome in counted], "system")
    labelled = {key: read_outcomes(given, "system") for key, given in by_reply.items()}
    specs = [
        spec
        for spec in METRICS.values()
        if spec.ratio is None and not (spec.paired or spec.worst or (withheld and spec.key in JOINT))
    ]
    numbers = {}
    for spec in specs:
        given = {key: spec.values(replies) for key, replies in labelled.items()}
        population = _population(spec, counted, spec.values(judged), given, members)
        if population is None:
            continue
        numbers[spec.key] = {
            "ppi": _json(asdict(ppi(population)), spec),
            "rogan_gladen": _json(asdict(rogan_gladen(population)), spec) if spec.truth else None,
        }
    sample = (folder.path / SAMPLE).read_bytes()
    return {
        "annotators": sorted({one.annotator for one in labels}),
        "replies": len(by_reply),
        "sample": hashlib.sha256(sample).hexdigest(),
        "metrics": numbers,
    }


def _population(
    spec: MetricSpec,
    outcomes: Sequence[tuple[str, Outcome]],
    judged: Sequence[float | None],
    given: dict[str, list[float | None]],
    members: dict[str, str],
) -> list[Drawn] | None:
    """The replies that count for a metric, their values moved to 0 to 1; None if it has no such limits.

    `judged` are the judge's values of all outcomes, `given` the annotators' by reply.
    """
    low, high = spec.limits
    if high == float("inf"):
        return None
    counted = [
        (key, outcome, value)
        for (key, outcome), value in zip(outcomes, judged, strict=True)
        if spec.kind in (None, outcome.kind)
    ]
    samples = Counter(outcome.item for _, outcome, _ in counted)
    drawn = []
    for key, outcome, value in counted:
        known = [one for one in given.get(key, []) if one is not None]
        sure = outcome.status in STATED
        label = value if sure else sum(known) / len(known) if known else None
        if sure and value is None:
            continue
        drawn.append(
            Drawn(
                cluster=outcome.pair or f"item:{outcome.item}",
                stratum=f"status {outcome.status}" if sure else members.get(key, "made after the draw"),
                judged=0.5 if value is None else (value - low) / (high - low),
                label=None if label is None else (label - low) / (high - low),
                weight=1 / samples[outcome.item],
            )
        )
    return drawn


def _json(found: dict[str, Any], spec: MetricSpec) -> dict[str, Any]:
    """A correction in the metric's own units, rounded as scores are."""
    low, high = spec.limits
    moved = {
        key: low + (high - low) * found[key] for key in ("value", "low", "high") if found[key] is not None
    }
    return {key: rounded(value) for key, value in (found | moved).items()}
