"""A run as a log of Inspect AI (`EvalLog`, version 2, JSON), which its viewer and its readers open.

Written as plain data: Inspect need not be installed. Each estimand is a scorer with one value a metric; a
missing truth is null there. Items' samples are epochs: the log's `samples` counts each of them, as Inspect's
`total_samples` does, while a result is over items, as one that Inspect has reduced over epochs. Images stay
with the task.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from rsbench.exports.source import Files, Options, Planned, Source, clean, latency
from rsbench.exports.tables import Metrics, reply_hash, sample_metrics
from rsbench.metric_specs import METRICS, MetricSpec
from rsbench.readings import ESTIMANDS
from rsbench.records import digest
from rsbench.score import slug
from rsbench.steps import segment
from rsbench.types import MENDABLE, Outcome, Reply
from rsbench.validation import was_measured

SEALED = "sealed"
_STOPPED = {"ok": "stop", "truncated": "max_tokens", "refused": "content_filter"}
Json = dict[str, Any]


def to_inspect(source: Source, options: Options) -> Files:
    """One file, named as Inspect names its own, so that its viewer lists it."""
    manifest, meta = source.manifest, source.result["meta"]
    created = datetime.fromisoformat(manifest["created"]).astimezone(UTC).isoformat(timespec="seconds")
    key = digest(manifest["identity"], manifest["judges"][source.judge]["identity"], created)
    worth = zip(*(sample_metrics(source, estimand) for estimand in ESTIMANDS), strict=True)
    log: Json = {
        "version": 2,
        "status": "success" if source.result["complete"] else "error",
        "eval": _spec(source, created, key),
        "plan": {"name": "rsbench", "steps": [], "config": _config(meta["parameters"])},
        "results": {
            "total_samples": source.result["counts"]["planned"],
            "completed_samples": sum(p.sample.outcome.status not in MENDABLE for p in source.samples),
            "scores": list(_results(source)),
        },
        "stats": {
            "started_at": created,
            "completed_at": _ended(source, created),
            "model_usage": _usage(source),
        },
        "samples": [
            _sample(source, planned, own) for planned, own in zip(source.samples, worth, strict=True)
        ],
    }
    if not source.result["complete"]:
        log["error"] = _error(f"incomplete: {source.result['mendable_share']:.1%} of the samples are missing")
    name = f"{created.replace(':', '-')}_{_plain(meta['task']['name'])}_{key[:22]}.json"
    return {name: (json.dumps(_cleaned(log), indent=1, allow_nan=False) + "\n").encode()}


def _spec(source: Source, created: str, key: str) -> Json:
    manifest, meta = source.manifest, source.result["meta"]
    names = sorted({planned.sample.outcome.item for planned in source.samples})
    return {
        "eval_id": key[:22],
        "run_id": key[22:44],
        "created": created,
        "task": meta["task"]["name"],
        "task_id": key[:22],
        "task_version": meta["task"]["version"],
        "dataset": {"name": meta["task"]["name"], "samples": len(names), "sample_ids": names},
        "model": meta["model"]["name"],
        "model_generate_config": _config(meta["parameters"]),
        "config": {
            "epochs": _epochs(source),
            **({"epochs_reducer": ["mean"]} if _epochs(source) > 1 else {}),
        },
        "packages": {"rsbench": manifest["rsbench"]["version"]},
        "metadata": {
            "mock": meta["mock"],
            "judge": meta["judge"],
            "judge_validated": was_measured(source.result["judge_validation"]),
            "condition": meta["condition"],
            "prompt": meta["prompt"],
            "segmenter": meta["segmenter"],
            "task_sha256": meta["task"]["sha256"],
            "data_sha256": meta["data"],
            "transcripts": SEALED if source.sealed else "open",
        },
    }


def _ended(source: Source, created: str) -> str:
    """When the last session ended; the beginning if none is noted (imported replies)."""
    ends = [
        datetime.fromisoformat(session["started"]) + timedelta(seconds=session["seconds"])
        for session in source.manifest["sessions"]
    ]
    return max(ends).astimezone(UTC).isoformat(timespec="seconds") if ends else created


def _config(parameters: Json) -> Json:
    known = ("max_tokens", "temperature", "top_p", "seed")
    return {key: parameters[key] for key in known if parameters.get(key) is not None}


def _epochs(source: Source) -> int:
    return source.result["counts"]["samples"] or 1


def _results(source: Source) -> Iterator[Json]:
    """Every number of the run. One without a value has no metrics, so that nobody reads a zero."""
    kept = ("direction", "method", "bound_low", "bound_high", "n", "planned")
    for estimand, numbers in source.result["estimands"].items():
        for key, found in numbers.items():
            metrics = {"value": found["value"], "ci_low": found["low"], "ci_high": found["high"]}
            yield {
                "name": key,
                "scorer": estimand,
                **_counted(METRICS[key], found, _epochs(source)),
                "metrics": {n: {"name": n, "value": v} for n, v in metrics.items() if v is not None},
                "metadata": {
                    **{part: found[part] for part in kept},
                    "unit": "pair" if METRICS[key].paired else "item",
                },
            }


def _counted(spec: MetricSpec, found: Json, epochs: int) -> Json:
    """What Inspect calls the samples of a result: those left after reducing epochs. Twin pairs are none."""
    if spec.paired:
        return {}
    averaged = epochs > 1 and not (spec.worst or spec.ratio)
    samples = {"scored_samples": found["n"], "unscored_samples": found["planned"] - found["n"]}
    return samples | ({"reducer": "mean"} if averaged else {})


def _usage(source: Source) -> Json:
    """Of all replies together; nothing if one did not say, for then the sum would be too small."""
    counted: Counter[str] = Counter()
    for planned in source.samples:
        if planned.sample.reply:
            tokens = _tokens(planned.sample.reply)
            if tokens is None:
                return {}
            counted.update(tokens)
    return {source.result["meta"]["model"]["name"]: dict(counted)}


def _tokens(reply: Reply) -> dict[str, int] | None:
    """None where the provider did not count them: the format has no word for unknown but silence."""
    came, went = reply.usage.input_tokens, reply.usage.output_tokens
    if came is None or went is None:
        return None
    return {"input_tokens": came, "output_tokens": went, "total_tokens": came + went}


def _sample(source: Source, planned: Planned, metrics: Sequence[Metrics]) -> Json:
    """`metrics` are the sample's, under each estimand."""
    outcome, reply = planned.sample.outcome, planned.sample.reply
    query, item = source.items.get(outcome.item, ("", None))
    about = {key: getattr(outcome, key) for key in ("kind", "category", "pair", "status")}
    row: Json = {
        "id": outcome.item,
        "epoch": outcome.sample + 1,
        "input": SEALED if source.sealed else [{"role": "user", "content": query, "source": "input"}],
        "target": item.reference.answer if item and item.reference and not source.sealed else "",
        "scores": {name: _score(source, planned, own) for name, own in zip(ESTIMANDS, metrics, strict=True)},
        "metadata": {**about, "item_sha256": planned.item_hash, "reply_key": planned.reply_key},
    }
    if reply is not None:
        row["metadata"]["reply_sha256"] = reply_hash(reply)
        if (tokens := _tokens(reply)) is not None:
            row["model_usage"] = {source.result["meta"]["model"]["name"]: tokens}
        if (seconds := latency(reply)) is not None:
            row["total_time"] = seconds
        if not source.sealed:
            said = _message(reply)
            row["messages"] = [*row["input"], said]
            row["output"] = {
                "model": source.result["meta"]["model"]["name"],
                "choices": [{"message": said, "stop_reason": _STOPPED.get(reply.status, "unknown")}],
                "completion": reply.text,
            }
    if outcome.status in MENDABLE:
        row["error"] = _error(outcome.status if source.sealed else _why(planned))
    return row


