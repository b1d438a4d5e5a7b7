"""A full disk, a folder that can't be written, a damaged file: a clear message, nothing torn, a way on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import environment, finished, lines, main_, ok, remote, rsbench, usual, write_task
from tests.servers import Body, FakeOpenAI

FULL_AT = 20_000  # bytes a file may have; manifest and plan stay well below
# A program that limits itself and becomes another; `preexec_fn` is not safe where the server's thread runs.
LIMIT = f"""import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({FULL_AT}, {FULL_AT}))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_full_disk_tears_nothing_and_the_run_goes_on(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=4)

    def reply(body: Body) -> str:
        said = usual(body)
        return said if said.startswith("{") else said + " So be it." * 400

    with FakeOpenAI(reply) as server:
        args = remote(server.url, task, "r")
        full = rsbench(*args, cwd=tmp_path, prefix=(sys.executable, "-c", LIMIT))
        assert full.code == 2
        assert "replies.jsonl: can't write" in full.err and "can be resumed" in full.err
        content = (tmp_path / "r/replies.jsonl").read_bytes()
        assert 0 < len(content) <= FULL_AT and content.endswith(b"\n")
        before = finished(tmp_path / "r")
        assert before
        count = len(server.requests)
        ok(*args, cwd=tmp_path)  # there is room again
        assert len(server.requests) - count == 16 - len(before)
        ok(*remote(server.url, task, "unbroken"), cwd=tmp_path)
    (broken,), (unbroken,) = ((tmp_path / out / "scores").iterdir() for out in ("r", "unbroken"))
    assert broken.read_bytes() == unbroken.read_bytes()


def test_an_out_that_is_a_file(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=1)
    (tmp_path / "r").write_text("mine", encoding="utf-8")
    for out in ("r", "r/below"):
        with FakeOpenAI() as server:
            done = main_(*remote(server.url, task, out), cwd=tmp_path)
            assert server.requests == []
        assert done.code == 2 and f"rsbench: {out}: " in done.err
    assert (tmp_path / "r").read_text(encoding="utf-8") == "mine"


def unprivileged() -> tuple[str, ...]:
    """A prefix under which permissions hold: root passes over them unless it gives up the right to."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    drop = "-dac_override,-dac_read_search"
    prefix = (setpriv or "", f"--bounding-set={drop}", f"--inh-caps={drop}")
    if setpriv is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("root can't give up its right to write everywhere here")
    return prefix


def test_a_read_only_folder(tmp_path: Path) -> None:
    prefix = unprivileged()
    task = write_task(tmp_path / "t", n_pairs=1)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o555)
    args = ("run", "--model", "mock", "--task", task)
    done = rsbench(*args, "--out", "shared/r", cwd=tmp_path, prefix=prefix)
    assert done.code == 2 and "shared/r: can't be written (Permission denied)" in done.err
    ok(*args, "--out", "r", cwd=tmp_path)
    before = [(r["key"], r["status"]) for r in lines(tmp_path / "r/replies.jsonl")]
    for path in (tmp_path / "r").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "r").chmod(0o555)
    done = rsbench(*args, "--out", "r", cwd=tmp_path, prefix=prefix)
    assert done.code == 2 and "Permission denied" in done.err and "rsbench: r" in done.err
    assert rsbench("show", "r", cwd=tmp_path, prefix=prefix).code == 0
    assert [(r["key"], r["status"]) for r in lines(tmp_path / "r/replies.jsonl")] == before
    for path in [tmp_path / "shared", tmp_path / "r", *(tmp_path / "r").rglob("*")]:
        path.chmod(0o755)  # so that pytest can clean up


def test_a_damaged_record_is_named_by_file_and_line(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=2)
    args = ("run", "--model", "mock", "--task", task, "--out", "r")
    ok(*args, cwd=tmp_path)
    path = tmp_path / "r/verdicts.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([rows[0], rows[1][:40] + b"\n", *rows[2:]]))
    for command in (args, ("show", "r"), ("score", "r"), ("judge", "r", "--judge", "overlap")):
        done = main_(*command, cwd=tmp_path)
        assert done.code == 2 and "verdicts.jsonl:2" in done.err, done
    # As the message says: without that line its call is made again.
    path.write_bytes(b"".join([rows[0], *rows[2:]]))
    ok(*args, cwd=tmp_path)
    assert sorted(r["key"] for r in lines(path)) == sorted(json.loads(row)["key"] for row in rows)


def test_a_torn_last_record_is_made_again(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=2)
    with FakeOpenAI() as server:
        args = remote(server.url, task, "r")
        ok(*args, cwd=tmp_path)
        (scores,) = (tmp_path / "r/scores").iterdir()
        whole = scores.read_bytes()
        path = tmp_path / "r/replies.jsonl"
        path.write_bytes(path.read_bytes()[:-9])
        count = len(server.requests)
        ok(*args, cwd=tmp_path)
        # The reply again; its verdict is known by the reply's words, and they are the same.
        assert len(server.requests) == count + 1
        assert scores.read_bytes() == whole


# A process that runs another and tells its exit code and peak memory in KiB.
MEASURE = """import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_items(tmp_path: Path) -> None:
    """Peak memory of whole processes: ten times the items cost keys, offsets and outcomes, no texts."""
    peaks = []
    for n_pairs in (100, 1000):
        task = write_task(tmp_path / f"t{n_pairs}", n_pairs=n_pairs)
        run = [sys.executable, "-m", "rsbench", "run", "--model", "mock", "--task", task, "--out"]
        command = [sys.executable, "-c", MEASURE, *map(str, run), str(tmp_path / f"r{n_pairs}")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
        code, peak = map(int, done.stdout.split())
        assert code == 0, done.stderr
        peaks.append(peak / 1024)
    assert peaks[1] - peaks[0] < 40, f"{peaks} MiB"
