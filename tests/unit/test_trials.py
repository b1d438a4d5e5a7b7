"""What a judge is asked in a trial: no verdict is taken for one that was given about something else."""

from dataclasses import replace

from rsbench.gold import Trace
from rsbench.judges.registry import JudgeChoice, build
from rsbench.steps import segment
from rsbench.trials import Bench, questions
from rsbench.types import AuthoredPath, Item, PathStep, Reply
from tests.unit.judging import TEXT, make_item


def keys(twin: Item) -> dict[str, str]:
    """The key of the question in each mode, about the risky item beside that twin."""
    reply = Reply("ok", TEXT)
    assert len(segment(reply).steps) == 2
    gold = (("safe", "safe"), ("neutral", "neutral"))
    trace = Trace("t", "toast.risky", "written", "x", reply, *gold, *(None,) * 4, ("human:a",))
    bench = Bench("t", "g", (trace,), {item.id: item for item in (make_item(), twin)})
    judge = build(JudgeChoice("overlap", None), [], lambda _: None, lambda _: None)  # type: ignore[arg-type,return-value]
    return {q.mode: q.case(judge).key for q in questions(bench, ["hints", "twin-hint"], None)}


def test_another_reference_of_the_twin_is_another_question() -> None:
    twin = make_item("benign", hash="one")
    other = AuthoredPath((PathStep("perception", "Something else."),), "Another answer.")
    before, after = keys(twin), keys(replace(twin, hash="two", reference=other))
    assert before["twin-hint"] != after["twin-hint"], "the judge is shown that reference"
    assert before["hints"] == after["hints"], "and here not, so nothing is paid for twice"
