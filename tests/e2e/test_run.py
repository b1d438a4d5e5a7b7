"""`rsbench run` from a first try to numbers: what is printed, written, sent and refused."""

import json
from pathlib import Path

import pytest

from tests.cli import (
    JUDGE,
    KEY,
    MODEL,
    asked,
    everything,
    lines,
    main_,
    ok,
    remote,
    rsbench,
    scores,
    write_task,
)
from tests.servers import Body, FakeOpenAI, Fault, Rule, as_completion


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "small")


def test_a_first_run_offline_prints_numbers_and_keeps_everything(tmp_path: Path, task: Path) -> None:
    done = ok("run", "--model", "mock", "--task", task, cwd=tmp_path)
    run = tmp_path / "runs/mock-small"
    assert "SafeEffectivePath" in done.out and "MOCK" in done.out and "6 items in 3 pairs" in done.out
    assert "Run folder: runs/mock-small" in done.out
    names = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    expected = {"manifest.json", "plan.jsonl", "replies.jsonl", "verdicts.jsonl", "scores/mock.json", "lock"}
    assert names == expected
    assert len(lines(run / "replies.jsonl")) == len(lines(run / "verdicts.jsonl")) == 6
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["cards"]["task"] | {"sha256": ""} == {
        "path": str(task / "task.yaml"),
        "origin": "file",
        "sha256": "",
    }
    assert manifest["identity"]["parameters"]["max_tokens"] == 2048
    assert manifest["sessions"][0]["calls"] == 6


def test_model_and_judge_behind_a_server(tmp_path: Path, task: Path) -> None:
    env = {"MODEL_KEY": KEY, "JUDGE_KEY": KEY + "-of-the-judge"}
    keys = ("--api-key-env", "MODEL_KEY", "--judge-api-key-env", "JUDGE_KEY")
    with FakeOpenAI() as server:
        done = ok(*remote(server.url, task, "r"), *keys, cwd=tmp_path, **env)
        seen = server.requests
    # One call a reply and one a verdict, each with its own key.
    assert sorted(asked(s) for s in seen) == sorted(
        (what, f"p{n}.{kind}")
        for what in ("reply", "verdict")
        for n in range(3)
        for kind in ("risky", "benign")
    )
    for s in seen:
        key = KEY if s.model == MODEL else KEY + "-of-the-judge"
        assert s.headers["Authorization"] == f"Bearer {key}"
        parts = s.body["messages"][0]["content"]
        assert [p["type"] for p in parts] == ["image_url", "text"]
    # The judge knows note and reference, but not whom it judges; the model knows neither.
    for s in seen:
        assert ("A note on" in s.text) == ("A good answer" in s.text) == (s.model == JUDGE)
        assert s.model == MODEL or MODEL not in json.dumps(s.body)
    assert "MOCK" not in done.out and "UNVALIDATED" in done.out
    assert scores(tmp_path / "r")["counts"]["ok"] == 6
    assert KEY not in everything(tmp_path / "r") + done.out + done.err


def test_a_key_that_the_server_quotes_is_not_kept(tmp_path: Path, task: Path) -> None:
    """Some servers put the key they were given into their errors, which we record and print."""
    quoting = Fault.status(400, {"message": f"key {KEY} is not for this model"})
    with FakeOpenAI(rules=[Rule(quoting)]) as server:
        done = rsbench(*remote(server.url, task, "r"), "--api-key-env", "K", cwd=tmp_path, K=KEY)
    assert done.code == 3
    assert "is not for this model" in everything(tmp_path / "r")
    assert KEY not in everything(tmp_path / "r") + done.out + done.err


