"""`--batch`: both batch APIs through the command line; failures of requests, batches and the road to them."""

import gc
import json
import warnings
from collections import Counter
from pathlib import Path

import pytest

from rsbench.models.batch_api import BatchLimits
from tests.cli import JUDGE, KEY, MODEL, Done, asked, everything, lines, main_, ok, scores, usual, write_task
from tests.servers import Fault, Seen
from tests.servers_anthropic import error, message
from tests.servers_batches import FakeBatches, Fate, Script

PROVIDERS = ("openai", "anthropic")
ITEMS = [f"p{n}.{kind}" for n in range(3) for kind in ("risky", "benign")]
FAST = ("--batch-poll", 0.01, "--max-attempts", 2)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "t")


def command(provider: str, server: FakeBatches, task: Path, judge: bool = True) -> list[object]:
    args: list[object] = ["run", "--model", f"{provider}/{MODEL}", "--base-url", server.url, "--task", task]
    args += ["--out", "r", *FAST]
    ours = ["--judge", f"{provider}/{JUDGE}", "--judge-base-url", server.url]
    return [*args, *(ours if judge else ["--judge", "mock"])]


def statuses(run: Path) -> dict[str, str]:
    return {record["item"]: record["status"] for record in lines(run / "replies.jsonl")}


def ledger(run: Path) -> list[tuple[str, str]]:
    return [(entry["status"], entry["id"]) for entry in lines(run / "batches.jsonl")]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_model_and_judge_by_batch_give_what_live_calls_give(
    provider: str, tmp_path: Path, task: Path
) -> None:
    with FakeBatches() as server:
        done = ok(*command(provider, server, task), "--batch", cwd=tmp_path)
        assert server.requests == []  # no live call
        assert [len(batch.requests) for batch in server.batches] == [6, 6]
        assert Counter(map(asked, server.submitted)) == Counter(
            (what, item) for what in ("reply", "verdict") for item in ITEMS
        )
        by_batch = scores(tmp_path / "r")
        ok(*command(provider, server, task), "--batch", cwd=tmp_path)  # nothing is asked twice
        assert len(server.batches) == 2
        live = [arg if arg != "r" else "live" for arg in command(provider, server, task)]
        ok(*live, cwd=tmp_path)
        assert len(server.requests) == 12
    assert "samples: 6 ok" in done.out
    assert by_batch == scores(tmp_path / "live")  # one key, one reply, however it was asked for
    assert ledger(tmp_path / "r") == [
        (status, batch_id if status != "intent" else "")
        for batch_id in ("batch_0", "batch_1")
        for status in ("intent", "submitted", "done")
    ]
    assert list((tmp_path / "r/batches").glob("*.requests")) == []
    sessions = json.loads((tmp_path / "r/manifest.json").read_text())["sessions"]
    assert [session["calls"] for session in sessions] == [12, 0]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_requests_that_fail_expire_or_are_refused(provider: str, tmp_path: Path, task: Path) -> None:
    ends: dict[str, Fate] = {}
    if provider == "openai":
        ends["p0.risky"] = Fault.status(400, {"code": "content_filter", "message": "stopped"})
        ends["p0.benign"] = Fault.status(500)
        ends["p2.risky"] = Fault.status(404, {"message": "no such model"})  # of one request: stops nothing
    else:
        ends["p0.risky"] = message(stop="refusal")
        ends["p0.benign"] = error(500, "api_error")
        ends["p2.risky"] = error(404, "not_found_error", "no such model")
    ends["p1.risky"] = "expired"

    def fate(seen: Seen) -> Fate:
        return ends.get(asked(seen)[1]) or usual(seen.body)

    with FakeBatches(Script(fate)) as server:
        args = command(provider, server, task, judge=False)
        done = main_(*args, "--batch", cwd=tmp_path)
        assert done.code == 3 and "samples: 2 ok, 1 refused, 3 error" in done.out, done
        errors = {r["item"]: r["error"] for r in lines(tmp_path / "r/replies.jsonl")}
        assert "expired" in errors["p1.risky"] and "no such model" in errors["p2.risky"]
        assert len(lines(tmp_path / "r/replies.jsonl")) == 6
        ends = {"p0.risky": ends["p0.risky"]}
        ok(*args, "--batch", cwd=tmp_path)  # a new batch of what failed, and of nothing else
        assert sorted(asked(_)[1] for _ in server.submitted[6:]) == ["p0.benign", "p1.risky", "p2.risky"]
    assert Counter(statuses(tmp_path / "r").values()) == {"ok": 5, "refused": 1}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_that_the_provider_echoes_is_written_nowhere(provider: str, tmp_path: Path, task: Path) -> None:
    echo = {"type": "invalid_request_error", "message": f"bad key {KEY}", "code": "content_filter"}
    said = Fault("status", 400, {"error": echo})
    with FakeBatches(Script(lambda seen: said if "[p0.risky]" in seen.text else usual(seen.body))) as server:
        args = [*command(provider, server, task, judge=False), "--api-key-env", "K", "--batch"]
        done = main_(*args, cwd=tmp_path, K=KEY)
    assert len(lines(tmp_path / "r/replies.jsonl")) == 6
    assert KEY not in done.out + done.err + everything(tmp_path / "r")


