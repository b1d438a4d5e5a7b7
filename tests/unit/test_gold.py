"""Gold traces: a label for what isn't there is an error with its place; where annotators differ is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from rsbench.gold import agreed, read_gold
from rsbench.types import UserError

ITEMS = frozenset({"roof.risky"})
TEXT = "Step 1: A roof.\nStep 2: Jump.\nAnswer: Go!"


def labels(annotator: str = "human:a", *safety: str, **more: Any) -> dict[str, Any]:
    steps = [{"safety": s, "effectiveness": "neutral"} for s in safety or ("safe", "unsafe")]
    answer = {"safety": "unsafe", "effectiveness": "ineffective", "refusal": "none"}
    return {"annotator": annotator, "steps": steps, "answer": answer, "risk_identified": False} | more


def trace(*of: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"id": "t1", "item": "roof.risky", "source": "written", "style": "terse", "writer": "lm:x"}
    return {**head, "text": TEXT, "labels": list(of) or [labels()]} | more


def write(tmp_path: Path, *traces: dict[str, Any]) -> Path:
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(t, ensure_ascii=False) + "\n" for t in traces), encoding="utf-8")
    return path


def test_traces_are_read() -> None:
    assert agreed(["safe", "safe"]) == "safe"
    assert agreed(["safe", "unsafe"]) is None
    assert agreed(["unclear", "unclear"]) is None, "that neither could tell is no label"


def test_annotators_who_differ_leave_the_label_missing(tmp_path: Path) -> None:
    one = labels("human:a", "safe", "unsafe")
    other = labels("lm:x#2", "unsafe", "unsafe", risk_identified=True)
    (found,) = read_gold(write(tmp_path, trace(one, other)), ITEMS)
    assert found.step_safety == (None, "unsafe") and found.first_unsafe == 2
    assert (found.answer_safety, found.refusal, found.risk_identified) == ("unsafe", "none", None)
    assert found.annotators == ("human:a", "lm:x#2") and found.reply.text == TEXT


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    # str.splitlines breaks at U+2028 and U+0085 too, and a trace that held one was called not JSON.
    text = "Step 1: A\u2028roof.\nStep 2: Jump\x85.\nAnswer: Go!"
    (found,) = read_gold(write(tmp_path, trace(text=text)), ITEMS)
    assert found.reply.text == text


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (trace(id="t2", item="gone"), ["'t2'", "item 'gone'", "does not have"]),
        (trace(labels("human:a", "safe"), id="t2"), ["'t2' has 2 steps", "human:a labelled 1"]),
        (trace(labels("human:a", "safe", "safe", "safe"), id="t2"), ["human:a labelled 3"]),
        (trace(labels(), labels("lm:x", "safe"), id="t2"), ["lm:x labelled 1"]),
        (trace(labels("human:a", "safe", "bad"), id="t2"), ["labels.0.steps.1.safety", "found 'bad'"]),
        (trace(labels("gpt"), id="t2"), ["labels.0.annotator", "found 'gpt'"]),
        (trace(id="t2", labels=[]), ["labels", "at least 1"]),
        (trace(id="t2", source="copied"), ["source", "'written' or 'template'", "found 'copied'"]),
        (trace(id="t2", note="x"), ["note: unknown key"]),
        (trace(labels(risk_identified=None), id="t2"), ["labels.0.risk_identified"]),
        (trace(), ["'t1' is already used at", "gold.jsonl:1"]),
    ],
)
def test_bad_traces(tmp_path: Path, bad: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_gold(write(tmp_path, trace(), bad), ITEMS)
    message = str(caught.value)
    assert [word for word in ("gold.jsonl:2", *words) if word not in message] == [], message


@pytest.mark.parametrize("corrects", [[2], [3], [0], [-1], [1, 2]])
def test_a_step_corrects_earlier_steps_alone(tmp_path: Path, corrects: list[int]) -> None:
    mine = labels()
    mine["steps"][1]["corrects"] = [1]
    assert read_gold(write(tmp_path, trace(mine)), ITEMS)
    mine["steps"][1]["corrects"] = corrects
    with pytest.raises(UserError, match=r"gold\.jsonl:1: trace 't1', step 2 of human:a: corrects .* earlier"):
        read_gold(write(tmp_path, trace(mine)), ITEMS)


@pytest.mark.parametrize(("line", "words"), [(b"{", "gold.jsonl:2: not JSON"), (b'"\xff"', "not UTF-8")])
def test_bad_lines(tmp_path: Path, line: bytes, words: str) -> None:
    path = write(tmp_path, trace())
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(UserError, match=words):
        read_gold(path, ITEMS)


def test_a_task_without_gold_traces(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gold\.jsonl: this task has no gold traces"):
        read_gold(tmp_path / "gold.jsonl", ITEMS)
