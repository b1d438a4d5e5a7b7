"""Every Eval Ever records (schema 0.3.0) of a run: an aggregate file, and a line a sample and metric.

The schema has no word for missing: a number without a value, and a sample whose label is missing, are left
out and counted, never written as a zero. The layout is that of the project's datastore.
"""

import hashlib
import json
import math
import uuid
from collections.abc import Iterator
from typing import Any

from rsbench.exports.source import Files, Options, Planned, Source, clean, latency
from rsbench.exports.tables import SAMPLE_SPECS, reply_hash, sample_metrics
from rsbench.metric_specs import METRICS, MetricSpec
from rsbench.publishable import check_publishable
from rsbench.readings import ESTIMANDS
from rsbench.records import digest
from rsbench.score import slug
from rsbench.steps import segment
from rsbench.types import Item, Reply
from rsbench.validation import was_measured

SCHEMA = "0.3.0"
SEALED = "sealed"
_GIVEN = ("temperature", "top_p", "max_tokens")  # parameters for which the schema has a place
_Details = dict[str, str]


def to_eee(source: Source, options: Options) -> Files:
    """The aggregate record and its samples, below `data/COLLECTION/DEVELOPER/MODEL/`.

    Raises:
        UserError: a run whose numbers may not stand beside others (mock, incomplete, training split, halves).
    """
    check_publishable(str(source.path), source.manifest, source.result)
    model = options.model_id or model_id(source.manifest["identity"]["model"])
    task = slug(source.result["meta"]["task"]["name"])
    collection = task if task.startswith("rsbench") else f"rsbench-{task}"
    developer, _, name = model.partition("/")
    created = source.manifest["created"]
    key = digest(source.manifest["identity"], source.manifest["judges"][source.judge]["identity"], created)
    evaluation = f"{collection}/{model}/{key[:16]}"
    stem = f"data/{collection}/{slug(developer)}/{slug(name)}/{uuid.UUID(key[:32], version=4)}"
    rows = list(instances(source, evaluation, model, collection))
    lines = "".join(_json(row) + "\n" for row in rows).encode()
    record = {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation,
        "evaluation_timestamp": created,
        "retrieved_timestamp": str(int(source.made_at.timestamp())),
        "source_metadata": {
            "source_name": "rsbench",
            "source_type": "evaluation_run",
            "source_organization_name": options.organization or "unknown",
            "evaluator_relationship": "other",
            "additional_details": {"transcripts": SEALED if source.sealed else "open"},
        },
        "eval_library": {"name": "rsbench", "version": source.manifest["rsbench"]["version"]},
        "model_info": _model_info(source, model),
        "evaluation_results": list(results(source, collection)),
    }
    if rows:
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"{stem}_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(lines).hexdigest(),
            "total_rows": len(rows),
        }
    files = {f"{stem}.json": (_json(record, 1) + "\n").encode()}
    return files | ({f"{stem}_samples.jsonl": lines} if rows else {})


def model_id(identity: dict[str, str]) -> str:
    """DEVELOPER/MODEL as well as the run knows it; a folder on somebody's disk goes by its last name."""
    model, provider = identity.get("model", identity["name"]), identity.get("provider", "local")
    if model.startswith(("/", ".", "~")):
        return f"local/{slug(model.rstrip('/').rpartition('/')[2])}"
    developer, _, name = (model if "/" in model else f"{provider}/{model}").partition("/")
    return f"{slug(developer)}/{slug(name)}"


def results(source: Source, collection: str) -> Iterator[dict[str, Any]]:
    """Every number that has a value, under both estimands."""
    meta = source.result["meta"]
    judge = source.manifest["judges"][source.judge]
    about: _Details = {
        "judge": source.judge,
        "judge_identity": _json(judge["identity"]),
        "judge_validated": "yes" if was_measured(judge["validation"]) else "no",
        "judge_of_the_models_family": "yes" if judge["same_family"] else "no",
    }
    data = {
        "task_version": str(meta["task"]["version"]),
        "task_sha256": meta["task"]["sha256"],
        "data_sha256": meta["data"],
        "prompt": meta["prompt"]["variant"],
        "prompt_sha256": meta["prompt"]["sha256"],
        "segmenter": meta["segmenter"],
    }
    for estimand, numbers in source.result["estimands"].items():
        for key, found in numbers.items():
            if found["value"] is None:
                continue
            yield {
                "evaluation_result_id": result_id(estimand, key),
                "evaluation_name": f"{collection}.{estimand}",
                "source_data": {
                    "dataset_name": collection,
                    "source_type": "other",
                    "additional_details": data,
                },
                "evaluation_timestamp": source.manifest["created"],
                "metric_config": _metric(METRICS[key], estimand, about),
                "score_details": _score(found),
                "generation_config": _generation(source),
            }


def result_id(estimand: str, key: str) -> str:
    """What joins samples to their number."""
    return f"{estimand}.{key}"


def _metric(spec: MetricSpec, estimand: str, about: _Details) -> dict[str, Any]:
    low, high = (-1.0, 1.0) if spec.key.startswith("step_effective") else spec.limits
    return {
        "evaluation_description": spec.sentence,
        "metric_id": f"rsbench.{spec.key}",
        "metric_name": spec.name,
        "metric_unit": "steps" if high == math.inf else "proportion" if low == 0 else "points",
        "lower_is_better": spec.direction == "lower",
        "score_type": "continuous",
        "min_score": low,
        "max_score": "Infinity" if high == math.inf else high,
        "additional_details": {
            **about,
            "formula": spec.formula,
            "direction": spec.direction,
            "estimand": estimand,
        },
    }


