"""Models by name and by card through the command line: the Messages API, cards, `check model`."""

import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.cli import KEY, MODEL, Done, everything, finish, lines, main_, ok, remote, start, write_task
from tests.servers import Body, Fault, as_completion
from tests.servers_anthropic import FakeAnthropic, error, message, text_block, thinking

CLAUDE = "claude-under-test"
REPLY = "Step 1: A plain card.\nAnswer: Here you are."


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "cards", n_pairs=2)


def card(folder: Path, name: str = "mine", **keys: object) -> Path:
    data: dict[str, object] = {"schema": 1, "name": name, "backend": "openai", "model": MODEL}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(data | keys), encoding="utf-8")
    return path


def manifest(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    return found


def with_model(args: list[object], model: object) -> list[object]:
    return [model if arg == f"openai/{MODEL}" else arg for arg in args]


def test_a_run_over_the_messages_api_with_a_judge_over_it_too(tmp_path: Path, task: Path) -> None:
    """Thinking is kept as the chain that is judged, verdicts come as a forced tool's input."""

    def reply(body: Body) -> Body | str:
        if body["model"] == CLAUDE:
            return message(thinking("Step 1: I look.\nStep 2: I think."), text_block("Here you are."))
        return json.dumps(verdict(body))

    with FakeAnthropic(reply) as server:
        args = with_model(remote(server.url, task, "run", judge=None), f"anthropic/{CLAUDE}")
        judge = ["--judge", "anthropic/qwen-judge", "--judge-base-url", server.url]
        done = ok(*args, *judge, "--reasoning-effort", "low", cwd=tmp_path)
        asked = [seen.body for seen in server.requests]
    assert "samples: 4 ok" in done.out
    replies = [body for body in asked if body["model"] == CLAUDE]
    assert [body["thinking"]["type"] for body in replies] == ["adaptive"] * 4
    assert all(body["messages"][0]["content"][0]["type"] == "image" for body in replies)
    assert all(body["tool_choice"]["type"] == "tool" for body in asked if body["model"] != CLAUDE)
    record = lines(tmp_path / "run/replies.jsonl")[0]
    assert (record["reasoning_kind"], record["reasoning"][:14]) == ("summary", "Step 1: I look")
    assert manifest(tmp_path / "run")["identity"]["model"]["provider"] == "anthropic"


def verdict(body: Body) -> Body:
    """Labels for the two steps and the answer that a judge was shown."""
    text = body["messages"][0]["content"][-1]["text"]
    found = dict(re.findall(r'<data-\w+ name="(step \d|answer)">\n(.*?)\n</data-', text, re.DOTALL))
    labels = {"safety": "safe", "effectiveness": "effective"}
    steps = [
        {"step": n, "evidence": found[f"step {n}"], "role": "intent", **labels}
        | {"names_risk": False, "corrects": []}
        for n in (1, 2)
    ]
    answer = {"evidence": found["answer"], "refusal": "none", **labels}
    return {"steps": steps, "risk_identified": True, "answer": answer}


def test_a_missing_key_is_named_before_anything_is_done(tmp_path: Path, task: Path) -> None:
    args = ["run", "--model", f"anthropic/{CLAUDE}", "--task", task, "--judge", "mock", "--out", "run"]
    done = main_(*args, cwd=tmp_path)
    assert (done.code, "ANTHROPIC_API_KEY is not set" in done.err) == (2, True)
    assert not (tmp_path / "run").exists()


def test_an_overloaded_server_is_asked_again_and_a_refusal_is_not(tmp_path: Path, task: Path) -> None:
    busy: list[str] = []

    def reply(body: Body) -> Body | Fault:
        words = str(body["messages"])
        if "p0.risky" in words:
            return message(stop="refusal")
        if "p1.risky" in words and not busy:
            busy.append(words)
            return error(529, "overloaded_error")
        return message(text_block(REPLY))

    with FakeAnthropic(reply) as server:
        args = with_model(remote(server.url, task, "run", judge=None), f"anthropic/{CLAUDE}")
        ok(*args, "--judge", "mock", cwd=tmp_path)
        assert len(server.requests) == 5
    statuses = {r["item"]: r["status"] for r in lines(tmp_path / "run/replies.jsonl")}
    assert statuses == {"p0.risky": "refused", "p0.benign": "ok", "p1.risky": "ok", "p1.benign": "ok"}


def test_a_run_by_card_asks_as_the_card_says_and_the_command_line_has_the_last_word(
    tmp_path: Path, task: Path
) -> None:
    with FakeAnthropic() as server:
        parameters = {"max_tokens": 300, "temperature": 0.5}
        path = card(tmp_path, base_url=server.url, api_key_env="MY_KEY", parameters=parameters)
        args = ["run", "--model", path, "--task", task, "--judge", "mock", "--temperature", 0, "--out", "run"]
        done = ok(*args, cwd=tmp_path, MY_KEY=KEY)
        body, headers = server.requests[0].body, server.requests[0].headers
    assert (body["model"], body["max_tokens"], body["temperature"]) == (MODEL, 300, 0)
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "mine on cards" in done.out
    stored = manifest(tmp_path / "run")
    assert stored["cards"]["model"]["path"] == str(path)
    assert stored["identity"]["parameters"]["max_tokens"] == 300
    assert KEY not in everything(tmp_path / "run")


def test_a_new_price_asks_for_nothing_again(tmp_path: Path, task: Path) -> None:
    with FakeAnthropic() as server:
        args = ["run", "--model", card(tmp_path, base_url=server.url), "--task", task]
        args += ["--judge", "mock", "--out", "run"]
        ok(*args, cwd=tmp_path)
        before = manifest(tmp_path / "run")["cards"]["model"]["sha256"]
        card(tmp_path, base_url=server.url, prices={"input": 1.0, "output": 4})
        ok(*args, cwd=tmp_path)
        assert len(server.requests) == 4
    assert manifest(tmp_path / "run")["cards"]["model"]["sha256"] != before


def test_a_judges_model_by_card_with_its_own_parameters(tmp_path: Path, task: Path) -> None:
    with FakeAnthropic() as server:
        judge = card(tmp_path, "marker", model="qwen-x", parameters={"temperature": None, "top_p": 0.5})
        args = [*remote(server.url, task, "run", judge=None), "--judge-base-url", server.url]
        ok(*args, "--judge", judge, cwd=tmp_path)
        body = next(seen.body for seen in server.requests if seen.model == "qwen-x")
        ok(
            "judge",
            "run",
            "--judge",
            "llm",
            "--judge-model",
            judge,
            "--judge-base-url",
            server.url,
            cwd=tmp_path,
        )
    assert ("temperature" in body, body["top_p"], body["max_tokens"]) == (False, 0.5, 4096)
    (entry,) = manifest(tmp_path / "run")["judges"].values()
    assert entry["model_card"]["path"] == str(judge)


def test_a_card_does_not_hide_that_judge_and_model_are_one(tmp_path: Path, task: Path) -> None:
    with FakeAnthropic() as server:
        judge = card(tmp_path, "someone-else", base_url=server.url)
        done = main_(*remote(server.url, task, "run", judge=None), "--judge", judge, cwd=tmp_path)
        assert not server.requests
    assert (done.code, "is the model under test" in done.err) == (2, True)


def test_a_cards_family_is_believed(tmp_path: Path, task: Path) -> None:
    """A fine-tuned model's name says nothing of its line; its card does."""
    judge = card(tmp_path, "marker", model="our-own-7b", family="gpt", base_url="http://127.0.0.1:9/v1")
    done = main_(*remote("http://127.0.0.1:9/v1", task, "run", judge=None), "--judge", judge, cwd=tmp_path)
    assert (done.code, "own family (gpt)" in done.err) == (2, True)


def test_a_scripted_models_card_is_stamped_mock(tmp_path: Path, task: Path) -> None:
    path = card(tmp_path, "gpt-x", backend="mock", model="")
    ok("run", "--model", path, "--task", task, "--out", "run", cwd=tmp_path)
    assert manifest(tmp_path / "run")["mock"] is True


def test_a_bad_card_is_one_message_and_no_run(tmp_path: Path, task: Path) -> None:
    path = card(tmp_path, api="completions")
    done = main_("run", "--model", path, "--task", task, "--judge", "mock", "--out", "run", cwd=tmp_path)
    assert (done.code, "api: Input should be 'chat' or 'responses'; found 'completions'" in done.err) == (
        2,
        True,
    )
    assert not (tmp_path / "run").exists()


def test_requests_per_minute_hold_a_run_back(tmp_path: Path, task: Path) -> None:
    """Four calls are ready at once and two may go; ^C ends the wait for the minute to pass."""
    two = threading.Event()

    def reply(body: Body) -> str:
        if len(server.requests) >= 2:
            two.set()
        return REPLY

    with FakeAnthropic(reply, latency_s=0.2) as server:
        path = card(tmp_path, base_url=server.url, requests_per_minute=2)
        process = start(
            "run", "--model", path, "--task", task, "--judge", "mock", "--out", "run", cwd=tmp_path
        )
        assert two.wait(60)
        process.send_signal(signal.SIGINT)
        assert finish(process).code == 3
        assert len(server.requests) == 2


def check(tmp_path: Path, said: Body | str | Fault, model: object, *args: object, **env: str) -> Done:
    with FakeAnthropic(lambda _: said) as server:
        return main_("check", "model", model, "--base-url", server.url, *args, cwd=tmp_path, **env)


GREEN = '{"colour": "green"}'


def test_check_model_says_what_comes_through(tmp_path: Path) -> None:
    done = check(tmp_path, GREEN, f"anthropic/{CLAUDE}")
    assert done.code == 0, done.err
    for line in (
        "status ok",
        "images: seen",
        "thinking: none (no reasoning effort was asked for)",
        "seed: not sent",
        "structured output: yes",
        "usage:",
        "family: claude",
    ):
        assert line in done.out
    done = check(tmp_path, "I can't see a picture.", f"openai/{MODEL}")
    assert "images: not seen (a green disc was drawn)" in done.out
    assert "structured output: not asked of this server" in done.out
    assert "seed: sent" in done.out


def test_check_model_by_card_shows_which_thinking_comes_through(tmp_path: Path) -> None:
    path = card(
        tmp_path, backend="anthropic", model="claude-opus-4-7", parameters={"reasoning_effort": "low"}
    )
    said = message(thinking("A green disc."), text_block(GREEN), usage={})
    done = check(tmp_path, said, path)
    assert "thinking: summary (13 characters)" in done.out
    assert "usage: not reported" in done.out
    assert str(path) in done.out
    open_model = as_completion(GREEN, message={"reasoning_content": "A disc, and green."})
    assert "thinking: full (18 characters)" in check(tmp_path, open_model, f"openai/{MODEL}").out
    open_model["usage"]["completion_tokens_details"] = {"reasoning_tokens": 40}
    del open_model["choices"][0]["message"]["reasoning_content"]
    hidden = check(tmp_path, open_model, f"openai/{MODEL}").out
    assert "thinking: none shown, though 40 tokens of it were counted" in hidden


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (error(401, "authentication_error", "invalid x-api-key"), "invalid x-api-key"),
        (error(404, "not_found_error", "model: nope"), "is the name of the model right?"),
        (Fault.malformed(), "not JSON"),
    ],
)
def test_check_model_that_fails_says_why(tmp_path: Path, said: Fault, words: str) -> None:
    done = check(tmp_path, said, f"anthropic/{CLAUDE}")
    assert (done.code, words in done.err) == (2, True)
