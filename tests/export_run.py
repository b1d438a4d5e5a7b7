"""Runs to export: a model and a judge behind a local server; one model says what should break an export."""

from pathlib import Path

from tests.cli import Done, as_seen, asked, main_, ok, remote, usual, write_task
from tests.servers import Body, FakeOpenAI, Fault, Rule

HOSTILE = (
    "=cmd|' /C calc'!A0\nStep 1: <script>window.hacked=1</script> \u202egnp.exe \x00 half \ud83d pair\n"
    'Step 2: @SUM(1) {{ 7*7 }} --- "quoted", \u2028 ,;\r\nAnswer: ../../etc/passwd # &anchor !!python/none'
)


def _says(body: Body) -> str:
    seen = as_seen(body)
    return HOSTILE if asked(seen) == ("reply", "p0.risky") else usual(body)


def make_run(folder: Path) -> Path:
    """A complete run of three twin pairs, two samples an item; one reply is `HOSTILE`."""
    with FakeOpenAI(_says) as server:
        ok(*remote(server.url, write_task(folder / "task"), "run"), "--samples", 2, cwd=folder)
    return folder / "run"


def make_broken_run(folder: Path) -> Path:
    """A run in which the model's server fails for one item of six."""
    rule = Rule(Fault.status(500), containing="[p1.benign]")
    with FakeOpenAI(rules=[rule]) as server:
        done = main_(*remote(server.url, write_task(folder / "task"), "run"), cwd=folder)
    assert done.code == 3, done.err
    return folder / "run"


def export(run: Path, format_: str, out: Path, *args: object) -> Done:
    """`rsbench export` that must succeed."""
    return ok("export", run, "--format", format_, "--out", out, *args, cwd=out.parent)
