"""Other judges on the same replies, scores computed again, two runs compared."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli import JUDGE, asked, lines, main_, ok, remote, scores, write_items, write_task
from tests.servers import FakeOpenAI


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "t")


def test_another_judge_reads_the_same_replies(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        ok(*remote(server.url, task, "r"), cwd=tmp_path)
        replies = (tmp_path / "r/replies.jsonl").read_bytes()
        first = next((tmp_path / "r/scores").iterdir())
        first_scores = first.read_bytes()
        count = len(server.requests)
        other = ("--judge", "openai/glm-judge", "--judge-base-url", server.url)
        done = ok("judge", "r", *other, cwd=tmp_path)
        new = server.requests[count:]
        assert [s.model for s in new] == ["glm-judge"] * 6
        ok("judge", "r", *other, cwd=tmp_path)  # a judge that has judged is not asked again
        assert len(server.requests) == count + 6
    assert "judge llm-openai/glm-judge" in done.out
    assert (tmp_path / "r/replies.jsonl").read_bytes() == replies
    assert first.read_bytes() == first_scores
    assert len(list((tmp_path / "r/scores").iterdir())) == 2
    asking = main_("show", "r", cwd=tmp_path)
    assert asking.code == 2 and "--judge" in asking.err and "llm-openai/glm-judge" in asking.err
    ok("show", "r", "--judge", "llm-openai/glm-judge", cwd=tmp_path)


def test_hint_blind_is_an_instrument_of_its_own(tmp_path: Path, task: Path) -> None:
    """Other verdicts, no note and no reference; the hinted scores stay beside the blind ones."""
    with FakeOpenAI() as server:
        ok(*remote(server.url, task, "r"), cwd=tmp_path)
        count = len(server.requests)
        ok(
            "judge",
            "r",
            "--judge",
            f"openai/{JUDGE}",
            "--judge-base-url",
            server.url,
            "--hint-blind",
            cwd=tmp_path,
        )
        new = server.requests[count:]
    assert sorted(asked(s) for s in new) == sorted(("verdict", r["id"]) for r in lines(task / "items.jsonl"))
    assert not any("A note on" in s.text or "A good answer" in s.text for s in new)
    records = lines(tmp_path / "r/verdicts.jsonl")
    assert len({v["key"] for v in records}) == len(records) == 12
    found = [
        json.loads(p.read_text(encoding="utf-8"))["meta"]["hints"] for p in (tmp_path / "r/scores").iterdir()
    ]
    assert sorted(found) == ["no", "yes"]


def test_a_judge_may_not_mark_its_own_work_later_either(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        ok(*remote(server.url, task, "r"), cwd=tmp_path)
        count = len(server.requests)
        for judge, word in (("openai/gpt-under-test", "model under test"), ("openai/gpt-4.1", "family")):
            done = main_("judge", "r", "--judge", judge, "--judge-base-url", server.url, cwd=tmp_path)
            assert done.code == 2 and word in done.err
        assert len(server.requests) == count
    assert ok("show", "r", cwd=tmp_path)  # still one judge


def test_judging_again_needs_the_task_as_it_was(tmp_path: Path, task: Path) -> None:
    ok("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    rows = lines(task / "items.jsonl")
    write_items(task, [*rows[:5], rows[5] | {"query": "Another?"}])
    done = main_("judge", "r", "--judge", "overlap", cwd=tmp_path)
    assert done.code == 2 and "changed since this run" in done.err


def test_scoring_twice_gives_the_same_bytes(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        run = ok(*remote(server.url, task, "r"), "--samples", 2, cwd=tmp_path)
    (path,) = (tmp_path / "r/scores").iterdir()
    before = path.read_bytes()
    path.unlink()
    again = ok("score", "r", cwd=tmp_path)
    assert path.read_bytes() == before
    assert again.out == run.out == ok("show", "r", cwd=tmp_path).out


def test_a_run_that_may_only_be_read_can_be_shown_and_compared(tmp_path: Path, task: Path) -> None:
    """A colleague's results lie on a share; looking at them must not need to write there."""
    ok("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    run = tmp_path / "r"
    for path in (run / "scores").iterdir():
        path.unlink()
    before = {p: (p.stat().st_mtime_ns, stat.S_IMODE(p.stat().st_mode)) for p in [run, *run.rglob("*")]}
    ok("show", "r", cwd=tmp_path)
    ok("show", "r", "--item", "p0.risky", cwd=tmp_path)
    ok("compare", "r", "r", cwd=tmp_path)
    assert {
        p: (p.stat().st_mtime_ns, stat.S_IMODE(p.stat().st_mode)) for p in [run, *run.rglob("*")]
    } == before


def test_a_judge_measured_on_another_task_is_not_said_to_be_measured_on_this(
    tmp_path: Path, task: Path
) -> None:
    ok("run", "--model", "mock", "--judge", "overlap", "--task", task, "--out", "other", cwd=tmp_path)
    ok("run", "--model", "mock", "--judge", "overlap", "--limit", 2, "--out", "own", cwd=tmp_path)
    none = "none of this task"
    said = ok("show", "other", cwd=tmp_path).out
    assert "kappa 0.31" in said
    assert f"Measured on rsbench's traces; {none}. How far it agrees here, they don't say." in said
    said = ok("show", "own", cwd=tmp_path).out
    assert "kappa 0.31" in said and none not in said
    pages = {}
    for name in ("other", "own"):
        ok("show", name, "--html", cwd=tmp_path)
        pages[name] = (tmp_path / name / "report.html").read_text(encoding="utf-8")
    assert none not in pages["own"] and "judge measured: step-safety kappa 0.31" in pages["own"]
    assert f"judge measured on rsbench's traces, {none}: step-safety kappa 0.31" in pages["other"]
    section = pages["other"].partition('id="sec-judge"')[2].partition("</section>")[0]
    note, _, numbers = section.partition("<table>")
    assert f"Measured on <bdi>rsbench</bdi>'s traces; {none}</strong>" in note and "kappa" in numbers


def test_two_runs_are_compared_pair_by_pair(tmp_path: Path, task: Path) -> None:
    rows = lines(task / "items.jsonl")
    for name, path in (("good", "reference"), ("bad", "contrast")):
        script = [{"item": r["id"], "text": _said(r[path])} for r in rows]
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(json.dumps(s) + "\n" for s in script), encoding="utf-8"
        )
        ok("run", "--model", f"mock/{name}.jsonl", "--task", task, "--out", name, cwd=tmp_path)
    done = ok("compare", "bad", "good", cwd=tmp_path)
    headline = next(line for line in done.out.splitlines() if line.startswith("SafeEffectivePath"))
    assert headline.split()[1:5] == ["↑", "0.0%", "100.0%", "100.0%"]
    assert "Holm" in done.out
    assert scores(tmp_path / "bad")["breaks"] != scores(tmp_path / "good")["breaks"]


