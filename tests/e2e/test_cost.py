"""What a run may cost: forecast before the first call, and caps that hold over retries, judge and resumes."""

from pathlib import Path

import pytest

from tests.cli import KEY, MODEL, lines, main_, ok, remote, write_task
from tests.servers import FakeOpenAI, Fault, Rule


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "task", n_pairs=3)


def priced(folder: Path, url: str, usd: float) -> Path:
    """A model card with prices in US dollars per million tokens."""
    card = folder / "priced.yaml"
    card.write_text(
        f"schema: 1\nname: priced\nbackend: openai\nmodel: {MODEL}\nbase_url: {url}\n"
        f"prices: {{input: {usd}, output: {usd}, currency: USD}}\n"
    )
    return card


def test_a_dry_run_calls_and_writes_nothing(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        done = ok(*remote(server.url, task, "r"), "--dry-run", cwd=tmp_path)
        assert server.requests == []
    assert "12 calls" in done.out  # 6 items, a model and a judge call each
    assert "unknown prices" in done.out.lower() or "prices" in done.out.lower()
    assert not (tmp_path / "r").exists()


def test_a_dry_run_needs_no_key(tmp_path: Path, task: Path) -> None:
    args = ("run", "--model", "openai/gpt-x", "--judge", "anthropic/claude-x", "--task", task)
    assert "12 calls" in ok(*args, "--dry-run", cwd=tmp_path).out
    refused = main_(*args, cwd=tmp_path)
    assert refused.code == 2 and "OPENAI_API_KEY is not set" in refused.err
    assert not (tmp_path / "runs").exists()


def test_a_cap_on_cost_needs_prices(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        done = main_(*remote(server.url, task, "r"), "--max-cost", 1, cwd=tmp_path)
        assert server.requests == []
    assert done.code == 2 and "price" in done.err


def test_a_cap_on_calls_is_never_exceeded_and_the_run_goes_on_later(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        args = remote(server.url, task, "r")
        stopped = main_(*args, "--max-calls", 5, cwd=tmp_path)
        assert stopped.code == 3 and "--max-calls" in stopped.err
        assert len(server.requests) <= 5
        kept = len(lines(tmp_path / "r/replies.jsonl"))
        assert kept >= 1
        ok(*args, cwd=tmp_path)
        assert len(server.requests) == 12  # nothing that was finished is asked for again


def test_earlier_sessions_count_towards_the_cap(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        args = remote(server.url, task, "r")
        for _ in range(3):
            main_(*args, "--max-calls", 5, cwd=tmp_path)
        assert len(server.requests) <= 5


def test_retries_count_towards_the_cap(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI(rules=[Rule(Fault.status(500))]) as server:
        main_(*remote(server.url, task, "r"), "--max-calls", 3, cwd=tmp_path)
        assert len(server.requests) <= 3


def test_a_cap_on_tokens_holds(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        done = main_(*remote(server.url, task, "r"), "--max-tokens-total", 10, cwd=tmp_path)
        assert done.code == 3 and "--max-tokens-total" in done.err
        assert server.requests == []  # not even one call fits


def test_a_cap_on_cost_holds_when_prices_are_known(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        card = priced(tmp_path, server.url, usd=1000.0)
        args = [
            "run",
            "--model",
            card,
            "--judge",
            "overlap",
            "--task",
            task,
            "--out",
            "r",
            "--max-cost",
            0.01,
        ]
        done = main_(*args, cwd=tmp_path, OPENAI_API_KEY=KEY)
        assert done.code == 3 and "--max-cost" in done.err
        assert "no room for the next call, which may use up to 1 call, " in done.err
        assert server.requests == []
