"""kill -9 at every point of a batch's life: the same command picks it up, and nothing is submitted twice."""

import os
import signal
import subprocess
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli import JUDGE, MODEL, asked, lines, main_, ok, scores, start, write_task
from tests.e2e.test_batch_books import bought, check_books, place
from tests.e2e.test_batch_books import command as by_steps_command
from tests.e2e.test_batch_books import usual as by_steps
from tests.servers import Seen
from tests.servers_batches import Batch, FakeBatches, Fate, Script


class Killer:
    """The server's event hook: kills a process at its n-th event of one name."""

    def __init__(self, name: str, nth: int) -> None:
        self._name, self._left = name, nth
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, name: str) -> bool:
        self._left -= name == self._name
        if name != self._name or self._left != 0:
            return False
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return True


def command(provider: str, server: FakeBatches, task: Path, out: str) -> list[object]:
    model = ["--model", f"{provider}/{MODEL}", "--base-url", server.url]
    judge = ["--judge", f"{provider}/{JUDGE}", "--judge-base-url", server.url]
    return ["run", *model, *judge, "--task", task, "--out", out, "--batch", "--batch-poll", 0.05]


def killed(
    args: list[object],
    server: FakeBatches,
    event: str,
    nth: int,
    folder: Path,
    script: Script = Script(),  # noqa: B008 # copied below
) -> None:
    killer = Killer(event, nth)
    server.script = replace(script, event=killer)
    killer.process = process = start(*args, cwd=folder)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, "it was to be killed"
    server.script = script


QUICK = [("openai", "made", 1), ("openai", "look", 2), ("anthropic", "made", 1)]
ALL = [("openai", "upload", 1), ("openai", "upload", 2)] + [
    (provider, event, nth)
    for provider in ("openai", "anthropic")
    for event, nth in (("create", 1), ("made", 1), ("look", 2), ("results", 1), ("made", 2), ("look", 5))
]
POINTS = [*QUICK, *(pytest.param(*p, marks=pytest.mark.slow) for p in ALL if p not in QUICK)]


@pytest.mark.parametrize(("provider", "event", "nth"), POINTS)
def test_killed_and_resumed(provider: str, event: str, nth: int, tmp_path: Path) -> None:
    """The first of each is the model's batch, the second the judge's."""
    task = write_task(tmp_path / "t", n_pairs=2)
    with FakeBatches() as server:
        args = command(provider, server, task, "r")
        killed(args, server, event, nth, tmp_path)
        main_("show", "r", "--judge", f"llm-{provider}/{JUDGE}", cwd=tmp_path)  # no traceback
        before = len(server.batches)
        ok(*args, cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [4, 4]
        assert set(Counter(map(asked, server.submitted)).values()) == {1}
        made = {"upload": nth - 1, "create": 0, "made": nth, "results": 1, "look": 1 + (nth > 4)}
        assert before == made[event]  # by the killed process
        server.batches.clear()
        ok(*command(provider, server, task, "unbroken"), cwd=tmp_path)
    assert scores(tmp_path / "r") == scores(tmp_path / "unbroken")
    last = {entry["key"]: entry["status"] for entry in lines(tmp_path / "r/batches.jsonl")}
    assert sorted(last.values()) in (["done", "done"], ["done", "done", "lost"])


def test_somebody_elses_batch_of_the_same_size_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Anthropic's batches bear no mark: only the ids in their results tell whose they are."""
    task = write_task(tmp_path / "t", n_pairs=2)
    with FakeBatches() as server:
        args = command("anthropic", server, task, "r")
        killed(args, server, "create", 1, tmp_path)  # ours never arrived
        foreign = [(f"theirs-{n}", "/v1/messages", {"model": "m", "messages": []}) for n in range(4)]
        now = datetime.now(UTC)
        server.batches = [Batch(f"other_{n}", "anthropic", foreign, {}, now) for n in range(3)]
        ok(*args, cwd=tmp_path)
        ours = [batch for batch in server.batches if not batch.id.startswith("other")]
        assert [len(batch.requests) for batch in ours] == [4, 4]
    first = lines(tmp_path / "r/batches.jsonl")[0]
    states = [e["status"] for e in lines(tmp_path / "r/batches.jsonl") if e["key"] == first["key"]]
    assert states == ["intent", "lost"]


def test_other_settings_do_not_throw_away_a_batch_under_way(tmp_path: Path) -> None:
    """There is no reply yet, but four are paid for."""
    task = write_task(tmp_path / "t", n_pairs=2)
    with FakeBatches() as server:
        args = command("openai", server, task, "r")
        killed(args, server, "look", 1, tmp_path)
        done = main_(*args, "--temperature", 0.5, cwd=tmp_path)
        assert done.code == 2 and "parameters.temperature" in done.err
        ok(*args, cwd=tmp_path)
        assert [len(batch.requests) for batch in server.batches] == [4, 4]


def test_a_batch_left_open_counts_towards_the_cap(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=2)
    with FakeBatches() as server:
        args = command("openai", server, task, "r")
        killed(args, server, "look", 2, tmp_path)
        done = main_(*args, "--max-calls", 6, cwd=tmp_path)  # four are made already, two are left
        assert done.code == 3 and "--max-calls 6" in done.err
        assert [len(batch.requests) for batch in server.batches] == [4, 2]
        assert {r["status"] for r in lines(tmp_path / "r/replies.jsonl")} == {"ok"}


def test_a_session_killed_on_the_way_to_verdicts_of_several_calls_is_booked_once(tmp_path: Path) -> None:
    """What a capped session read is in the books; a session that goes on with it is killed; a third one ends.

    Three verdicts are recorded by the killed session, of steps that the first one booked.
    """
    task = write_task(tmp_path / "t", n_pairs=2)

    def fate(seen: Seen) -> Fate:
        late = "[p1.risky]" in seen.text and len(seen.body["messages"]) == 1
        return "Fine." if late and place(seen) == 0 and seen.model == JUDGE else by_steps(seen)

    with FakeBatches(Script(fate, looks=0)) as server:
        args = [*by_steps_command(server, task), "--max-connections", 1]  # in order
        assert main_(*args, "--max-calls", 10, cwd=tmp_path).code == 3
        assert [len(batch.requests) for batch in server.batches] == [4, 4, 2]
        killed(args, server, "made", 3, tmp_path, Script(fate, looks=0))  # the re-ask of the answer
        known = [v["status"] for v in lines(tmp_path / "r/verdicts.jsonl")]
        assert known == ["ok"] * 3
        ok(*args, cwd=tmp_path)
        assert set(bought(server).values()) == {1}
        check_books(server, tmp_path, args)