def test_a_judge_that_babbles_is_asked_again_by_batch(tmp_path: Path, task: Path) -> None:
    def fate(seen: Seen) -> Fate:
        babbles = asked(seen) == ("verdict", "p0.risky") and len(seen.body["messages"]) == 1
        return "Fine by me." if babbles else usual(seen.body)

    with FakeBatches(Script(fate)) as server:
        ok(*command("openai", server, task), "--batch", cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [6, 6, 1]
    (again,) = [v for v in lines(tmp_path / "r/verdicts.jsonl") if v["attempts"] == 2]
    assert (again["item"], again["status"]) == ("p0.risky", "ok")
    assert len(lines(tmp_path / "r/verdicts.jsonl")) == 6


def test_only_the_judge_by_batch(tmp_path: Path, task: Path) -> None:
    with FakeBatches() as server:
        ok(*command("openai", server, task), "--judge-batch", cwd=tmp_path)
        assert {asked(seen)[0] for seen in server.requests} == {"reply"}
        assert {asked(seen)[0] for seen in server.submitted} == {"verdict"}
        again = (
            "judge",
            "r",
            "--judge",
            "openai/glm-judge",
            "--judge-base-url",
            server.url,
            *FAST,
            "--batch",
        )
        ok(*again, cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [6, 6]
        assert len(server.requests) == 6
    assert ["batch" in v for v in lines(tmp_path / "r/verdicts.jsonl")] == [True] * 12
    assert not any("batch" in r for r in lines(tmp_path / "r/replies.jsonl"))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_batches_keep_to_the_providers_limits(
    provider: str, tmp_path: Path, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"rsbench.models.{provider}_batches.{'OpenAI' if provider == 'openai' else 'Anthropic'}Batches"
    with FakeBatches() as server:
        monkeypatch.setattr(f"{where}.limits", BatchLimits(4, 10**8))
        ok(*command(provider, server, task, judge=False), "--batch", cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [4, 2]
        size = len(json.dumps(server.batches[0].requests[0][2]))
        monkeypatch.setattr(f"{where}.limits", BatchLimits(100, 3 * size))
        other = [a if a != "r" else "by-bytes" for a in command(provider, server, task, judge=False)]
        ok(*other, "--batch", cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches[2:]] == [2, 2, 2]


def test_a_batch_that_fails_as_a_whole_and_results_that_are_missing(tmp_path: Path, task: Path) -> None:
    with FakeBatches(Script(failed="Enqueued token limit reached.")) as server:
        args = command("openai", server, task, judge=False)
        done = main_(*args, "--batch", cwd=tmp_path)
        assert done.code == 3
        assert {r["error"] for r in lines(tmp_path / "r/replies.jsonl")} == {
            "the batch failed: Enqueued token limit reached."
        }
        server.script = Script(drop=2)
        done = main_(*args, "--batch", cwd=tmp_path)
        assert done.code == 3 and "4 ok, 2 error" in done.out
        server.script = Script()
        ok(*args, "--batch", cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [6, 6, 2]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_creation_whose_answer_is_lost_is_not_repeated(provider: str, tmp_path: Path, task: Path) -> None:
    with FakeBatches(Script(refuse=[Fault.reset()], after=True)) as server:
        ok(*command(provider, server, task, judge=False), "--batch", cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [6]
    with FakeBatches(Script(refuse=[Fault.status(503)])) as server:  # refused and not made: repeated
        args = [a if a != "r" else "again" for a in command(provider, server, task, judge=False)]
        ok(*args, "--batch", cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [6]


def test_a_refused_batch_says_why_and_leaves_nothing_open(tmp_path: Path, task: Path) -> None:
    with FakeBatches(Script(refuse=[Fault.status(400, {"message": "billing hard limit"})])) as server:
        args = command("openai", server, task, judge=False)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always", ResourceWarning)
            done = main_(*args, "--batch", cwd=tmp_path)
            gc.collect()
        assert [str(one.message) for one in seen if "jsonl" in str(one.message)] == []
        assert done.code == 2 and "billing hard limit" in done.err and "refused" in done.err
        assert [status for status, _ in ledger(tmp_path / "r")] == ["intent", "refused"]
        ok(*args, "--batch", cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [6]


def card(folder: Path, server: FakeBatches, **prices: object) -> Path:
    path = folder / "priced.yaml"
    path.write_text(
        json.dumps(
            {"schema": 1, "name": "priced", "backend": "openai", "model": MODEL, "base_url": server.url}
            | {"prices": {"input": 100, "output": 100, **prices}, "parameters": {"max_tokens": 100}}
        )
    )
    return path


def priced(path: Path, task: Path, folder: Path, *more: object) -> Done:
    args = ("run", "--model", path, "--task", task, "--judge", "mock", "--out", "r", *FAST, "--batch")
    return main_(*args, *more, cwd=folder)


def test_the_price_of_a_batch_is_forecast_and_booked(tmp_path: Path, task: Path) -> None:
    with FakeBatches() as server:
        half = card(tmp_path, server, batch={"input": 50, "output": 50})
        text = priced(half, task, tmp_path, "--dry-run").out
        dear = priced(card(tmp_path, server), task, tmp_path, "--dry-run").out
        usd = [
            float(out.partition("together:")[2].partition(" USD")[0].split(" ")[-1]) for out in (text, dear)
        ]
        assert usd[0] * 2 == pytest.approx(usd[1], abs=2e-4)
        assert server.batches == [] and not (tmp_path / "r").exists()
        half = card(tmp_path, server, batch={"input": 50, "output": 50})
        assert priced(half, task, tmp_path).code == 0
    spending = json.loads((tmp_path / "r/manifest.json").read_text())["spending"]
    tokens = spending["input_tokens"] + spending["output_tokens"]
    assert spending["calls"] == 6 and tokens > 0
    assert spending["cost_usd"] == pytest.approx(tokens * 50 / 1e6, abs=1e-6)


def test_the_votes_of_a_panel_cost_what_a_batch_costs(tmp_path: Path, task: Path) -> None:
    """Their sum is what the folder has spent: it was twice that, at the price of live calls."""
    with FakeBatches(Script(looks=0)) as server:
        members = []
        for name in ("qwen-a", "glm-b"):
            prices = {"input": 100, "output": 100, "batch": {"input": 50, "output": 50}}
            data = {"schema": 1, "name": name, "backend": "openai", "model": name, "prices": prices}
            (tmp_path / f"{name}.yaml").write_text(json.dumps({**data, "base_url": server.url}))
            members.append({"judge": "llm", "model": f"./{name}.yaml"})
        two = {"schema": 1, "kind": "panel", "name": "two", "description": "For tests.", "judges": members}
        (tmp_path / "two.yaml").write_text(json.dumps(two))
        args = ("run", "--model", "mock", "--task", task, "--judge", "./two.yaml", "--out", "r", *FAST)
        assert main_(*args, "--batch", "--yes", cwd=tmp_path).code == 0
    voters = json.loads((tmp_path / "r/scores/two.json").read_text())["votes"]["voters"].values()
    spending = json.loads((tmp_path / "r/manifest.json").read_text())["spending"]
    assert len(voters) == 2
    for voter in voters:
        tokens = voter["input_tokens"] + voter["output_tokens"]
        assert tokens > 0 and voter["cost_usd"] == pytest.approx(tokens * 50 / 1e6, abs=1e-6)
    assert sum(voter["cost_usd"] for voter in voters) == pytest.approx(spending["cost_usd"], abs=1e-6)


def test_caps_hold_over_batches(tmp_path: Path, task: Path) -> None:
    with FakeBatches() as server:
        path = card(tmp_path, server)
        done = priced(path, task, tmp_path, "--max-calls", 4)
        assert done.code == 3 and "--max-calls 4" in done.err
        assert len(server.submitted) == 4
        assert len(lines(tmp_path / "r/replies.jsonl")) == 4  # what was paid for is kept
        done = priced(path, task, tmp_path, "--max-calls", 4)
        assert done.code == 3 and len(server.submitted) == 4
        assert priced(path, task, tmp_path, "--max-cost", 0.0001).code == 3
        assert len(server.submitted) == 4
        assert priced(path, task, tmp_path).code == 0
        assert len(server.submitted) == 6


def test_batch_without_anybody_who_has_one(tmp_path: Path, task: Path) -> None:
    done = main_("run", "--model", "mock", "--task", task, "--batch", "--out", "r", cwd=tmp_path)
    assert done.code == 2 and "batch API" in done.err
    assert not (tmp_path / "r").exists()
