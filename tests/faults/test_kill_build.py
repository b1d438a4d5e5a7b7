"""kill -9 of a build at seeded random points: only calls in flight are made again; the result is the same."""

import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from rsbench.records import digest
from tests.cli import finish, lines, ok, start, write_task
from tests.faults.test_kill import Killer, kill
from tests.pipeline_script import pictures, serve
from tests.servers import Body, FakeOpenAI

CONNECTIONS = 2
LATENCY_S = 0.02


class Server(Killer):
    """The pipeline's server, which strikes a process a moment after its n-th request."""

    def __call__(self, body: Body) -> str:
        super().__call__(body)
        return serve()(body)


def args(server: FakeOpenAI, out: str) -> list[object]:
    models = ["--model", "openai/author", "--judge-model", "openai/checker", "--max-connections", CONNECTIONS]
    urls = ["--base-url", server.url, "--judge-base-url", server.url]
    keys = ["--api-key-env", "K", "--judge-api-key-env", "K"]
    return [
        "ssui",
        "build",
        *models,
        *urls,
        *keys,
        "--against",
        "./small",
        "--images",
        "photos",
        "--out",
        out,
    ]


def recorded(out: Path) -> int:
    return len(lines(out / "replies.jsonl")) + len(lines(out / "verdicts.jsonl"))


@pytest.mark.parametrize(
    ("kills", "count"), [(3, 4), pytest.param(15, 6, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_build_that_is_killed_again_and_again(kills: int, count: int, tmp_path: Path) -> None:
    pictures(tmp_path / "photos", count)
    write_task(tmp_path / "small", n_pairs=1)
    killer, rng = Server(), random.Random(7)
    with FakeOpenAI(killer, latency_s=LATENCY_S) as server:
        done = 0
        for n in range(kills):
            process = start(*args(server, "b"), cwd=tmp_path, K=f"sk-{n}")
            killer.aim(rng.randint(1, 6), rng.uniform(0, 2 * LATENCY_S), lambda p=process: kill(p))  # type: ignore[misc]
            process.communicate(timeout=120)
            if process.returncode == 0:
                break  # it had finished before the blow
            assert process.returncode == -signal.SIGKILL
            made = sum(s.headers["Authorization"] == f"Bearer sk-{n}" for s in server.requests)
            assert recorded(tmp_path / "b") >= done + made - CONNECTIONS, "answered long ago, and not on disk"
            done = recorded(tmp_path / "b")
        killer.aim(0, 0, lambda: None)
        assert finish(start(*args(server, "b"), cwd=tmp_path, K="sk-last")).code == 0
        asked = Counter(digest(s.body) for s in server.requests)
        assert sum(asked.values()) - len(asked) <= CONNECTIONS * kills, "more than what was in flight"
        ok(*args(server, "unbroken"), cwd=tmp_path, K="sk-u")
    assert (tmp_path / "b/candidates.jsonl").read_bytes() == (
        tmp_path / "unbroken/candidates.jsonl"
    ).read_bytes()
    assert recorded(tmp_path / "b") == recorded(tmp_path / "unbroken") == 9 * count
    assert len({r["key"] for r in lines(tmp_path / "b/replies.jsonl")}) == 5 * count, "one record a call"
