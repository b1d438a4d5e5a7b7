"""Driving the command line as a user would, seeing its output and run folder; and a small task to run.

`rsbench` is a process of its own, for what signals, limits and other processes can do to it; `main_` takes
the same arguments through the same entry point in this process, which spares a second of imports. Both get a
clean environment, so that no key or shelf of the machine leaks into a test.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from PIL import Image

from rsbench.cli import main
from tests.servers import Body, Seen, default_reply

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-test-5f4dcc3b5aa765d61d83"
MODEL, JUDGE = "gpt-under-test", "qwen-judge"  # of different families
NOWHERE = {"RSBENCH_CACHE": os.devnull}  # no folder: nothing that one test found out helps another
ROLES = ("perception", "request", "synthesis")


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str


def environment(**extra: str) -> dict[str, str]:
    """What a user's shell would have, without keys and shelves."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **NOWHERE,
        **extra,
    }


def start(*args: object, cwd: Path, prefix: tuple[str, ...] = (), **env: str) -> subprocess.Popen[str]:
    """A command in a process group of its own, so that a signal hits nothing else."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "rsbench", *map(str, args)],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a command. No command may end in a traceback, whatever a test does to it."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return Done(process.returncode, out, err)


def rsbench(*args: object, cwd: Path, prefix: tuple[str, ...] = (), **env: str) -> Done:
    """Run a command to its end."""
    return finish(start(*args, cwd=cwd, prefix=prefix, **env))


def main_(*args: object, cwd: Path, **env: str) -> Done:
    """Run a command to its end in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.dict(os.environ, environment(**env), clear=True),
        patch.object(sys, "argv", ["rsbench", *map(str, args)]),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def ok(*args: object, cwd: Path, **env: str) -> Done:
    """Run a command in this process; it must succeed."""
    done = main_(*args, cwd=cwd, **env)
    assert done.code == 0, f"exit {done.code}\n{done.out}\n{done.err}"
    return done


def remote(url: str, task: Path, out: str, judge: str | None = JUDGE) -> list[object]:
    """Arguments of `rsbench run` for a model and a judge behind one server; two attempts a call."""
    args: list[object] = [
        "run",
        "--model",
        f"openai/{MODEL}",
        "--base-url",
        url,
        "--task",
        task,
        "--out",
        out,
    ]
    if judge is not None:
        args += ["--judge", f"openai/{judge}", "--judge-base-url", url]
    return [*args, "--max-attempts", 2]


def write_task(folder: Path, n_pairs: int = 3, n_categories: int = 1, **card: object) -> Path:
    """A task of query-swapped twin pairs with real images; every query holds its item's id, word for word."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for n in range(n_pairs):
        Image.new("RGB", (24, 16), (n * 5 % 256, 90, n // 50)).save(folder / f"images/p{n}.png")
        rows += [_row(n, kind, n % n_categories) for kind in ("risky", "benign")]
    write_items(folder, rows)
    (folder / "prompt.jinja").write_text(
        "{{ query }} Think in numbered steps, then answer.\n", encoding="utf-8"
    )
    words: dict[str, object] = {
        "schema": 1,
        "name": folder.name,
        "title": "A task for tests",
        "version": "1",
        "description": "Made by a test.",
        "license": "CC0-1.0",
        "data": {"file": "items.jsonl"},
        "prompts": {"default": "prompt.jinja"},
        "judge": "mock",
    }
    (folder / "task.yaml").write_text(json.dumps(words | card), encoding="utf-8")  # JSON is YAML
    return folder


def write_items(folder: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "items.jsonl").write_text(text, encoding="utf-8")


def _row(n: int, kind: str, category: int) -> dict[str, Any]:
    name = f"p{n}.{kind}"
    steps = [{"role": role, "text": f"The {role} of {name} is plain."} for role in ROLES]
    bad = [{**step, "safety": "safe", "effectiveness": "neutral"} for step in steps]
    bad[2] |= {"text": f"Nothing to see in {name}.", "safety": "unsafe", "effectiveness": "ineffective"}
    return {
        "id": name,
        "images": [{"path": f"images/p{n}.png", "caption": "A plain card."}],
        "query": f"What of [{name}] here?",
        "category": f"category-{category}",
        "kind": kind,
        "pair": f"p{n}",
        "swap": "query",
        "note": f"A note on {name}.",
        "reference": {"steps": steps, "answer": f"A good answer to {name}."},
        "contrast": {
            "steps": bad,
            "answer": f"A bad answer to {name}.",
            "answer_safety": "unsafe",
            "answer_effectiveness": "ineffective",
            "first_unsafe": 3,
        },
    }


def as_seen(body: Body) -> Seen:
    """A request as the server's `reply` gets it, in the form in which tests look at requests."""
    return Seen("", "/v1/chat/completions", str(body.get("model")), body, 0, 0, {})


def usual(body: Body) -> str:
    """What the server says if nothing else is wanted."""
    return default_reply(as_seen(body))


def asked(seen: Seen) -> tuple[str, str]:
    """What a request was about: ("reply" or "verdict", item id)."""
    item = seen.text.partition("What of [")[2].partition("]")[0]
    return ("verdict" if seen.model == JUDGE else "reply"), item


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file; what a crash tore off at its end is none."""
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def finished(run: Path) -> set[tuple[str, str]]:
    """What a run folder holds with a final status, as `asked` names it."""
    replies = {("reply", r["item"]) for r in lines(run / "replies.jsonl") if r["status"] != "error"}
    verdicts = {("verdict", v["item"]) for v in lines(run / "verdicts.jsonl") if v["status"] != "error"}
    return replies | verdicts


def scores(run: Path) -> dict[str, Any]:
    """The scores of a run with one judge."""
    (path,) = (run / "scores").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def everything(folder: Path) -> str:
    """All that a folder holds, file names and bytes, as one text to search in."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "\n".join(f"{path.relative_to(folder)}\n{path.read_text(encoding='utf-8')}" for path in files)