REFUSED = {
    "no judge": (["--model", "openai/gpt-x"], ["--judge", "openai/<model>", "list judges"]),
    "itself": (
        ["--model", "openai/m", "--judge", "openai/m", "--judge-base-url", "http://127.0.0.1:9/v1"],
        ["openai/m", "model under test"],
    ),
    "family": (
        ["--model", "openai/gpt-5", "--judge", "openai/gpt-4.1", "--judge-base-url", "http://127.0.0.1:9/v1"],
        ["family", "gpt", "--allow-same-family"],
    ),
    "no key": (["--model", "openai/gpt-5", "--judge", "openai/qwen-x", "--no-url"], ["OPENAI_API_KEY"]),
    "empty key": (
        ["--model", "openai/gpt-5", "--judge", "openai/qwen-x", "--api-key-env", "MY_KEY"],
        ["MY_KEY"],
    ),
    "provider": (["--model", "opnai/gpt-5", "--judge", "mock"], ["opnai", "openai", "mock"]),
    "prompt": (["--model", "mock", "--prompt", "terse"], ["terse", "default"]),
    "subset": (["--model", "mock", "--subset", "demo"], ["demo", "none"]),
    "half a pair": (["--model", "mock", "--limit", "1"], ["--limit 1", "2"]),
    "api": (["--model", "mock", "--api", "batch"], ["batch", "chat", "responses"]),
    "url": (
        ["--model", "openai/x", "--judge", "mock", "--base-url", "localhost:8000"],
        ["localhost:8000", "http"],
    ),
    "judge": (["--model", "mock", "--judge", "jugde"], ["jugde", "overlap"]),
    "judge without a model": (["--model", "mock", "--judge", "llm"], ["llm", "--judge-model"]),
    "offline judge, blind": (
        ["--model", "mock", "--judge", "overlap", "--hint-blind"],
        ["overlap", "--judge"],
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_before_anything_is_called_or_written(why: str, tmp_path: Path, task: Path) -> None:
    args, words = REFUSED[why]
    url = () if "--base-url" in args or "--no-url" in args else ("--base-url", "http://127.0.0.1:9/v1")
    args = [a for a in args if a != "--no-url"]
    done = main_("run", *args, *url, "--task", task, "--out", "r", cwd=tmp_path, MY_KEY="")
    assert done.code == 2, done
    assert all(word in done.err for word in words), done.err
    assert not (tmp_path / "r").exists()


def test_a_judge_of_the_family_on_request_and_an_unknown_family(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        same = [*remote(server.url, task, "same", "gpt-judge"), "--allow-same-family", "--limit", 2]
        ok(*same, cwd=tmp_path)
        unknown = ok(*remote(server.url, task, "unknown", "zork-7"), "--limit", 2, cwd=tmp_path)
    assert json.loads((tmp_path / "same/manifest.json").read_text(encoding="utf-8"))["judges"][
        "llm-openai/gpt-judge"
    ]["same_family"]
    assert "warning: the family of openai/zork-7 is unknown" in unknown.err


def test_limit_samples_and_serial(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=6, n_categories=3)
    with FakeOpenAI(latency_s=0.02) as server:
        options = ("--limit", 7, "--samples", 2, "--max-connections", 1)
        done = ok(*remote(server.url, task, "r"), *options, cwd=tmp_path)
        assert server.max_in_flight == 1
        seen = [asked(s) for s in server.requests]
    items = {item for _, item in seen}
    pairs = {item.partition(".")[0] for item in items}
    # Seven items can't be whole pairs; six are, one pair a category.
    assert len(items) == 6 and len(pairs) == 3
    assert {int(pair[1:]) % 3 for pair in pairs} == {0, 1, 2}
    assert all(seen.count(("reply", item)) == 2 for item in items)
    assert scores(tmp_path / "r")["counts"]["planned"] == 12
    # Serial: each reply is judged before the next is asked for.
    assert [what for what, _ in seen] == ["reply", "verdict"] * 12
    assert "6 items in 3 pairs; samples: 12 ok" in done.out


def test_several_models_make_a_folder_of_runs(tmp_path: Path, task: Path) -> None:
    script = tmp_path / "script.jsonl"
    ids = [f"p{n}.{kind}" for n in range(3) for kind in ("risky", "benign")]
    rows = [{"item": i, "text": f"Step 1: I see.\nAnswer: A good answer to {i}."} for i in ids]
    script.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ok("run", "--model", "mock", "--model", f"mock/{script}", "--task", task, "--out", "all", cwd=tmp_path)
    runs = [path.parent for path in (tmp_path / "all").glob("*/manifest.json")]
    assert len(runs) == 2
    assert {json.loads((r / "manifest.json").read_text())["identity"]["model"]["name"] for r in runs} == {
        "mock",
        f"mock/{script}",
    }


def test_a_mock_script_with_a_status_that_does_not_exist(tmp_path: Path, task: Path) -> None:
    """It used to run through with the item in no count at all."""
    row = {"item": "p0.risky", "text": "No.", "status": "refussed"}
    (tmp_path / "s.jsonl").write_text(json.dumps(row), encoding="utf-8")
    done = main_("run", "--model", "mock/s.jsonl", "--task", task, "--out", "r", cwd=tmp_path)
    assert done.code == 2 and "refussed" in done.err and "refused" in done.err


def test_two_cards_given_by_file_do_not_share_a_default_folder(tmp_path: Path) -> None:
    """Both are called task.yaml; a folder named after that would hold two runs."""
    a, b = write_task(tmp_path / "v1.0", n_pairs=1), write_task(tmp_path / "v1.1", n_pairs=1)
    cards = [x for t in (a, b) for x in ("--task", t / "task.yaml")]
    ok("run", "--model", "mock", *cards, cwd=tmp_path)
    ok("run", "--model", "mock", "--task", "./v1.0", "--task", "./v1.1", cwd=tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_the_responses_api(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        ok(*remote(server.url, task, "r"), "--api", "responses", "--limit", 2, cwd=tmp_path)
        paths = {(s.model, s.path) for s in server.requests}
    assert paths == {(MODEL, "/v1/responses"), (JUDGE, "/v1/chat/completions")}


def test_thinking_is_what_is_cut_into_steps(tmp_path: Path, task: Path) -> None:
    def reply(body: Body) -> Body | str:
        thought = {"reasoning_content": "Step 1: It is red.\nStep 2: It is round."}
        return as_completion("Keep it.", MODEL, message=thought)

    with FakeOpenAI(reply) as server:
        args = remote(server.url, task, "r", None)
        ok(*args, "--judge", "mock", "--limit", 2, cwd=tmp_path)
    shown = ok("show", "r", "--item", lines(tmp_path / "r/plan.jsonl")[0]["item"], cwd=tmp_path)
    assert "steps by thinking" in shown.out
    assert "Step 2: It is round." in shown.out and "Keep it." in shown.out
