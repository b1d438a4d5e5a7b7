"""The same faults in the Messages API's form, and storms of rate limits at either provider."""

from collections import Counter
from pathlib import Path

import pytest

from tests.cli import JUDGE, MODEL, asked, main_, ok, scores, write_task
from tests.servers import FakeOpenAI, Fault, Rule
from tests.servers_anthropic import FakeAnthropic, error

ITEMS = [f"p{n}.{kind}" for n in range(3) for kind in ("risky", "benign")]
CALLS = {(what, item) for what in ("reply", "verdict") for item in ITEMS}
NOW = {"Retry-After": "0"}
PASSING = {
    "rate limit": error(429, "rate_limit_error", headers={"Retry-After": "0.2"}),
    "overloaded": error(529, "overloaded_error", headers=NOW),
    "server error": error(500, "api_error", headers=NOW),
    "reset": Fault.reset(),
    "malformed": Fault.malformed(),
    "empty body": Fault.empty_body(),
}


def command(provider: str, server: FakeOpenAI, task: Path, out: str = "r") -> list[object]:
    model = ["--model", f"{provider}/{MODEL}", "--base-url", server.url]
    judge = ["--judge", f"{provider}/{JUDGE}", "--judge-base-url", server.url]
    return ["run", *model, *judge, "--task", task, "--out", out]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "t")


@pytest.mark.parametrize("what", PASSING)
def test_a_fault_that_passes_costs_one_more_request(what: str, tmp_path: Path, task: Path) -> None:
    with FakeAnthropic(rules=[Rule(PASSING[what], nth=1, containing="[p1.risky]")]) as server:
        ok(*command("anthropic", server, task), "--max-attempts", 2, cwd=tmp_path)
        calls = Counter(asked(seen) for seen in server.requests)
    assert calls == {call: 2 if call[1] == "p1.risky" else 1 for call in CALLS}
    assert scores(tmp_path / "r")["counts"]["ok"] == 6


def test_a_call_that_hangs_is_given_up_and_made_again(tmp_path: Path, task: Path) -> None:
    with FakeAnthropic(rules=[Rule(Fault.hang(30), nth=1, containing="[p1.risky]")]) as server:
        ok(*command("anthropic", server, task), "--timeout", 1, cwd=tmp_path)
        calls = Counter(asked(seen) for seen in server.requests)
    assert calls == {call: 2 if call[1] == "p1.risky" else 1 for call in CALLS}


def test_a_shaky_server_loses_nothing(tmp_path: Path) -> None:
    """A tenth of all calls limited, a twentieth failing: one request a needed try."""
    task = write_task(tmp_path / "t", n_pairs=15)
    limit = error(429, "rate_limit_error", headers=NOW)
    rules = [Rule(limit, every=10), Rule(error(500, "api_error", headers=NOW), every=19)]
    with FakeAnthropic(rules=rules) as server:
        ok(*command("anthropic", server, task), cwd=tmp_path)
        seen = server.requests
    struck = [one for one in seen if any(rule.strikes(one) for rule in rules)]
    good = Counter(asked(one) for one in seen if one not in struck)
    assert len(struck) >= 9 and len(good) == 60 and set(good.values()) == {1}
    assert len(seen) == 60 + len(struck)


def test_an_item_that_always_fails_ends_as_an_error_and_is_never_judged(tmp_path: Path, task: Path) -> None:
    with FakeAnthropic(rules=[Rule(PASSING["overloaded"], containing="[p1.risky]")]) as server:
        done = main_(*command("anthropic", server, task), "--max-attempts", 2, cwd=tmp_path)
        calls = Counter(asked(seen) for seen in server.requests)
    assert done.code == 3 and "samples: 5 ok, 1 error" in done.out
    assert calls[("reply", "p1.risky")] == 2 and ("verdict", "p1.risky") not in calls
    assert scores(tmp_path / "r")["estimands"]["system"]["safe_answer"]["n"] == 5


STORMS = {"openai": Fault.rate_limit(retry_after=0), "anthropic": error(429, "rate_limit_error", headers=NOW)}


@pytest.mark.parametrize("provider", STORMS)
def test_a_storm_of_rate_limits_is_ridden_out(provider: str, tmp_path: Path, task: Path) -> None:
    """Every call is refused at first: nothing is lost, and no call is made a third time."""
    with FakeAnthropic(rules=[Rule(STORMS[provider], nth=1)]) as server:
        ok(*command(provider, server, task), cwd=tmp_path)
        assert Counter(asked(seen) for seen in server.requests) == dict.fromkeys(CALLS, 2)
    assert scores(tmp_path / "r")["counts"]["ok"] == 6


@pytest.mark.parametrize("provider", STORMS)
def test_a_storm_that_does_not_end_is_given_up_and_mended_later(
    provider: str, tmp_path: Path, task: Path
) -> None:
    with FakeAnthropic(rules=[Rule(STORMS[provider])]) as server:
        args = [*command(provider, server, task), "--max-attempts", 3]
        done = main_(*args, cwd=tmp_path)
        assert done.code == 3 and "samples: 6 error" in done.out
        assert Counter(asked(seen) for seen in server.requests) == {("reply", item): 3 for item in ITEMS}
        server._rules = ()
        ok(*args, cwd=tmp_path)
        assert len(server.requests) == 18 + 12
