"""Going on: a second run in the folder of a first one, changed settings, another process, ^C."""

import itertools
import json
import os
import shlex
import signal
import threading
from pathlib import Path

from tests.cli import (
    JUDGE,
    MODEL,
    asked,
    finish,
    finished,
    lines,
    main_,
    ok,
    remote,
    rsbench,
    scores,
    start,
    usual,
    write_items,
    write_task,
)
from tests.servers import Body, FakeOpenAI, Fault


def test_a_finished_run_asks_for_nothing_again(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t")
    with FakeOpenAI() as server:
        args = remote(server.url, task, "r")
        first = ok(*args, cwd=tmp_path)
        (path,) = (tmp_path / "r/scores").glob("*.json")
        before = path.read_bytes()
        count = len(server.requests)
        second = ok(*args, cwd=tmp_path)
        assert len(server.requests) == count == 12
    assert first.out == second.out
    assert path.read_bytes() == before
    sessions = json.loads((tmp_path / "r/manifest.json").read_text(encoding="utf-8"))["sessions"]
    assert [s["calls"] for s in sessions] == [12, 0]


def test_other_settings_are_shown_and_refused_until_allowed(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t")
    with FakeOpenAI() as server:
        args = remote(server.url, task, "r")
        ok(*args, cwd=tmp_path)
        before = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}
        for change, difference in {
            ("--temperature", 0.5): "parameters.temperature: was None, now 0.5",
            ("--samples", 2): "samples: was 1, now 2",
            ("--limit", 4): "selection.limit: was None, now 4",
            ("--judge", "openai/glm-judge"): f"judge: was 'llm-openai/{JUDGE}', now 'llm-openai/glm-judge'",
            ("--hint-blind",): f"judge: was 'llm-openai/{JUDGE}', now 'llm-openai/{JUDGE}-hint-blind'",
            ("--model", "mock"): "model.name: was",
        }.items():
            swapped = [a for a in args if change[0] != "--model" or a not in ("--model", f"openai/{MODEL}")]
            done = main_(*swapped, *change, cwd=tmp_path)
            assert done.code == 2 and difference in done.err and "--allow-change" in done.err, done.err
        assert len(server.requests) == 12
        assert {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()} == before
        # Allowed, a second sample is all that is new.
        done = ok(*args, "--samples", 2, "--allow-change", cwd=tmp_path)
        assert "warning: changed since the run began: samples" in done.err
        assert len(server.requests) == 24
    assert scores(tmp_path / "r")["counts"]["planned"] == 12


def test_an_edited_item_alone_is_asked_again(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t")
    rows = lines(task / "items.jsonl")
    with FakeOpenAI() as server:
        args = remote(server.url, task, "r")
        ok(*args, cwd=tmp_path)
        write_items(task, [*rows[:5], rows[5] | {"query": "What now of [p2.benign] here?"}])
        refused = main_(*args, cwd=tmp_path)
        assert refused.code == 2 and "data: was" in refused.err
        done = ok(*args, "--allow-change", cwd=tmp_path)
        new = [s for s in server.requests[12:]]
    assert sorted((s.model, "[p2.benign]" in s.text) for s in new) == [(MODEL, True), (JUDGE, True)]
    assert "6 items in 3 pairs; samples: 6 ok" in done.out  # the old reply is kept, and counted nowhere
    assert len(lines(tmp_path / "r/replies.jsonl")) == 7


def test_an_edited_prompt_is_a_change(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=1)
    ok("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    (task / "prompt.jinja").write_text("{{ query }} Be brief.", encoding="utf-8")
    done = main_("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    assert done.code == 2 and "prompt.sha256: was" in done.err
    ok("run", "--model", "mock", "--task", task, "--out", "r", "--allow-change", cwd=tmp_path)
    assert len(lines(tmp_path / "r/replies.jsonl")) == 4


def test_a_mistyped_model_or_judge_leaves_no_trace_in_the_folder(tmp_path: Path) -> None:
    """The mended command must go through as it is, and the wrong judge must not stay a judge of the run."""
    task = write_task(tmp_path / "t", n_pairs=1)
    for out, model, judge in (("r", "gpt-typo", JUDGE), ("s", MODEL, "qwen-typo")):
        with FakeOpenAI(unless_mistyped) as server:
            urls = ("--base-url", server.url, "--judge-base-url", server.url)
            where = ("run", *urls, "--task", task, "--out", out)
            wrong = main_(*where, "--model", f"openai/{model}", "--judge", f"openai/{judge}", cwd=tmp_path)
            assert wrong.code == 2 and "no such model" in wrong.err
            ok(*where, "--model", f"openai/{MODEL}", "--judge", f"openai/{JUDGE}", cwd=tmp_path)
        ok("show", out, cwd=tmp_path)


def unless_mistyped(body: Body) -> Fault | str:
    return Fault.status(404, {"message": "no such model"}) if "typo" in body["model"] else usual(body)


def test_a_second_process_is_refused_while_the_first_works(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=1)
    working = threading.Event()

    def reply(_: object) -> Fault:
        working.set()
        return Fault.hang(60)

    with FakeOpenAI(reply) as server:
        args = remote(server.url, task, "r")
        first = start(*args, cwd=tmp_path)
        assert working.wait(60)
        second = main_(*args, cwd=tmp_path)
        judged = main_("judge", "r", "--judge", "mock", cwd=tmp_path)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    for refused in (second, judged):
        assert refused.code == 2 and "another rsbench process" in refused.err
    # The kernel drops the lock of a process that was killed.
    with FakeOpenAI(port=server.port) as server:
        ok(*args, cwd=tmp_path)


def test_interrupted_it_keeps_what_is_finished_and_says_how_to_go_on(tmp_path: Path) -> None:
    task = write_task(tmp_path / "my tasks/t")  # the space must survive in the printed command
    enough, count = threading.Event(), itertools.count(1)

    def reply(body: Body) -> str:
        if next(count) == 5:
            enough.set()
        return usual(body)

    with FakeOpenAI(reply, latency_s=0.1) as server:
        process = start(*remote(server.url, task, "r"), "--max-connections", 1, cwd=tmp_path)
        assert enough.wait(60)
        process.send_signal(signal.SIGINT)
        stopped = finish(process)
        calls = len(server.requests)
        assert stopped.code == 3
        assert "Stopped; everything finished is in r" in stopped.err
        command = stopped.err.strip().splitlines()[-1].strip()
        before = finished(tmp_path / "r")
        assert 0 < len(before) < 12
        done = rsbench(*shlex.split(command)[1:], cwd=tmp_path)
        again = [asked(s) for s in server.requests[calls:]]
    assert done.code == 0
    assert not before & set(again)
    assert finished(tmp_path / "r") == before | set(again) and len(before | set(again)) == 12
