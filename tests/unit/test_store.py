"""The run folder survives what kills a process: torn tails, full disks, a second process, no rights."""

import gc
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rsbench.store import PLAN, Records, RunFolder
from rsbench.types import FINAL_REPLY, UserError

KEYS = [f"{n:064x}" for n in range(5)]
TEXTS = st.text(max_size=30) | st.sampled_from(["\n\r\n", "\u2028", "\ud83d", '"}\n{"key":', "é" * 40])


def record(key: str, status: str = "ok", text: str = "") -> dict[str, Any]:
    return {"schema": 1, "key": key, "status": status, "text": text}


def opened(path: Path, writable: bool = True) -> Records:
    return Records(path, FINAL_REPLY).open(writable)


class Crashes(RuleBasedStateMachine):
    """Appends, and crashes that leave any beginning of the file; a list says what must be there."""

    @initialize()
    def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "replies.jsonl"
        self.written: list[dict[str, Any]] = []
        self.records = opened(self.path)

    @rule(key=st.sampled_from(KEYS), status=st.sampled_from(["ok", "error", "empty"]), text=TEXTS)
    def append(self, key: str, status: str, text: str) -> None:
        self.written.append(record(key, status, text))
        self.records.append(self.written[-1])

    @rule(share=st.floats(0, 1))
    def crash(self, share: float) -> None:
        """Only what the kernel had before some byte is left; then the run is resumed."""
        self.records.close()
        left = self.path.read_bytes()[: int(share * self.path.stat().st_size)]
        self.path.write_bytes(left)
        self.written = self.written[: left.count(b"\n")]
        self.records = opened(self.path)
        assert self.path.read_bytes() == left[: left.rfind(b"\n") + 1], "whole lines stay, the torn one goes"

    @rule()
    def reopen_to_read(self) -> None:
        self.records.close()
        self.records = opened(self.path, writable=False)
        self.holds_what_was_written()
        self.records.close()
        self.records = opened(self.path)

    @invariant()
    def holds_what_was_written(self) -> None:
        for key in KEYS:
            mine = [r for r in self.written if r["key"] == key]
            assert self.records.get(key) == (mine[-1] if mine else None), "the last record of a key counts"
            assert self.records.done(key) == bool(mine and mine[-1]["status"] != "error")
        assert self.records.superseded == len(self.written) - len({r["key"] for r in self.written})

    def teardown(self) -> None:
        self.records.close()
        self._folder.cleanup()


Crashes.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None, derandomize=True)
test_crashes = Crashes.TestCase


def test_whoever_reads_has_no_file_to_close(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    writer = opened(path)
    writer.append(record(KEYS[0]))
    writer.close()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        assert opened(path, writable=False).get(KEYS[0]) == record(KEYS[0])
        gc.collect()
    assert [str(one.message) for one in seen] == []
    path.unlink()
    with pytest.raises(UserError, match=r"replies\.jsonl: can't be opened \(No such file"):
        opened(path, writable=False)


def test_reading_leaves_a_torn_tail_alone(tmp_path: Path) -> None:
    # `rsbench show` may look while `rsbench run` is in the middle of a line.
    path = tmp_path / "replies.jsonl"
    torn = json.dumps(record(KEYS[0])).encode() + b"\n" + b'{"schema":1,"key":"00'
    path.write_bytes(torn)
    assert opened(path, writable=False).get(KEYS[0]) == record(KEYS[0])
    assert path.read_bytes() == torn


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_who_reads_or_is_refused_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_bytes(json.dumps(record(KEYS[0])).encode() + b"\n")
    with RunFolder(tmp_path).locked():
        before = open_files()
        reader, other = opened(path, writable=False), RunFolder(tmp_path)
        with pytest.raises(UserError, match="another rsbench process"):
            other.locked()
        assert open_files() == before
    assert reader.get(KEYS[0]) == record(KEYS[0])
    with pytest.raises(UserError, match=r"none\.jsonl: can't be opened .No such file"):
        opened(tmp_path / "none.jsonl", writable=False)


@pytest.mark.parametrize(
    "bad",
    [
        b"not json",
        b"",
        b"[]",
        b'{"key": "zz", "status": "ok"}',
        b'{"key": "00"}',
        b'{"key": 7, "status": "ok"}',
        b'{"key": "00", "status": ["ok"]}',
        b'{"key": "\xff", "status": "ok"}',
    ],
)
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "replies.jsonl"
    good = json.dumps(record(KEYS[0])).encode()
    content = good + b"\n" + bad + b"\n" + good + b"\n"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"replies\.jsonl:2: not a record"):
        opened(path)
    assert path.read_bytes() == content, "nothing is cut off a file that was edited by hand"


