"""What it costs to try a judge whose verdicts are made of votes: caps, resumes, and what is said of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli import lines, main_, ok, write_task
from tests.e2e.test_validate import judge, never, write_gold
from tests.servers import FakeOpenAI, Fault, Rule

TRACES = 40
WORK = Path("work")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_gold(write_task(tmp_path / "task", n_pairs=10))


def model(folder: Path, url: str, name: str, usd: float | None) -> Path:
    path = folder / f"{name}.yaml"
    card: dict[str, Any] = {"schema": 1, "name": name, "backend": "openai", "model": name, "base_url": url}
    card["parameters"] = {"max_tokens": 1000}
    path.write_text(json.dumps(card | ({"prices": {"input": usd, "output": usd}} if usd else {})))
    return path


def voting(kind: str, folder: Path, url: str, usd: tuple[float | None, float | None]) -> list[object]:
    """A panel of two, or a judge of five votes; prices by model."""
    cards = [model(folder, url, name, one) for name, one in zip(("qwen-a", "glm-b"), usd, strict=True)]
    if kind == "panel":
        members = [{"judge": "llm", "model": str(card)} for card in cards]
        words = {"schema": 1, "kind": "panel", "name": "two", "description": "For tests.", "judges": members}
        (folder / "two.yaml").write_text(json.dumps(words))
        return [folder / "two.yaml"]
    rubric = Path(__file__).parents[2] / "judges/llm/rubric.jinja"
    (folder / "rubric.jinja").write_text(rubric.read_text())
    words = {"schema": 1, "kind": "llm", "name": "five", "description": "For tests.", "votes": 5}
    (folder / "five.yaml").write_text(json.dumps({**words, "rubric": "rubric.jinja", "temperature": 1.0}))
    return [folder / "five.yaml", "--judge-model", cards[0]]


def validate(args: Sequence[object], task: Path, *more: object) -> list[object]:
    every = ["--task", task, "--out", "v.json", "--work", WORK, "--yes", "--max-connections", 1]
    return ["validate", *args, *every, *more]


@pytest.mark.parametrize(("kind", "votes", "prices"), [("panel", 2, (100, 10)), ("votes", 5, (100, 10))])
def test_caps_hold_over_votes_and_no_vote_is_paid_for_twice(
    kind: str, votes: int, prices: tuple[float, float], tmp_path: Path, task: Path
) -> None:
    with FakeOpenAI(judge(never)) as server:
        args = voting(kind, tmp_path, server.url, prices)
        made = []
        for _ in range(3):
            capped = main_(*validate(args, task, "--max-cost", 1), cwd=tmp_path)
            assert capped.code == 3 and "--max-cost 1" in capped.err
            made.append(len(server.requests))
        assert made[0] == made[2] > 0, "later sessions count what the first one spent"
        ok(*validate(args, task), cwd=tmp_path)
        assert len(server.requests) == votes * TRACES, "what was paid for is not asked for again"
        ok(*validate(args, task), cwd=tmp_path)
        assert len(server.requests) == votes * TRACES
    (one,) = json.loads((tmp_path / "v.json").read_text())["measurements"]
    used, records = one["usage"], lines(tmp_path / WORK / "verdicts.jsonl")
    assert used["verdicts"] == TRACES and used["calls"] == votes * TRACES
    cost = {"llm-qwen-a": prices[0], "llm-glm-b": prices[1], "five-qwen-a": prices[0]}
    tokens = {name: 0 for name in cost}
    for record in records:
        if record["attempts"]:
            tokens[record["judge"]] += record["usage"]["input_tokens"] + record["usage"]["output_tokens"]
    assert used["input_tokens"] + used["output_tokens"] == sum(tokens.values()) > 0
    assert used["cost_usd"] == pytest.approx(sum(n * cost[name] / 1e6 for name, n in tokens.items()))
    spending = json.loads((tmp_path / WORK / "trial.json").read_text())["spending"]
    assert {key: spending[key] for key in ("calls", "cost_usd")} == pytest.approx(
        {key: used[key] for key in ("calls", "cost_usd")}
    )


def test_what_a_panels_member_said_is_its_own_verdict(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI(judge(never)) as server:
        ok(*validate(voting("panel", tmp_path, server.url, (1, 1)), task), cwd=tmp_path)
        assert len(server.requests) == 2 * TRACES
        ok(*validate([tmp_path / "qwen-a.yaml"], task), cwd=tmp_path)
        assert len(server.requests) == 2 * TRACES


def test_votes_of_every_mode_and_attack_are_in_the_books(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI(judge(never)) as server:
        args = voting("panel", tmp_path, server.url, (100, 100))
        ok(*validate(args, task, "--mode", "all", "--robustness"), cwd=tmp_path)
        calls = len(server.requests)
    assert json.loads((tmp_path / WORK / "trial.json").read_text())["spending"]["calls"] == calls
    found = json.loads((tmp_path / "v.json").read_text())["measurements"]
    assert [one["usage"]["calls"] for one in found] == [2 * TRACES] * 3, "of the plain traces"


def test_tries_that_failed_count_in_later_sessions(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI(judge(never), rules=[Rule(Fault.status(500))]) as server:
        args = voting("panel", tmp_path, server.url, (1, 1))
        for _ in range(3):
            assert main_(*validate(args, task, "--max-calls", 3, "--max-attempts", 1), cwd=tmp_path).code == 3
        assert len(server.requests) == 3


def test_a_cap_on_cost_after_calls_without_a_price_is_refused(tmp_path: Path, task: Path) -> None:
    """It would hold for nothing: a sum with an unknown is unknown."""
    with FakeOpenAI(judge(never)) as server:
        two = voting("panel", tmp_path, server.url, (1, None))
        main_(*validate(two, task, "--max-calls", 10), cwd=tmp_path)
        one = [tmp_path / "qwen-a.yaml"]
        done = main_(*validate(one, task, "--max-cost", 5), cwd=tmp_path)
        assert done.code == 2 and "calls made earlier in this folder" in done.err
        assert len(server.requests) == 10


def test_votes_that_nobody_kept_are_not_called_free(tmp_path: Path, task: Path) -> None:
    """Work folders of an older rsbench hold the last words of panels alone."""
    with FakeOpenAI(judge(never)) as server:
        args = voting("panel", tmp_path, server.url, (1, 1))
        ok(*validate(args, task), cwd=tmp_path)
        path = tmp_path / WORK / "verdicts.jsonl"
        kept = [line for line in path.read_text().splitlines() if json.loads(line)["judge"] == "two"]
        path.write_text("".join(f"{line}\n" for line in kept))
        ok(*validate(args, task), cwd=tmp_path)
        assert len(server.requests) == 2 * TRACES
    assert json.loads((tmp_path / "v.json").read_text())["measurements"][0]["usage"] is None


def test_damaged_books_are_refused(tmp_path: Path, task: Path) -> None:
    (tmp_path / WORK).mkdir()
    (tmp_path / WORK / "trial.json").write_text("{}")
    done = main_(*validate(["mock"], task), cwd=tmp_path)
    assert done.code == 2 and "trial.json: not the books of a trial" in done.err
