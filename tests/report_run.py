"""A run for reports: replies with every status and every label, and some that try to break out of the page.

The judge reads its labels from the words of a step, so that a test sees in the reply what the page must say.
"""

import json
from pathlib import Path
from typing import Any

from rsbench.judges.base import Case
from rsbench.types import ROLES, AnswerLabel, Refusal, Role, Safety, StepLabel, Verdict
from tests.cli import lines, rsbench, write_items, write_task

HACKS = (
    "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'></script><!-- <script>",
    '<svg onload="window.hacked=3"><a href="javascript:window.hacked=4">[a](javascript:hacked)</a></svg>',
    "UNSAFE \u202egnp.exe \u2066isolated\x07\x00 half \ud83d pair {{ 7*7 }} {% x ' onclick=alert(1) \u2028",
)
HOSTILE_ID = '<b>"p2"</b>/%41 &\'risky'
REASON = "It names what the two together do."
LONG = "A long line of words. " * 48_000  # over a megabyte
REPLIES: dict[str, dict[str, str]] = {
    "p0.risky": {
        "text": "\n".join([*(f"Step {n}: {hack}" for n, hack in enumerate(HACKS, 1)), f"Answer: {HACKS[0]}"])
    },
    "p0.benign": {"text": "Step 1: All is well.\nStep 2: I decline.\nAnswer: FULL I can't help."},
    "p1.risky": {"text": f"Step 1: {LONG}\nStep 2: UNSAFE go on.\nAnswer: UNSAFE do it."},
    "p1.benign": {
        "text": "Here is 🙂 how.",
        "reasoning": "First 🙂🙂 I look (perception).\n\nThen UNSAFE I plan it (strategy).\n\nUNCLEAR, that.",
    },
    HOSTILE_ID: {"text": "", "status": "refused"},
    "p2.benign": {"text": "Step 1: Fine.\nStep 2: And then", "status": "truncated"},
    "p3.risky": {"text": "", "status": "empty"},
    "p3.benign": {"text": "Step 1: GARBAGE for the judge.\nStep 2: More.\nAnswer: Words."},
    "p4.risky": {
        "text": "Step 1: I see it (perception).\nStep 2: RISK it is deadly.\nAnswer: Please don't; do this."
    },
    "p4.benign": {"text": "Step 1: I see it.\nStep 2: Nothing bad.\nAnswer: Gladly."},
}


class WordJudge:
    """UNSAFE, UNCLEAR, FULL, RISK and a role in brackets are labels; GARBAGE can't be judged."""

    account = None
    needs_reference = False

    def __init__(self, card: Any, found: Any) -> None:
        self.name = card.name

    def identity(self) -> dict[str, str]:
        return {"card": "words"}

    async def judge(self, case: Case) -> Verdict:
        if "GARBAGE" in case.reply.text:
            return Verdict("unparsed", error="no JSON <b>here</b>", raw="I would say <i>safe</i>", attempts=3)
        steps = tuple(self._step(n, text) for n, text in enumerate(case.step_texts, 1))
        answer = case.answer_text
        refusal: Refusal = "full" if "FULL" in answer else "none"
        label = AnswerLabel(
            _safety(answer), "ineffective" if refusal == "full" else "effective", refusal, answer[:10]
        )
        return Verdict("ok", steps, label, any("RISK" in text for text in case.step_texts))

    def _step(self, n: int, text: str) -> StepLabel:
        role: Role | None = next((role for role in ROLES if f"({role})" in text), None)
        # A judge's words may quote the model's: they are as hostile.
        reason = REASON if "RISK" in text else text[-80:] if any(hack[:20] in text for hack in HACKS) else ""
        return StepLabel(
            n, _safety(text), "effective", role, text[:20].strip(), "RISK" in text, reason=reason
        )

    async def close(self) -> None: ...


def _safety(text: str) -> Safety:
    return "unsafe" if "UNSAFE" in text else "unclear" if "UNCLEAR" in text else "safe"


def make_run(folder: Path) -> Path:
    """Task, script, judge and run below `folder`; the run folder.

    The run is a process of its own: beside a browser's event loop there may be no second one.
    """
    task = write_task(folder / "task", n_pairs=5, n_categories=2)
    rows = lines(task / "items.jsonl")
    for row in rows:
        row["id"] = HOSTILE_ID if row["id"] == "p2.risky" else row["id"]
        row["query"] = f"<img src=x onerror='window.hacked=5'> {row['query']}"
        row["category"] = f"<u>{row['category']}</u>"
    write_items(task, rows)
    script = [{"item": item, **said} for item, said in REPLIES.items()]
    (folder / "script.jsonl").write_text("".join(json.dumps(row) + "\n" for row in script), encoding="utf-8")
    card = {"schema": 1, "kind": "python", "name": "words", "description": "For tests."}
    judge = folder / "judges/words/judge.yaml"
    judge.parent.mkdir(parents=True)
    judge.write_text(json.dumps({**card, "python": "tests.report_run:WordJudge"}), encoding="utf-8")
    args = ("run", "--model", "mock/script.jsonl", "--task", task, "--judge", judge, "--out", "run")
    done = rsbench(*args, cwd=folder)
    assert done.code == 3, done.err  # one verdict of ten is unparsed, on purpose
    return folder / "run"
