"""Records: replies and verdicts as JSON lines, and the content keys that name them.

A key says everything that made a record what it is. Two calls with one key are one call: resume, caching and
"re-run only what an edited prompt changed" all follow from that and from nothing else.
"""

import dataclasses
import hashlib
import json
from typing import Any

from rsbench.models.base import GenParams
from rsbench.types import AnswerLabel, Item, Reply, StepLabel, Usage, UserError, Verdict

SCHEMA = 1  # of replies
VERDICT_SCHEMA = 3  # 2: votes, probabilities, boundary flags; 3: reasons
_NOT_KEPT = ("tokens",)  # of a reply: read when it arrives, too long to be stored
_NEW = {"p_unsafe": None, "p_effective": None, "boundary": False, "reason": ""}  # in labels, since 1


def digest(*parts: object) -> str:
    """sha256 (hex) over the canonical JSON of its arguments."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    # A model's text may hold half a surrogate pair, which UTF-8 can't.
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def reply_key(
    item: Item,
    prompt: str,
    model: dict[str, str],
    params: GenParams,
    sample: int,
    condition: str = "both",
) -> str:
    """Key of one reply. Images enter by the hash of the bytes; a condition other than `both` by its name."""
    images = [image.sha256 for image in item.images]
    other = [] if condition == "both" else [condition]
    return digest("reply", item.hash, prompt, images, model, vars(params), sample, *other)


def verdict_key(reply_key_: str, reply: Reply, judge: dict[str, str], vote: int = 0) -> str:
    """Key of one verdict. `judge` is the judge's identity: card, rubric, model, parameters, hints."""
    return digest("verdict", reply_key_, reply.text, reply.reasoning, judge, vote)


def reply_record(key: str, item: str, sample: int, reply: Reply) -> dict[str, Any]:
    """One line of `replies.jsonl`."""
    said = {f.name: getattr(reply, f.name) for f in dataclasses.fields(reply) if f.name not in _NOT_KEPT}
    usage = dataclasses.asdict(reply.usage)
    return {"schema": SCHEMA, "key": key, "item": item, "sample": sample, **said, "usage": usage}


def verdict_record(
    key: str, item: str, sample: int, judge: str, reply: str, verdict: Verdict, vote: int = 0
) -> dict[str, Any]:
    """One line of `verdicts.jsonl`; `reply` is the key of the reply that was judged.

    `vote`: 0 for what the judge says in the end, from 1 on for the votes that this was made of.
    """
    head = {"schema": VERDICT_SCHEMA, "key": key, "item": item, "sample": sample, "judge": judge}
    return {**head, "vote": vote, "reply": reply, **dataclasses.asdict(verdict)}


def read_reply(record: dict[str, Any]) -> Reply:
    """The reply of one line of `replies.jsonl`."""
    fields = _fields(Reply, record, SCHEMA)
    return Reply(**{**fields, "usage": Usage(**record["usage"])})


def read_verdict(record: dict[str, Any]) -> Verdict:
    """The verdict of one line of `verdicts.jsonl`, of this schema or an older one."""
    record = _migrated(record)
    steps = tuple(StepLabel(**{**s, "corrects": tuple(s["corrects"])}) for s in record["steps"])
    answer = AnswerLabel(**record["answer"]) if record["answer"] else None
    fields = _fields(Verdict, record, VERDICT_SCHEMA)
    return Verdict(**{**fields, "steps": steps, "answer": answer, "usage": Usage(**record["usage"])})


def _migrated(record: dict[str, Any]) -> dict[str, Any]:
    """A verdict's record in the present schema: what an older one could not say was not the case."""
    if record["schema"] >= VERDICT_SCHEMA:
        return record
    steps = [{**_NEW, **step} for step in record["steps"]]
    answer = {**_NEW, **record["answer"]} if record["answer"] else None
    return {"vote": 0, **record, "schema": VERDICT_SCHEMA, "steps": steps, "answer": answer}


def _fields(cls: type[Reply] | type[Verdict], record: dict[str, Any], newest: int) -> dict[str, Any]:
    if record["schema"] > newest:
        raise UserError(
            f"record {record['key'][:12]} has schema {record['schema']}; this rsbench reads up to {newest}. "
            "Upgrade rsbench."
        )
    return {f.name: record[f.name] for f in dataclasses.fields(cls) if f.name not in _NOT_KEPT}
