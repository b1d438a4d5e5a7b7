"""`rsbench train` asks before a judge that costs money labels branches, as `rsbench run` asks."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

from folders import recipe, shelf  # noqa: E402

from tests.cli import KEY, environment, lines, main_  # noqa: E402
from tests.servers import FakeOpenAI  # noqa: E402

QUESTION = "Go on? [y/N]"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shelf(tmp_path_factory.mktemp("shelf"), "text", 1, images=False)


def command(home: Path, url: str, usd: float = 1.0) -> list[str]:
    """Explore with a judge of that price for a million tokens."""
    card = home / "judge.yaml"
    card.write_text(
        f"schema: 1\nname: judge\nbackend: openai\nmodel: judge\nbase_url: {url}\n"
        f"prices: {{input: {usd}, output: {usd}, currency: USD}}\n"
    )
    path = recipe(home, "paid", explore={"judge": str(card), "k": 2, "max_tokens": 8})
    options = ["--shelf", home, "--device", "cpu", "--stage", "explore", "--limit", 2, "--out", "t"]
    return ["train", *map(str, [path, *options])]


def at_a_terminal(args: list[str], cwd: Path, typed: bytes = b"") -> tuple[int, str]:
    """Exit status and screen of a command whose standard input and error are a terminal."""
    ours, theirs = pty.openpty()
    env = environment(OPENAI_API_KEY=KEY, TERM="xterm", COLUMNS="200")
    process = subprocess.Popen(
        [sys.executable, "-m", "rsbench", *args],
        cwd=cwd,
        env=env,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed)  # waits in the terminal until it is read
    screen = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # Linux says so when the other side has closed
            break
        if not part:
            break
        screen += part
    os.close(ours)
    return process.wait(timeout=120), screen.decode(errors="replace")


def test_a_no_at_the_terminal_sends_nothing(home: Path, tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        code, screen = at_a_terminal(command(home, server.url), tmp_path, b"n\n")
        assert server.requests == []
    assert code == 2 and QUESTION in screen and "nothing was sent" in screen, screen
    assert "generated tokens" in screen, "what is asked about is shown first"
    assert not (tmp_path / "t").exists()


@pytest.mark.slow
def test_yes_as_an_option_goes_on_without_a_question(home: Path, tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        code, screen = at_a_terminal([*command(home, server.url), "--yes"], tmp_path)
        assert server.requests != []
    assert code == 0 and QUESTION not in screen and "generated tokens" in screen, screen
    assert lines(tmp_path / "t" / "explore" / "branches.jsonl")


@pytest.mark.slow
def test_a_free_judge_is_not_asked_about(home: Path, tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        code, screen = at_a_terminal(command(home, server.url, usd=0.0), tmp_path)
        assert server.requests != []
    assert code == 0 and QUESTION not in screen, screen


@pytest.mark.slow
def test_where_nobody_can_answer_it_shows_the_forecast_and_goes_on(home: Path, tmp_path: Path) -> None:
    # As `rsbench run` does: a script that waited for an answer would wait for ever.
    with FakeOpenAI() as server:
        done = main_(*command(home, server.url), cwd=tmp_path, OPENAI_API_KEY=KEY)
        assert server.requests != []
    assert done.code == 0 and QUESTION not in done.err and "generated tokens" in done.err, done.err


def test_a_dry_run_with_a_paid_judge_asks_and_sends_nothing(home: Path, tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        done = main_(*command(home, server.url), "--dry-run", cwd=tmp_path, OPENAI_API_KEY=KEY)
        assert server.requests == []
    assert done.code == 0 and QUESTION not in done.err and "generated tokens" in done.err, done.err
    assert not (tmp_path / "t").exists()