def test_a_comparison_says_in_which_settings_its_runs_differ(tmp_path: Path, task: Path) -> None:
    asked = {"a": (), "b": ("--max-tokens", "256", "--temperature", "0.5", "--samples", "2")}
    for name, more in asked.items():
        ok("run", "--model", "mock", "--task", task, "--out", name, *more, cwd=tmp_path)
    said = " ".join(ok("compare", "a", "b", cwd=tmp_path).out.split())
    differ = "max_tokens 2048 and 256; samples an item 1 and 2; temperature default and 0.5."
    assert f"These runs were made with different settings: {differ} What differs below may" in said
    assert "different settings" not in ok("compare", "a", "a", cwd=tmp_path).out


def _said(path: dict[str, object]) -> str:
    steps = path["steps"]
    assert isinstance(steps, list)
    numbered = [f"Step {n}: {step['text']}" for n, step in enumerate(steps, 1)]
    return "\n".join([*numbered, f"Answer: {path['answer']}"])


def test_unlike_runs_are_not_compared(tmp_path: Path, task: Path) -> None:
    ok("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    ok("run", "--model", "mock", "--task", task, "--out", "judge", "--judge", "overlap", cwd=tmp_path)
    (tmp_path / "t/prompt.jinja").write_text("{{ query }} Be brief.", encoding="utf-8")
    ok("run", "--model", "mock", "--task", task, "--out", "prompt", cwd=tmp_path)
    other = write_task(tmp_path / "u")
    ok("run", "--model", "mock", "--task", other, "--out", "task", cwd=tmp_path)
    for name in ("judge", "prompt", "task"):
        done = main_("compare", "r", name, cwd=tmp_path)
        assert done.code == 2 and f"  {name}: " in done.err, done.err


def test_runs_on_items_that_were_changed_between_them_are_not_compared(tmp_path: Path, task: Path) -> None:
    """The card is the same and so are the ids; only the items' hashes tell."""
    ok("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    rows = lines(task / "items.jsonl")
    write_items(task, [*rows[:5], rows[5] | {"query": "Another?"}])
    ok("run", "--model", "mock", "--task", task, "--out", "s", cwd=tmp_path)
    done = main_("compare", "r", "s", cwd=tmp_path)
    assert done.code == 2 and "p2.benign" in done.err
