"""The transcripts of a row: what the model said, one line a sample, in the form that `rsbench import` reads.

Published beside an open row, so that anyone can judge the same replies again; of a sealed row the hash alone
is published, by which a maintainer who was sent the file knows that it is the one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rsbench.importing import ReplyLine, read_replies
from rsbench.records import read_reply
from rsbench.sheets import Sheet
from rsbench.steps import SEGMENTER, VERSION, segment
from rsbench.store import RunFolder
from rsbench.types import FINAL_REPLY, ReasoningKind, Reply, UserError

CURRENT_SEGMENTER = f"{SEGMENTER}/{VERSION}"
_CUT = ("ok", "truncated", "unparsed")  # statuses of replies that were cut into steps


def text_lines(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """The final replies of a run, in plan order; a sample that never got one has no line."""
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    for planned in folder.plan():
        record = replies.get(planned["key"])
        if record is not None:
            reply = read_reply(record)
            head = {"item": planned["item"], "sample": planned["sample"], "status": reply.status}
            digests = {"reasoning_kind": "summary"} if reply.reasoning_kind == "summary" else {}
            yield {**head, "text": reply.text, "reasoning": reply.reasoning, **digests}


def as_text(lines: Iterator[dict[str, Any]]) -> bytes:
    """JSON lines. Half a surrogate pair in a model's words is no UTF-8; its backslash form is its JSON."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return text.encode("utf-8", "backslashreplace")


def chain_visibility(folder: RunFolder) -> ReasoningKind:
    """How much reasoning a run's replies show."""
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    records = (replies.get(planned["key"]) for planned in folder.plan())
    said = (read_reply(record) for record in records if record is not None)
    return visible_chain((reply, len(segment(reply).steps)) for reply in said)


def visible_chain(said: Iterable[tuple[Reply, int]]) -> ReasoningKind:
    """How much reasoning complete replies show, each with its number of steps.

    `summary` if a provider showed a digest in any of them, `none` if none has a step.
    """
    found = [(reply.reasoning_kind, n_steps) for reply, n_steps in said if reply.status == "ok"]
    if any(kind == "summary" for kind, _ in found):
        return "summary"
    return "full" if any(n_steps for _, n_steps in found) else "none"


def read_texts(path: Path) -> dict[tuple[str, int], Reply]:
    """(item, sample) → reply.

    Raises:
        UserError: a line is no reply, or two lines are about one sample; names file and line.
    """
    lines: Mapping[tuple[str, int], tuple[int, ReplyLine]] = read_replies(path, path.stem).lines
    return {key: line.reply("") for key, (_, line) in lines.items()}


def check_texts(path: Path, sheet: Sheet, segmenter: str) -> ReasoningKind:
    """Check that transcripts are of the samples that the labels are about.

    Labels must count as many steps as there are in a sample's words, as far as this rsbench cuts replies like
    the one that made the row. Also where they label none: a reply without steps is left out of path metrics.

    Returns:
        How much reasoning the words show.

    Raises:
        UserError: a sample that is judged has no words, words without labels, another status or step count.
    """
    texts = read_texts(path)
    labels = dict(sheet.keyed())
    if strange := sorted(texts.keys() - labels.keys()):
        raise UserError(f"{path}: item {strange[0][0]!r}, sample {strange[0][1]} is not in the row's labels")
    for key, outcome in labels.items():
        reply = texts.get(key)
        where = f"{path}: item {key[0]!r}, sample {key[1]}"
        if reply is None:
            if outcome.status in FINAL_REPLY:
                raise UserError(f"{where} has labels and no words")
            continue
        if outcome.status in FINAL_REPLY and reply.status != outcome.status:
            raise UserError(f"{where} has status {reply.status!r}, but {outcome.status!r} in the labels")
        if segmenter == CURRENT_SEGMENTER and outcome.status in _CUT:
            found = len(segment(reply).steps)
            if found != len(outcome.safety):
                raise UserError(f"{where} has {found} steps, but {len(outcome.safety)} in the labels")
    return visible_chain((reply, len(labels[key].safety)) for key, reply in texts.items())
