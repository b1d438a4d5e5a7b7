"""kill -9 of the whole process group at seeded random points: only calls in flight are ever made again.

Each process has its own API key, so that the server's log says which process asked for what.
"""

import itertools
import os
import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import JUDGE, asked, finish, finished, main_, ok, remote, start, usual, write_task
from tests.servers import Body, FakeOpenAI, Seen

LATENCY_S = 0.03
CONNECTIONS = 4
Call = tuple[str, str]


class Killer:
    """The server's `reply`: kills a process a moment after its n-th request has come in."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)
        self._at = 0
        self._delay_s = 0.0
        self._strike: Callable[[], None] = lambda: None

    def aim(self, at: int, delay_s: float, strike: Callable[[], None]) -> None:
        self._counter, self._at, self._delay_s, self._strike = itertools.count(1), at, delay_s, strike

    def __call__(self, body: Body) -> str:
        if next(self._counter) == self._at:
            threading.Timer(self._delay_s, self._strike).start()
        return usual(body)


def kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it had finished
        return


def calls_by(seen: list[Seen], key: str) -> Counter[Call]:
    return Counter(asked(s) for s in seen if s.headers["Authorization"] == f"Bearer {key}")


def break_off(
    args: list[object], run: Path, server: FakeOpenAI, killer: Killer, kills: int, seed: int
) -> None:
    """Kill `kills` processes one after the other, let one more finish, and check what each asked for."""
    rng = random.Random(seed)
    environment = ("--api-key-env", "K", "--judge-api-key-env", "K")
    options = environment[2:] if args[0] == "judge" else environment
    done: set[Call] = finished(run)
    for n in range(kills + 1):
        key = f"sk-process-{n}"
        process = start(*args, *options, "--max-connections", CONNECTIONS, cwd=run.parent, K=key)
        if n < kills:
            killer.aim(rng.randint(1, 8), rng.uniform(0, 2 * LATENCY_S), lambda p=process: kill(p))  # type: ignore[misc]
            process.communicate(timeout=120)
            assert process.returncode == -signal.SIGKILL
        else:
            killer.aim(0, 0, lambda: None)
            assert finish(process).code == 0
        made = calls_by(server.requests, key)
        assert not done & made.keys(), "finished, and asked for again"
        assert set(made.values()) <= {1}
        assert finished(run) - done <= made.keys()
        done = finished(run)
        assert len(made.keys() - done) <= CONNECTIONS, "answered long ago, and not on disk"
        main_(
            "show", run.name, "--judge", f"llm-openai/{JUDGE}", cwd=run.parent
        )  # whatever lies there, no traceback


def same_scores(a: Path, b: Path) -> bool:
    name = f"scores/llm-openai-{JUDGE}.json"
    return (a / name).read_bytes() == (b / name).read_bytes()


@pytest.mark.parametrize(
    ("kills", "n_pairs"), [(3, 16), pytest.param(20, 36, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_run_that_is_killed_again_and_again(kills: int, n_pairs: int, tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=n_pairs)
    killer = Killer()
    with FakeOpenAI(killer, latency_s=LATENCY_S) as server:
        break_off(remote(server.url, task, "r"), tmp_path / "r", server, killer, kills, seed=1)
        ok(*remote(server.url, task, "unbroken"), cwd=tmp_path)
    assert same_scores(tmp_path / "r", tmp_path / "unbroken")
    assert len(finished(tmp_path / "r")) == 4 * n_pairs


@pytest.mark.parametrize(
    ("kills", "n_pairs"), [(2, 16), pytest.param(10, 36, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_another_judge_that_is_killed_again_and_again(kills: int, n_pairs: int, tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=n_pairs)
    killer = Killer()
    with FakeOpenAI(killer, latency_s=LATENCY_S) as server:
        judge = ("--judge", f"openai/{JUDGE}", "--judge-base-url", server.url)
        for out in ("r", "unbroken"):
            ok("run", "--model", "mock", "--judge", "overlap", "--task", task, "--out", out, cwd=tmp_path)
        # Out of the way, so that the verdicts found are those of the judge that is killed.
        (tmp_path / "r/verdicts.jsonl").rename(tmp_path / "overlap.jsonl")
        break_off(["judge", "r", *judge], tmp_path / "r", server, killer, kills, seed=2)
        ok("judge", "unbroken", *judge, cwd=tmp_path)
    assert same_scores(tmp_path / "r", tmp_path / "unbroken")


@pytest.mark.slow
def test_killed_at_any_time_at_all(tmp_path: Path) -> None:
    """By the clock, from the first import to the last fsync."""
    task = write_task(tmp_path / "t", n_pairs=20)
    rng = random.Random(3)
    with FakeOpenAI(latency_s=LATENCY_S) as server:
        args = remote(server.url, task, "r")
        ok(*remote(server.url, task, "unbroken"), cwd=tmp_path)
        done: set[Call] = set()
        for n in range(20):
            key = f"sk-process-{n}"
            options = ("--api-key-env", "K", "--judge-api-key-env", "K", "--max-connections", 2)
            process = start(*args, *options, cwd=tmp_path, K=key)
            timer = threading.Timer(rng.uniform(0.3, 3), kill, [process])
            timer.start()
            process.communicate(timeout=120)
            timer.cancel()
            made = calls_by(server.requests, key).keys()
            assert not done & made
            done = finished(tmp_path / "r")
            assert len(made - done) <= CONNECTIONS
        ok(*args, cwd=tmp_path)
    assert same_scores(tmp_path / "r", tmp_path / "unbroken")
