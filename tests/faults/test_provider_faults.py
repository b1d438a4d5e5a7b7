"""A provider that limits, fails, hangs or talks nonsense: nothing is lost, asked twice or guessed."""

from collections import Counter
from pathlib import Path

import pytest

from tests.cli import JUDGE, MODEL, as_seen, asked, lines, main_, ok, remote, scores, usual, write_task
from tests.servers import Body, FakeOpenAI, Fault, Rule, as_completion

ITEMS = [f"p{n}.{kind}" for n in range(3) for kind in ("risky", "benign")]
CALLS = {(what, item) for what in ("reply", "verdict") for item in ITEMS}
NOW = Fault.status(500, headers={"Retry-After": "0"})
PASSING = {
    "rate limit": Fault.rate_limit(retry_after=0.2),
    "rate limit without a word": Fault.rate_limit(),
    "server error": NOW,
    "reset": Fault.reset(),
    "malformed": Fault.malformed(),
    "empty body": Fault.empty_body(),
}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "t")


@pytest.mark.parametrize("what", PASSING)
def test_a_fault_that_passes_costs_one_more_request(what: str, tmp_path: Path, task: Path) -> None:
    with FakeOpenAI(rules=[Rule(PASSING[what], nth=1, containing="[p1.risky]")]) as server:
        ok(*remote(server.url, task, "r"), cwd=tmp_path)
        calls = Counter(asked(s) for s in server.requests)
    assert calls == {call: 2 if call[1] == "p1.risky" else 1 for call in CALLS}
    assert scores(tmp_path / "r")["counts"]["ok"] == 6


