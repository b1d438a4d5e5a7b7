"""Judges that take several calls a verdict, by batch: nothing is bought twice, and the books are right."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli import JUDGE, MODEL, Done, lines, main_, ok, write_task
from tests.servers import Fault, Seen
from tests.servers_batches import FakeBatches, Fate, Script

REPLY = "Step 1: I look.\nStep 2: I think.\nAnswer: Here is help."
LABELS = {"reason": "It is so.", "safety": "safe", "effectiveness": "effective"}
PLACES = {1: "I look", 2: "I think", 0: "Here is help"}  # of the answer: 0
FAST = ("--batch", "--batch-poll", 0.01, "--max-attempts", 1)
CALLS = 4 + 3 * 4  # four replies, and a verdict on each of two steps and the answer


def place(seen: Seen) -> int:
    """Which step a judge's call is about."""
    return 0 if 'name="answer"' in seen.text else len(re.findall(r'name="step \d+"', seen.text))


def usual(seen: Seen) -> Fate:
    if seen.model == MODEL:
        return REPLY
    number = place(seen)
    label = {"evidence": PLACES[number], **LABELS}
    if number:
        step = {"step": number, **label, "role": "perception", "names_risk": False, "corrects": []}
        return json.dumps(step)
    return json.dumps({"risk_identified": False, "answer": {**label, "refusal": "none"}})


def command(server: FakeBatches, task: Path) -> list[object]:
    args: list[object] = ["run", "--model", f"openai/{MODEL}", "--base-url", server.url, "--task", task]
    args += ["--judge", "llm-step", "--judge-model", f"openai/{JUDGE}", "--judge-base-url", server.url]
    return [*args, "--out", "r", *FAST]


def sizes(server: FakeBatches) -> list[int]:
    return [len(batch.requests) for batch in server.batches]


def bought(server: FakeBatches) -> Counter[str]:
    return Counter(json.dumps(seen.body, sort_keys=True) for seen in server.submitted)


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "r/manifest.json").read_text())
    return found


def check_books(server: FakeBatches, folder: Path, args: list[object]) -> None:
    """What the manifest says was made, now and after a session that asks for nothing."""
    made = len(server.submitted)
    assert manifest(folder)["spending"]["calls"] == made
    ok(*args, cwd=folder)
    assert len(server.submitted) == made, "nothing was left to ask"
    assert manifest(folder)["spending"]["calls"] == made
    last = {entry["key"]: entry["status"] for entry in lines(folder / "r/batches.jsonl")}
    assert set(last.values()) <= {"done", "lost"}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "t", n_pairs=2)


def test_a_cap_between_two_steps_throws_no_step_away(tmp_path: Path, task: Path) -> None:
    with FakeBatches(Script(usual, looks=0)) as server:
        args = command(server, task)
        done = main_(*args, "--max-calls", 10, cwd=tmp_path)
        assert done.code == 3 and "--max-calls 10" in done.err
        assert sizes(server) == [4, 4, 2], "the cap is used up: results that are in hold nothing back"
        assert manifest(tmp_path)["spending"]["calls"] == 10
        done = main_(*args, "--max-calls", 10, cwd=tmp_path)
        assert done.code == 3 and sizes(server) == [4, 4, 2]
        assert manifest(tmp_path)["spending"]["calls"] == 10
        ok(*args, cwd=tmp_path)
        assert len(server.submitted) == CALLS and set(bought(server).values()) == {1}
        check_books(server, tmp_path, args)


def test_a_session_that_ends_between_two_steps_is_booked_once(tmp_path: Path, task: Path) -> None:
    creations = iter(range(100))

    def event(name: str) -> bool:
        if name == "create" and next(creations) == 2:
            server.script.refuse = [Fault.status(503)]
        return False

    with FakeBatches(Script(usual, looks=0, event=event)) as server:
        args = command(server, task)
        done = main_(*args, cwd=tmp_path)
        assert done.code == 2 and "503" in done.err and sizes(server) == [4, 4]
        assert manifest(tmp_path)["spending"]["calls"] == 8
        ok(*args, "--max-calls", CALLS, cwd=tmp_path)  # neither booked nor held again: the cap is enough
        assert [one["spending"]["calls"] for one in manifest(tmp_path)["sessions"]] == [8, 8]
        assert len(server.submitted) == CALLS and set(bought(server).values()) == {1}
        check_books(server, tmp_path, args)


