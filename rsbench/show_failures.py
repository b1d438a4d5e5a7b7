"""Why samples have no labels: in the words of providers and judges, the most frequent first.

"48 error" alone tells nobody whether to wait, to correct a name, or to ask for less.
"""

from collections import Counter
from typing import Any

from rsbench.records import read_reply, read_verdict, verdict_key
from rsbench.store import RunFolder
from rsbench.terminal import plain
from rsbench.types import FINAL_REPLY, FINAL_VERDICT

MOST = 3  # different reasons that are shown
LONGEST = 300  # characters of one


def failure_lines(folder: RunFolder, result: dict[str, Any]) -> list[str]:
    """A line for each of the most frequent reasons; none where nothing failed."""
    if not result["counts"]["error"] + result["counts"]["unparsed"]:
        return []
    identity = folder.manifest()["judges"][result["meta"]["judge"]["name"]]["identity"]
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    verdicts = folder.verdicts(FINAL_VERDICT).open(writable=False)
    found: Counter[str] = Counter()
    for planned in folder.plan():
        record = replies.get(planned["key"])
        if record is None:
            continue
        reply = read_reply(record)
        if reply.status == "error":
            found[f"error: {reply.error}"] += 1
        elif record := verdicts.get(verdict_key(planned["key"], reply, identity)):
            verdict = read_verdict(record)
            if verdict.status != "ok":
                found[f"{verdict.status} verdict: {verdict.error}"] += 1
    lines = [f"  {count} × {_cut(words)}" for words, count in found.most_common(MOST)]
    if len(found) > MOST:
        lines.append(f"  … and {len(found) - MOST} more reasons; `rsbench show RUN --item ID` says an item's")
    return lines


def _cut(text: str) -> str:
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= LONGEST else f"{flat[:LONGEST]}…"