def test_a_call_that_hangs_is_given_up_and_made_again(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI(rules=[Rule(Fault.hang(30), nth=1, containing="[p1.risky]")]) as server:
        ok(*remote(server.url, task, "r", None), "--judge", "mock", "--timeout", 1, cwd=tmp_path)
        calls = Counter(asked(s) for s in server.requests)
    assert calls == {("reply", item): 2 if item == "p1.risky" else 1 for item in ITEMS}


def test_a_shaky_server_loses_nothing(tmp_path: Path) -> None:
    """A tenth of all calls limited, a twentieth failing: each call succeeds exactly once."""
    task = write_task(tmp_path / "t", n_pairs=15)
    rules = [Rule(Fault.rate_limit(retry_after=0), every=10), Rule(NOW, every=19)]
    with FakeOpenAI(rules=rules) as server:
        ok(*remote(server.url, task, "r"), "--max-attempts", 6, cwd=tmp_path)
        seen = server.requests
    struck = [s for s in seen if any(rule.strikes(s) for rule in rules)]
    assert len(struck) >= 9
    good = Counter(asked(s) for s in seen if s not in struck)
    assert len(good) == 60 and set(good.values()) == {1}
    # Struck calls that led to nothing but another call: one request a needed try.
    assert len(seen) == 60 + len(struck)
    assert scores(tmp_path / "r")["counts"]["ok"] == 30


def test_an_item_that_always_fails_is_an_error_and_no_number(tmp_path: Path, task: Path) -> None:
    sick = True

    def reply(body: Body) -> str | Fault:
        return NOW if sick and "[p1.risky]" in as_seen(body).text else usual(body)

    with FakeOpenAI(reply) as server:
        args = remote(server.url, task, "r")
        done = main_(*args, cwd=tmp_path)
        calls = Counter(asked(s) for s in server.requests)
        assert done.code == 3
        assert calls.pop(("reply", "p1.risky")) == 2  # the ceiling
        assert set(calls) == CALLS - {("reply", "p1.risky"), ("verdict", "p1.risky")}
        assert "samples: 5 ok, 1 error" in done.out
        why = f"error: {server.url}: HTTP 500: the server says 500 (2 attempts)"
        assert f"  1 × {why}" in done.out.splitlines()
        command = done.err.partition("INCOMPLETE: 16.7%")[2].splitlines()[1].strip()
        assert command == "rsbench " + " ".join(map(str, args))
        found = scores(tmp_path / "r")["estimands"]["system"]["safe_answer"]
        assert (found["n"], found["planned"]) == (5, 6)
        assert found["bound_low"] < found["bound_high"]
        (record,) = [r for r in lines(tmp_path / "r/replies.jsonl") if r["status"] == "error"]
        assert f"error: {record['error']}" == why
        shown = ok("show", "r", cwd=tmp_path)
        assert why in shown.out and "INCOMPLETE: 16.7%" in shown.err
        assert f"reply {why}" in ok("show", "r", "--item", "p1.risky", cwd=tmp_path).out.splitlines()
        # Healed, the same command asks for what is missing alone.
        sick = False
        before = len(server.requests)
        mended = ok(*args, cwd=tmp_path)
        assert [asked(s) for s in server.requests[before:]] == [
            ("reply", "p1.risky"),
            ("verdict", "p1.risky"),
        ]
    assert "samples: 6 ok" in mended.out and "×" not in mended.out
    # What a broken run ends with is what an unbroken one would have given.
    broken = next((tmp_path / "r/scores").iterdir()).read_bytes()
    with FakeOpenAI(port=server.port) as server:
        ok(*remote(server.url, task, "unbroken"), cwd=tmp_path)
    assert next((tmp_path / "unbroken/scores").iterdir()).read_bytes() == broken


def test_a_judge_that_always_fails_keeps_the_reply(tmp_path: Path, task: Path) -> None:
    sick = True

    def reply(body: Body) -> str | Fault:
        seen = as_seen(body)
        return NOW if sick and asked(seen) == ("verdict", "p0.benign") else usual(body)

    with FakeOpenAI(reply) as server:
        args = remote(server.url, task, "r")
        done = main_(*args, cwd=tmp_path)
        assert done.code == 3 and "samples: 5 ok, 1 error" in done.out
        sick = False
        before = len(server.requests)
        ok(*args, cwd=tmp_path)
        assert [asked(s) for s in server.requests[before:]] == [("verdict", "p0.benign")]


@pytest.mark.parametrize("garbage", ["I think it is fine.", '{"steps": [], "risk_identified": tru', ""])
def test_a_garbage_verdict_is_asked_for_three_times_and_is_no_label(
    garbage: str, tmp_path: Path, task: Path
) -> None:
    def reply(body: Body) -> str:
        return garbage if asked(as_seen(body)) == ("verdict", "p0.benign") else usual(body)

    with FakeOpenAI(reply) as server:
        args = remote(server.url, task, "r")
        done = main_(*args, cwd=tmp_path)
        calls = Counter(asked(s) for s in server.requests)
        assert calls == {call: 3 if call == ("verdict", "p0.benign") else 1 for call in CALLS}
        turns = [s.body["messages"] for s in server.requests if asked(s) == ("verdict", "p0.benign")]
        assert [len(t) for t in turns] == [1, 3, 3]
        assert "could not be used" in turns[1][-1]["content"]
        assert done.code == 3 and "samples: 5 ok, 1 unparsed" in done.out
        assert "To ask again" in done.err and "rsbench judge r --judge ANOTHER" in done.err
        main_(*args, cwd=tmp_path)  # a re-run asks for that verdict, and for nothing else
        assert {asked(s) for s in server.requests[14:]} == {("verdict", "p0.benign")}
        assert len(server.requests) == 17
    record, _ = [v for v in lines(tmp_path / "r/verdicts.jsonl") if v["status"] == "unparsed"]
    assert record["raw"] == garbage and record["attempts"] == 3 and record["steps"] == []
    found = scores(tmp_path / "r")["estimands"]["system"]["safe_effective_path"]
    assert found["n"] == 5 and found["bound_high"] - found["bound_low"] == pytest.approx(1 / 6, abs=1e-5)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_call_that_can_not_succeed_stops_the_run(code: int, tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=30)
    with FakeOpenAI(rules=[Rule(Fault.status(code, {"message": "Ask your administrator."}))]) as server:
        done = main_(*remote(server.url, task, "r"), "--max-connections", 4, cwd=tmp_path)
        assert len(server.requests) <= 4  # what was in flight; no second round, no retry
    assert done.code == 2
    assert "Ask your administrator." in done.err and str(code) in done.err
    assert "rsbench: " in done.err


def test_a_judge_without_credit_stops_the_run_and_the_replies_stay(tmp_path: Path, task: Path) -> None:
    spent = Fault.status(429, {"message": "You exceeded your quota.", "code": "insufficient_quota"})
    with FakeOpenAI(rules=[Rule(spent, containing="evidence")]) as server:
        args = remote(server.url, task, "r")
        done = main_(*args, "--max-connections", 1, cwd=tmp_path)
        assert done.code == 2 and "You exceeded your quota." in done.err
        assert len(server.requests) == 2
    with FakeOpenAI(port=server.port) as server:
        ok(*args, cwd=tmp_path)
        assert Counter(asked(s)[0] for s in server.requests) == {"reply": 5, "verdict": 6}


def test_a_request_the_server_can_not_take_is_made_once(tmp_path: Path, task: Path) -> None:
    bad = Fault.status(400, {"message": "image too small"})
    with FakeOpenAI(rules=[Rule(bad, containing="[p1.risky]")]) as server:
        done = main_(*remote(server.url, task, "r"), cwd=tmp_path)
        calls = Counter(asked(s) for s in server.requests)
    assert done.code == 3
    assert calls.pop(("reply", "p1.risky")) == 1 and ("verdict", "p1.risky") not in calls
    assert "image too small" in (tmp_path / "r/replies.jsonl").read_text(encoding="utf-8")


def test_filtered_truncated_and_empty_replies_are_results(tmp_path: Path, task: Path) -> None:
    """Statuses of their own: counted, never asked again, and only words are judged."""
    ends = {"p0.risky": "content_filter", "p1.risky": "length", "p2.risky": "stop"}

    def reply(body: Body) -> Body | str | Fault:
        what, item = asked(as_seen(body))
        if what == "verdict" or item not in ends and item != "p0.benign":
            return usual(body)
        if item == "p0.benign":
            return Fault.status(400, {"code": "content_filter", "message": "stopped by the filter"})
        said = as_completion("Step 1: I begin but" if ends[item] == "length" else "", MODEL)
        said["choices"][0]["finish_reason"] = ends[item]
        return said

    with FakeOpenAI(reply) as server:
        args = remote(server.url, task, "r")
        done = ok(*args, cwd=tmp_path)  # none of them is an error: the run is complete
        judged = {item for what, item in map(asked, server.requests) if what == "verdict"}
        assert judged == {"p1.risky", "p1.benign", "p2.benign"}
        count = len(server.requests)
        ok(*args, cwd=tmp_path)
        assert len(server.requests) == count == 9
    assert "samples: 2 ok, 2 refused, 1 truncated, 1 empty" in done.out
    system, model = (scores(tmp_path / "r")["estimands"][name] for name in ("system", "model"))
    assert system["effective_answer"]["n"] == 6 and model["effective_answer"]["n"] == 2
    assert JUDGE in done.out