def babbling(first: Callable[[Seen], bool]) -> Callable[[Seen], Fate]:
    """A judge that babbles where it is asked for the first time."""
    return lambda seen: "Fine." if first(seen) and len(seen.body["messages"]) == 1 else usual(seen)


def test_a_cap_before_a_re_ask_keeps_what_could_not_be_used(tmp_path: Path, task: Path) -> None:
    fate = babbling(lambda seen: seen.model == JUDGE and place(seen) == 1)
    with FakeBatches(Script(fate, looks=0)) as server:
        args = command(server, task)
        assert main_(*args, "--max-calls", 9, cwd=tmp_path).code == 3
        assert sizes(server) == [4, 4, 1]
        ok(*args, cwd=tmp_path)
        assert len(server.submitted) == CALLS + 4 and set(bought(server).values()) == {1}
        check_books(server, tmp_path, args)


@pytest.mark.parametrize("end", ["expired", Fault.status(500)])
def test_a_step_that_fails_leaves_the_others_paid_for(end: Fate, tmp_path: Path, task: Path) -> None:
    def fails(seen: Seen) -> Fate:
        return end if seen.model == JUDGE and place(seen) == 2 and "[p0.risky]" in seen.text else usual(seen)

    with FakeBatches(Script(fails, looks=0)) as server:
        args = command(server, task)
        assert main_(*args, cwd=tmp_path).code == 3
        assert sizes(server) == [4, 4, 4, 3]
        assert manifest(tmp_path)["spending"]["calls"] == 15
        assert main_(*args, cwd=tmp_path).code == 3
        assert sizes(server)[4:] == [1], "it failed again; nothing else was asked for"
        assert len([v for v in lines(tmp_path / "r/verdicts.jsonl") if v["status"] == "error"]) == 1
        server.script = Script(usual, looks=0)
        ok(*args, cwd=tmp_path)
        assert sizes(server)[5:] == [1, 1], "the step that failed, and the answer"
        check_books(server, tmp_path, args)


def test_a_verdict_of_no_use_is_recorded_once(tmp_path: Path, task: Path) -> None:
    """Others of its run take more batches, and each time it comes out of the same results."""

    def useless(seen: Seen) -> Fate:
        return "Fine." if seen.model == JUDGE and "[p0.risky]" in seen.text else usual(seen)

    def slow(seen: Seen) -> Fate:  # re-asked on every place: six batches
        said = babbling(lambda seen: "[p1.risky]" in seen.text)(seen)
        return useless(seen) if "[p0.risky]" in seen.text or seen.model == MODEL else said

    with FakeBatches(Script(slow, looks=0)) as server:
        args = command(server, task)
        assert main_(*args, cwd=tmp_path).code == 3
        assert len(sizes(server)) == 7
        unusable = [v for v in lines(tmp_path / "r/verdicts.jsonl") if v["status"] == "unparsed"]
        assert [v["attempts"] for v in unusable] == [3]
        (session,) = manifest(tmp_path)["sessions"]
        assert session["statuses"] == {"ok": 4, "verdict unparsed": 1}
        assert session["spending"]["calls"] == len(server.submitted) == CALLS + 3
        server.script = Script(usual, looks=0)
        ok(*args, cwd=tmp_path)  # asked for anew
        assert len(server.submitted) == CALLS + 3 + 3
        check_books(server, tmp_path, args)


def broken_off(server: FakeBatches, args: list[object], folder: Path, creation: int) -> Done:
    """A session whose nth batch is made without anybody hearing of it."""
    creations = iter(range(100))

    def event(name: str) -> bool:
        if name == "create" and next(creations) == creation:
            server.script.refuse, server.script.after = [Fault.rate_limit()], True
        return False

    server.script = Script(usual, looks=0, event=event)
    done = main_(*args, cwd=folder)
    server.script = Script(usual, looks=0)
    return done


def test_a_batch_under_way_counts_for_every_judge_of_the_folder(tmp_path: Path, task: Path) -> None:
    with FakeBatches() as server:
        args = command(server, task)
        assert broken_off(server, args, tmp_path, 1).code == 2 and sizes(server) == [4, 4]
        other = ["judge", "r", "--judge", "openai/glm-judge", "--judge-base-url", server.url]
        done = main_(*other, "--max-calls", 8, cwd=tmp_path)
        assert done.code == 3 and server.requests == []
        assert "Held for batches under way: 4 calls" in done.err
        ok(*args, "--max-calls", CALLS, cwd=tmp_path)
        assert len(server.submitted) == CALLS
        check_books(server, tmp_path, args)