def test_a_second_process_is_refused_until_the_first_has_left(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from rsbench.store import RunFolder\n"
    code += "with RunFolder(Path(sys.argv[1])).locked(): pass\n"

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=os.getcwd()
        )

    with RunFolder(tmp_path).locked():
        refused = other()
        assert refused.returncode and "another rsbench process is working on this run" in refused.stderr
        with pytest.raises(UserError, match="another rsbench process"):
            RunFolder(tmp_path).locked()
        RunFolder(tmp_path).manifest_or_none()  # reading needs no lock
    allowed = other()
    assert allowed.returncode == 0, allowed.stderr


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from rsbench.store import RunFolder\n"
    code += "RunFolder(Path(sys.argv[1])).locked(); os.kill(os.getpid(), 9)\n"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert killed.returncode == -9
    with RunFolder(tmp_path).locked():
        pass


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anywhere, so a test of permissions steps down for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder_can_be_read_and_says_so_when_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder(tmp_path).locked() as folder:
        folder.write("manifest.json", {"schema": 1})
        records = folder.replies(FINAL_REPLY).open()
        records.append(record(KEYS[0]))
        records.close()
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)  # nobody may not walk down to pytest's folder
    with as_nobody():
        folder = RunFolder(Path())
        assert folder.manifest() == {"schema": 1}
        assert folder.replies(FINAL_REPLY).open(writable=False).done(KEYS[0])
        with pytest.raises(UserError, match="can't be written .Permission denied"):
            folder.locked()
        with pytest.raises(UserError, match="replies.jsonl: can't be opened .Permission denied"):
            folder.replies(FINAL_REPLY).open()
        with pytest.raises(UserError, match="scores.json: can't write .Permission denied"):
            folder.write("scores.json", {})
    tmp_path.chmod(0o755)


def test_a_run_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="can't be written .File exists"):
        RunFolder(tmp_path / "run").locked()


# A file-size limit is a full disk for one process: the write that crosses it is cut short, the next fails.
FULL_DISK = """
import resource, sys
from pathlib import Path
from rsbench.store import RunFolder
from rsbench.types import FINAL_REPLY, UserError

folder = RunFolder(Path(sys.argv[1])).locked()
folder.write("manifest.json", {"schema": 1, "old": "x" * 100})
records = folder.replies(FINAL_REPLY).open()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
refused = 0
for n in range(8):
    try:
        records.append({"schema": 1, "key": f"{n:064x}", "status": "ok", "text": "y" * 50})
    except UserError as error:
        assert "replies.jsonl: can't write" in str(error) and "resumed" in str(error)
        assert not records.done(f"{n:064x}")
        refused += 1
assert refused == 6, refused
try:
    folder.write("manifest.json", {"schema": 1, "new": "z" * 1000})
    sys.exit("the manifest fitted")
except UserError as error:
    assert "manifest.json: can't write" in str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
records.append({"schema": 1, "key": "ff" * 32, "status": "ok", "text": "space again"})
records.close()
"""


def size(n: int) -> int:
    return n * (len(json.dumps(record(KEYS[0], text="y" * 50), separators=(",", ":"))) + 1)


@pytest.mark.parametrize("room", [size(2), size(2) + 1, size(3) - 1])
def test_a_full_disk_tears_nothing(tmp_path: Path, room: int) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path), str(room)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    lines = (tmp_path / "replies.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [*KEYS[:2], "ff" * 32]
    assert "old" in RunFolder(tmp_path).manifest(), "a file written whole is the old one or the new one"


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.manifest_or_none() is None
    with pytest.raises(UserError, match="not a run folder"):
        folder.manifest()
    folder.write("manifest.json", {"schema": 2})
    with pytest.raises(UserError, match=r"manifest\.json: schema 2; this rsbench reads up to 1"):
        folder.manifest()
    for damaged in ("{", "[]", "{}", '{"schema": "one"}'):
        folder.write_text("manifest.json", damaged)
        with pytest.raises(UserError, match=r"manifest\.json: not a manifest"):
            folder.manifest()


def test_a_plan_that_cannot_be_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(UserError, match=r"plan\.jsonl: missing"):
        list(folder.plan())
    folder.write_text(PLAN, '{"item": "a"}\n{"item": \n')
    with pytest.raises(UserError, match=r"plan\.jsonl:2: not JSON"):
        list(folder.plan())


@settings(max_examples=50, deadline=None, derandomize=True)
@given(text=st.text(st.characters(codec=None), max_size=40))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    # Half a surrogate pair, as a server cuts an emoji, ended the run with a UnicodeEncodeError.
    with tempfile.TemporaryDirectory() as folder:
        records = opened(Path(folder) / "replies.jsonl")
        records.append(record(KEYS[0], text=text))
        again = records.get(KEYS[0])
        records.close()
    pairs_joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert again == record(KEYS[0], text=pairs_joined)