def _message(reply: Reply) -> Json:
    parts: list[Json] = [{"type": "reasoning", "reasoning": reply.reasoning}] if reply.reasoning else []
    return {
        "role": "assistant",
        "content": [*parts, {"type": "text", "text": reply.text}],
        "source": "generate",
    }


def _score(source: Source, planned: Planned, metrics: Metrics) -> Json:
    """The metrics of one sample; its labels in words of ours, evidence and reasons as data beside them."""
    outcome, reply = planned.sample.outcome, planned.sample.reply
    labels = asdict(outcome)
    score: Json = {
        "value": {key: float(v) if v is not None else None for key, v in metrics.items()},
        "explanation": "\n".join(_words(outcome)),
        "metadata": {key: labels[key] for key in ("steps", "answer", "risk_identified")},
    }
    if source.sealed:
        for label in (*labels["steps"], *([labels["answer"]] if labels["answer"] else [])):
            del label["evidence"], label["reason"]
    elif reply is not None:
        score["answer"] = segment(reply).answer.of(reply)
    return score


def _words(outcome: Outcome) -> Iterator[str]:
    yield f"status: {outcome.status}"
    for step in outcome.steps:
        yield f"step {step.index}: {step.safety}, {step.effectiveness}"
    if outcome.answer:
        answer = outcome.answer
        yield f"answer: {answer.safety}, {answer.effectiveness}, refusal {answer.refusal}"


def _why(planned: Planned) -> str:
    said = [one.error for one in (planned.sample.reply, planned.sample.verdict) if one and one.error]
    return "; ".join([planned.sample.outcome.status, *said])


def _error(message: str) -> Json:
    return {"message": message, "traceback": "", "traceback_ansi": ""}


def _plain(name: str) -> str:
    """A task's name in a file name, whose parts Inspect splits at underscores."""
    return slug(name).replace("_", "-")


def _cleaned(value: Any) -> Any:
    """The same data with every text as UTF-8 can hold it."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(part) for key, part in value.items()}
    return [_cleaned(part) for part in value] if isinstance(value, list | tuple) else value