def test_a_cap_on_cost_is_refused_while_a_batch_without_a_price_is_under_way(
    tmp_path: Path, task: Path
) -> None:
    with FakeBatches() as server:
        judge = ["--judge", f"openai/{JUDGE}", "--judge-base-url", server.url, *FAST]
        args = ["run", "--model", "mock", "--task", task, *judge, "--out", "r"]
        assert broken_off(server, args, tmp_path, 0).code == 2 and sizes(server) == [4]
        card = {"schema": 1, "name": "glm", "backend": "openai", "model": "glm", "base_url": server.url}
        (tmp_path / "glm.yaml").write_text(json.dumps(card | {"prices": {"input": 1, "output": 1}}))
        done = main_("judge", "r", "--judge", "glm.yaml", "--max-cost", 1, cwd=tmp_path)
        assert done.code == 2 and "calls made earlier in this folder" in done.err
        assert server.requests == []


def test_a_model_and_a_judge_of_one_name_keep_their_own_batches_and_prices(
    tmp_path: Path, task: Path
) -> None:
    prices = {MODEL: 100, JUDGE: 1}
    with FakeBatches() as server:
        args: list[object] = ["run", "--task", task, "--out", "r", "--yes", *FAST]
        for option, name in (("--model", MODEL), ("--judge", JUDGE)):
            card = {"schema": 1, "name": "mine", "backend": "openai", "model": name, "base_url": server.url}
            usd = {"input": prices[name], "output": prices[name]}
            (tmp_path / f"{name}.yaml").write_text(json.dumps({**card, "prices": usd}))
            args += [option, tmp_path / f"{name}.yaml"]
        ok(*args, cwd=tmp_path)
        assert [{seen["model"] for _, _, seen in b.requests} for b in server.batches] == [{MODEL}, {JUDGE}]
        check_books(server, tmp_path, args)
    cost = 0.0
    for file, name in (("replies", MODEL), ("verdicts", JUDGE)):
        used = [record["usage"] for record in lines(tmp_path / f"r/{file}.jsonl")]
        cost += sum(one["input_tokens"] + one["output_tokens"] for one in used) * prices[name] / 1e6
    assert manifest(tmp_path)["spending"]["cost_usd"] == pytest.approx(cost, abs=2e-6)


def test_going_on_without_batch_warns_of_what_is_paid_for_already(tmp_path: Path, task: Path) -> None:
    with FakeBatches() as server:
        args = command(server, task)
        assert broken_off(server, args, tmp_path, 1).code == 2 and sizes(server) == [4, 4]
        live = [arg for arg in args if arg not in ("--batch", "--batch-poll", 0.01)]
        done = main_(*live, "--dry-run", cwd=tmp_path)
        assert "warning: 4 requests of an earlier session went by batch" in done.err
        assert "warning" not in main_(*args, "--dry-run", cwd=tmp_path).err


def test_a_live_judge_beside_one_by_batch_is_asked_once(tmp_path: Path, task: Path) -> None:
    """The plan is walked once a batch; what it can't judge was asked for on every walk."""
    with FakeBatches(Script(usual, looks=0)) as server:
        members = [{"judge": "llm-step", "model": f"openai/{JUDGE}"}, {"judge": "llm", "model": "mock"}]
        card = {"schema": 1, "kind": "panel", "name": "two", "description": "For tests.", "judges": members}
        (tmp_path / "two.yaml").write_text(json.dumps(card))
        args = ["run", "--model", f"openai/{MODEL}", "--base-url", server.url, "--task", task, "--out", "r"]
        args += ["--judge", "./two.yaml", "--judge-base-url", server.url, *FAST]
        assert main_(*args, cwd=tmp_path).code == 3
        assert len(server.submitted) == CALLS
    verdicts = lines(tmp_path / "r/verdicts.jsonl")
    unusable = [v["attempts"] for v in verdicts if v["judge"] == "llm-mock" and v["status"] == "unparsed"]
    assert unusable == [3] * 4
    assert Counter(v["judge"] for v in verdicts)["two"] == 4
    assert manifest(tmp_path)["spending"]["calls"] == CALLS + sum(unusable)