def _score(found: dict[str, Any]) -> dict[str, Any]:
    kept = ("n", "planned", "clusters", "scored_share", "bound_low", "bound_high")
    score: dict[str, Any] = {
        "score": found["value"],
        "details": {key: str(found[key]) for key in kept if found[key] is not None},
        "uncertainty": {"num_samples": found["n"]},
    }
    if found["low"] is not None and found["high"] is not None:
        score["uncertainty"]["confidence_interval"] = {
            "lower": found["low"],
            "upper": found["high"],
            "confidence_level": 0.95,
            "method": found["method"],
        }
    return score


def _generation(source: Source) -> dict[str, Any]:
    given = {k: v for k, v in source.result["meta"]["parameters"].items() if v is not None}
    return {
        "generation_args": {k: v for k, v in given.items() if k in _GIVEN},
        "additional_details": {
            **{k: str(v) for k, v in given.items() if k not in _GIVEN},
            "samples_per_item": str(source.manifest["identity"]["samples"]),
        },
    }


def _model_info(source: Source, model: str) -> dict[str, Any]:
    identity = source.manifest["identity"]["model"]
    return {
        "name": identity["name"],
        "id": model,
        "developer": model.partition("/")[0],
        "additional_details": {
            "deployment_type": "unknown",
            "model_availability": "unknown",
            **{f"rsbench_{k}": str(v) for k, v in identity.items() if k not in ("name", "base_url")},
        },
    }


def instances(source: Source, evaluation: str, model: str, collection: str) -> Iterator[dict[str, Any]]:
    """One record a sample and true-or-false metric under "system"; none where the truth is missing."""
    estimand = ESTIMANDS[0]
    for planned, metrics in zip(source.samples, sample_metrics(source, estimand), strict=True):
        reply = planned.sample.reply
        if reply is None:
            continue
        shared = _sample(source, planned, reply)
        for spec in SAMPLE_SPECS:
            truth = metrics[spec.key] if spec.truth else None
            if truth is None:
                continue
            yield {
                "schema_version": SCHEMA,
                "evaluation_id": evaluation,
                "model_id": model,
                "evaluation_name": f"{collection}.{estimand}",
                "evaluation_result_id": result_id(estimand, spec.key),
                **shared,
                "evaluation": {
                    "score": float(truth),
                    "is_correct": bool(truth) != (spec.direction == "lower"),
                },
            }


def _sample(source: Source, planned: Planned, reply: Reply) -> dict[str, Any]:
    """What all records of one sample share. Sealed words are replaced by their hash."""
    outcome = planned.sample.outcome
    query, item = source.items.get(outcome.item, ("", None))
    reference = [clean(item.reference.answer)] if item and item.reference else []
    whole = f"sha256:{reply_hash(reply)}"
    answer = segment(reply).answer.of(reply)
    row: dict[str, Any] = {
        "sample_id": outcome.item if source.result["counts"]["samples"] == 1 else _numbered(planned),
        "sample_hash": _hash(clean(query), reference, item) if item else None,
        "interaction_type": "single_turn",
        "input": {"raw": clean(query), "reference": reference},
        "output": {"raw": [clean(reply.text)], "reasoning_trace": [clean(reply.reasoning)]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": clean(answer),
                "extraction_method": f"rsbench segmenter {source.result['meta']['segmenter']}",
                "is_terminal": True,
            }
        ],
        "error": None if outcome.status == "ok" else outcome.status,
        "metadata": {
            **{key: str(getattr(outcome, key)) for key in ("kind", "category", "pair", "sample", "status")},
            "item_sha256": planned.item_hash,
            "reply_key": planned.reply_key,
        },
    }
    if (seconds := latency(reply)) is not None:
        row["performance"] = {"latency_ms": round(seconds * 1000, 3)}
    if not reply.reasoning:
        row["output"]["reasoning_trace"] = None
    if source.sealed:
        row["input"] = {"raw": SEALED, "reference": []}
        row["output"] = {"raw": [whole], "reasoning_trace": None}
        row["answer_attribution"][0]["extracted_value"] = SEALED
    if reply.usage.input_tokens is not None and reply.usage.output_tokens is not None:
        row["token_usage"] = {
            "input_tokens": reply.usage.input_tokens,
            "output_tokens": reply.usage.output_tokens,
            "total_tokens": reply.usage.input_tokens + reply.usage.output_tokens,
            "reasoning_tokens": reply.usage.reasoning_tokens,
        }
    return row


def _numbered(planned: Planned) -> str:
    return f"{planned.sample.outcome.item}#{planned.sample.outcome.sample}"


def _hash(raw: str, reference: list[str], item: Item) -> str:
    """The recipe of the project's own converters, so that one sample has one hash across tools.

    Theirs knows no pictures: twins that differ in nothing else would be one sample. With pictures, their
    bytes' hashes are in it too; without, it is the project's.
    """
    sample: dict[str, Any] = {"raw": raw, "reference": reference}
    if item.images:
        sample["images"] = [image.sha256 for image in item.images]
    shown = json.dumps(sample, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(shown.encode()).hexdigest()


def _json(data: Any, indent: int | None = None) -> str:
    return json.dumps(data, indent=indent, allow_nan=False)
