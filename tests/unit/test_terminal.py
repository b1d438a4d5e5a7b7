"""What a model says can't draw on the terminal, and what a user should paste is one line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rsbench.runner import Tally
from rsbench.terminal import Watch, plain, watched

COMMAND = ["run", "--model", "openai/gpt-x", "--task", "./a task", "--out", "runs/" + "long-" * 30]


def test_plain_text_has_no_controls() -> None:
    assert plain("\x1b[31mred\x1b[0m \x07bell \x9b2Jclear \r\x08back") == "[31mred[0m bell 2Jclear back"
    assert plain("a\u202ebdc\u202c \u2066x\u2069 \u200bz\ud83d") == "abdc x z", "no reversed or hidden text"
    assert plain("Où? 屋顶 🙂\n\t[bold]x[/bold]") == "Où? 屋顶 🙂\n\t[bold]x[/bold]"


def test_progress_and_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def work(watch: Watch, warn: Callable[[str], None]) -> int:
        warn("the family of x[y] is unknown: " + "long " * 40)
        watch(Tally(done=1, statuses={"ok": 1, "error": 2}), 4)
        watch(Tally(done=4, statuses={"ok": 4, "error": 2}, retries=3, note="rate limited"), 4)
        return 7

    assert watched("judging", None, work) == 7
    shown = capsys.readouterr()
    assert shown.out == "", "stdout is for results alone"
    assert "warning: the family of x[y] is unknown: " + "long " * 39 in shown.err
    assert "4/4" in shown.err and "2 error" in shown.err and "3 retries (rate limited)" in shown.err


def stopped(place: Path | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    def work(watch: Watch, warn: Callable[[str], None]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["/some/where/rsbench", *COMMAND])
    with pytest.raises(SystemExit) as caught:
        watched("running", place, work)
    assert caught.value.code == 3
    return capsys.readouterr().err


def test_interrupted_runs_say_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = stopped(Path("runs/x"), monkeypatch, capsys)
    # The command was wrapped at 80 columns, so that pasting it ran its first half.
    wanted = "rsbench run --model openai/gpt-x --task './a task' --out " + COMMAND[-1]
    assert wanted in [line.strip() for line in said.splitlines()]
    assert "everything finished is in runs/x" in said
    assert "nothing was kept" in stopped(None, monkeypatch, capsys)
