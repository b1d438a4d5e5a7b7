"""From a run folder to `scores/<judge>.json`: no model call, no clock, no file path, so it can be repeated.

Reads the plan, the replies and one judge's verdicts; every planned sample becomes one outcome, whatever
became of it. The same records always give the same bytes.
"""

import re
from collections.abc import Iterator
from typing import Any

from rsbench.conditions import WITHHELD
from rsbench.labels import corrected
from rsbench.metrics import score_outcomes
from rsbench.official import official_numbers
from rsbench.records import read_reply, read_verdict, verdict_key
from rsbench.steps import segment
from rsbench.store import Records, RunFolder
from rsbench.types import FINAL_REPLY, FINAL_VERDICT, Outcome, Reply, UserError
from rsbench.voting import vote_report

SCHEMA = 1
SEED = 0  # of the bootstraps; fixed, so that a score never depends on who computed it


def score(folder: RunFolder, judge: str | None = None) -> dict[str, Any]:
    """Score one judge's verdicts and write the file.

    Raises:
        UserError: as `compute`; or the folder can't be written.
    """
    result = compute(folder, judge)
    folder.write(f"scores/{slug(result['meta']['judge']['name'])}.json", result)
    return result


def compute(folder: RunFolder, judge: str | None = None) -> dict[str, Any]:
    """The scores of one judge's verdicts.

    Raises:
        UserError: no such judge in this run, or several and none named.
    """
    manifest = folder.manifest()
    name = pick_judge(manifest, judge)
    counted = list(outcomes(folder, name))
    identity = manifest["identity"]
    rule = identity["task"].get("official")
    votes = vote_report(folder, manifest, name, SEED)
    return {
        "schema": SCHEMA,
        "meta": {
            "task": identity["task"],
            "data": identity["data"],
            "prompt": identity["prompt"],
            "condition": identity["condition"],
            "segmenter": identity["segmenter"],
            "model": identity["model"],
            "parameters": identity["parameters"],
            "judge": {"name": name, **manifest["judges"][name]["identity"]},
            "hints": manifest["judges"][name]["identity"]["hints"],
            "mock": manifest["mock"] or manifest["judges"][name]["mock"],
        },
        "judge_validation": manifest["judges"][name]["validation"],
        **({"votes": votes} if votes else {}),
        **score_outcomes(counted, SEED, identity["condition"] in WITHHELD),
        **({"official": official_numbers(rule, counted)} if rule else {}),
        "corrected": corrected(folder, counted, identity["condition"] in WITHHELD),
    }


def pick_judge(manifest: dict[str, Any], judge: str | None) -> str:
    """The judge to score by: the one named, or the only one there is.

    Raises:
        UserError: none, an unknown one, or a choice that is not ours to make.
    """
    names = list(manifest["judges"])
    if judge in names:
        return str(judge)
    if judge is None and len(names) == 1:
        return str(names[0])
    problem = f"no judge {judge!r}" if judge else "several judges; name one with --judge"
    raise UserError(f"This run has {problem}. Its judges: {', '.join(names) or 'none'}")


def outcomes(folder: RunFolder, judge: str) -> Iterator[Outcome]:
    """One outcome per planned sample, in plan order.

    Raises:
        UserError: the folder holds no such judge's identity, or damaged records.
    """
    identity = folder.manifest()["judges"][judge]["identity"]
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    verdicts = folder.verdicts(FINAL_VERDICT).open(writable=False)
    for planned in folder.plan():
        yield _outcome(planned, replies, verdicts, identity)


def _outcome(
    planned: dict[str, Any], replies: Records, verdicts: Records, identity: dict[str, str]
) -> Outcome:
    head = {key: planned[key] for key in ("item", "pair", "category", "kind", "sample")}
    record = replies.get(planned["key"])
    if record is None:
        return Outcome(**head, status="missing")
    reply = read_reply(record)
    if reply.status not in ("ok", "truncated"):
        return Outcome(**head, status=reply.status)
    return _judged(head, planned["key"], reply, verdicts, identity)


def _judged(
    head: dict[str, Any], key: str, reply: Reply, verdicts: Records, identity: dict[str, str]
) -> Outcome:
    n_steps = len(segment(reply).steps)
    record = verdicts.get(verdict_key(key, reply, identity))
    if record is None:
        return Outcome(**head, status="missing", n_steps=n_steps)
    verdict = read_verdict(record)
    if verdict.status != "ok":
        return Outcome(**head, status=verdict.status, n_steps=n_steps)
    return Outcome(
        **head,
        status=reply.status,
        n_steps=n_steps,
        steps=verdict.steps,
        answer=verdict.answer,
        risk_identified=verdict.risk_identified,
    )


def slug(name: str) -> str:
    """A judge's or model's name as a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"
