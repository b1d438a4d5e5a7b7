"""A panel from the command line: every vote kept, the majority scored, agreement and cost published."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli import MODEL, asked, lines, main_, ok, remote, scores, usual, write_task
from tests.servers import Body, FakeOpenAI, Fault

JUDGES = ("qwen-a", "glm-b", "kimi-c")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path / "t")


def panel(folder: Path, *judges: str, arbiter: str | None = None) -> Path:
    card: dict[str, Any] = {"schema": 1, "kind": "panel", "name": "three", "description": "For tests."}
    card["judges"] = [{"judge": "llm", "model": f"openai/{judge}"} for judge in judges]
    if arbiter:
        card["arbiter"] = {"judge": "llm", "model": f"openai/{arbiter}"}
    path = folder / "three.yaml"
    path.write_text(json.dumps(card), encoding="utf-8")
    return path


def run(task: Path, url: str, judge: object, *more: object) -> list[object]:
    return [*remote(url, task, "r", None), "--judge", judge, "--judge-base-url", url, *more]


def says(**by_judge: str) -> Any:
    """A server on which each judge gives all steps and answers one safety, and all else alike."""

    def reply(body: Body) -> Body | str | Fault:
        text, safety = usual(body), by_judge.get(str(body["model"]).replace("-", "_"))
        if safety is None:
            return text
        verdict = json.loads(text)
        for place in (*verdict["steps"], verdict["answer"]):
            place |= {"safety": safety, "effectiveness": "effective"}
        verdict["risk_identified"] = False
        return json.dumps(verdict)

    return reply


def test_the_majority_is_scored_and_every_vote_is_kept(tmp_path: Path, task: Path) -> None:
    reply = says(qwen_a="unsafe", glm_b="unsafe", kimi_c="safe")
    with FakeOpenAI(reply) as server:
        done = ok(*run(task, server.url, panel(tmp_path, *JUDGES)), cwd=tmp_path)
        count = len(server.requests)
        ok(*run(task, server.url, panel(tmp_path, *JUDGES)), cwd=tmp_path)
        assert len(server.requests) == count == 6 + 3 * 6, "no vote is asked for twice"
    records = lines(tmp_path / "r/verdicts.jsonl")
    assert {r["judge"] for r in records} == {"three", *(f"llm-openai/{judge}" for judge in JUDGES)}
    assert len(records) == 4 * 6 and {r["status"] for r in records} == {"ok"}
    last = [r for r in records if r["judge"] == "three"]
    assert {s["safety"] for r in last for s in r["steps"]} == {"unsafe"}
    assert scores(tmp_path / "r")["estimands"]["system"]["safe_answer"]["value"] == 0
    assert "Krippendorff's alpha" in done.out and "step safety -" in done.out


def test_agreement_and_cost_stand_in_the_scores_and_can_be_computed_again(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI(says(qwen_a="unsafe", glm_b="unsafe", kimi_c="safe")) as server:
        ok(*run(task, server.url, panel(tmp_path, *JUDGES)), cwd=tmp_path)
    (path,) = (tmp_path / "r/scores").iterdir()
    before = path.read_bytes()
    votes = json.loads(before)["votes"]
    assert set(votes["voters"]) == {f"llm-openai/{judge}" for judge in JUDGES}
    for voter in votes["voters"].values():
        assert (voter["verdicts"], voter["calls"], voter["cost_usd"]) == ({"ok": 6}, 6, None)
        assert voter["input_tokens"] > 0
    # Two unsafe and one safe at each of n places. Observed disagreement: 2 of the 3 pairs. Expected: of all
    # pairs of 3n ballots, 2n · n of (3n)(3n - 1) / 2 differ, that is 4n / 3(3n - 1).
    n = votes["alpha"]["answer_safety"]["places"]
    assert n == 6
    assert votes["alpha"]["refusal"]["value"] is None, "one label throughout: nothing beyond chance"
    assert votes["alpha"]["answer_safety"]["value"] == pytest.approx(
        1 - (2 / 3) * (3 * n - 1) / (4 * n / 3), abs=1e-6
    )
    path.unlink()
    ok("score", "r", cwd=tmp_path)
    assert path.read_bytes() == before


def test_a_vote_given_alone_counts_in_a_panel_and_a_failed_one_is_mended_alone(
    tmp_path: Path, task: Path
) -> None:
    down = True

    def reply(body: Body) -> Body | str | Fault:
        return Fault.status(500) if down and body["model"] == "kimi-c" else usual(body)

    with FakeOpenAI(reply) as server:
        ok(*remote(server.url, task, "r", "qwen-a"), cwd=tmp_path)
        count = len(server.requests)
        again = ("judge", "r", "--judge", panel(tmp_path, *JUDGES), "--judge-base-url", server.url)
        broken = main_(*again, "--max-attempts", 1, cwd=tmp_path)
        assert broken.code == 3 and "INCOMPLETE" in broken.err
        assert "qwen-a" not in {s.model for s in server.requests[count:]}
        records = [r for r in lines(tmp_path / "r/verdicts.jsonl") if r["judge"] == "three"]
        assert {r["status"] for r in records} == {"error"} and "llm-openai/kimi-c: " in records[0]["error"]
        count, down = len(server.requests), False
        ok(*again, cwd=tmp_path)
        assert {s.model for s in server.requests[count:]} == {"kimi-c"}


def test_the_arbiter_is_asked_where_votes_tie_and_nowhere_else(tmp_path: Path, task: Path) -> None:
    card = panel(tmp_path, "qwen-a", "glm-b", arbiter="kimi-c")
    with FakeOpenAI(says(qwen_a="unsafe", glm_b="safe", kimi_c="unsafe")) as server:
        ok(*run(task, server.url, card), cwd=tmp_path)
        assert sum(s.model == "kimi-c" for s in server.requests) == 6
    last = [r for r in lines(tmp_path / "r/verdicts.jsonl") if r["judge"] == "three"]
    assert {s["safety"] for r in last for s in r["steps"]} == {"unsafe"}
    assert scores(tmp_path / "r")["votes"]["voters"]["llm-openai/kimi-c"]["arbiter"] is True
    with FakeOpenAI(says(qwen_a="safe", glm_b="safe")) as server:
        same = [*remote(server.url, task, "s", None), "--judge", card, "--judge-base-url", server.url]
        ok(*same, cwd=tmp_path)
        assert not any(s.model == "kimi-c" for s in server.requests)


def test_a_list_of_judges_is_a_panel(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        ok(*run(task, server.url, "openai/qwen-a, openai/glm-b,overlap"), cwd=tmp_path)
    names = {r["judge"] for r in lines(tmp_path / "r/verdicts.jsonl")}
    assert names == {
        "panel-openai/qwen-a+openai/glm-b+overlap", "llm-openai/qwen-a", "llm-openai/glm-b", "overlap"
    }  # fmt: skip
    assert len(scores(tmp_path / "r")["votes"]["voters"]) == 3


@pytest.mark.parametrize(
    ("judges", "words"),
    [
        ((MODEL, "qwen-a"), "is the model under test"),
        (("gpt-4.1", "qwen-a"), "own family (gpt)"),
        (("qwen-a", "qwen-a"), "sits in this panel twice"),
    ],
)
def test_who_may_not_sit_in_a_panel(tmp_path: Path, task: Path, judges: tuple[str, ...], words: str) -> None:
    with FakeOpenAI() as server:
        done = main_(*run(task, server.url, panel(tmp_path, *judges)), cwd=tmp_path)
        assert done.code == 2 and words in " ".join(done.err.split())
        assert server.requests == [], "before anything is paid for"
        if "family" in words:
            ok(*run(task, server.url, panel(tmp_path, *judges), "--allow-same-family"), cwd=tmp_path)


def test_a_panel_of_one_family_warns(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        done = ok(*run(task, server.url, "openai/qwen-a,openai/qwen-b"), cwd=tmp_path)
    assert "one family (qwen)" in done.err


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ("openai/a,,b", "is a list such as"),
        ("llm,overlap", "needs --judge-model"),
        ("overlap,./three.yaml", "is a panel itself"),
    ],
)
def test_lists_that_are_no_panel(tmp_path: Path, task: Path, judge: str, words: str) -> None:
    panel(tmp_path, "qwen-a", "glm-b")
    done = main_("run", "--model", "mock", "--task", task, "--judge", judge, cwd=tmp_path)
    assert done.code == 2 and words in done.err


def test_the_forecast_counts_every_member_and_the_arbiter_at_most(tmp_path: Path, task: Path) -> None:
    card = panel(tmp_path, "qwen-a", "glm-b", arbiter="kimi-c")
    with FakeOpenAI() as server:
        done = ok(*run(task, server.url, card, "--dry-run"), cwd=tmp_path)
        assert server.requests == []
    planned = dict(line.strip().split(": ", 1) for line in done.out.splitlines() if " calls, " in line)
    calls = {name: int(text.split()[0]) for name, text in planned.items()}
    assert calls["llm-openai/qwen-a"] == calls["llm-openai/glm-b"] == 6 and calls["llm-openai/kimi-c"] == 0
    assert calls["together"] == 18 and calls["at most"] == 6 + 3 * 6 * 3


def test_where_safety_hangs_on_the_reading_is_counted(tmp_path: Path, task: Path) -> None:
    def reply(body: Body) -> str:
        lenient = "only what clearly" in str(body["messages"])
        return str(says(qwen_a="safe" if lenient else "unsafe")(body))

    with FakeOpenAI(reply) as server:
        done = ok(*run(task, server.url, "llm-pair", "--judge-model", "openai/qwen-a"), cwd=tmp_path)
    found = scores(tmp_path / "r")
    marks = found["votes"]["verdicts"]
    assert marks["boundary_steps"] == marks["steps"] > 0 and marks["boundary_answers"] == 6
    assert found["estimands"]["system"]["safe_answer"]["value"] == 0, "the strict reading counts"
    assert "hangs on how strictly" in done.out


def test_a_panel_with_a_scripted_judge_is_no_measurement(tmp_path: Path, task: Path) -> None:
    with FakeOpenAI() as server:
        done = ok(*run(task, server.url, "openai/qwen-a,mock"), cwd=tmp_path)
    assert "MOCK" in done.out
    refused = main_("leaderboard", "add", "r", cwd=tmp_path)
    assert refused.code == 2 and "mock" in refused.err


def test_a_panels_card_is_checked_with_those_of_its_judges(tmp_path: Path) -> None:
    path = panel(tmp_path, "qwen-a", "glm-b")
    assert "kind panel" in ok("check", "judge", path, cwd=tmp_path).out
    path.write_text(path.read_text().replace('"llm"', '"nobody"', 1))
    done = main_("check", "judge", path, cwd=tmp_path)
    assert done.code == 2 and "No 'nobody' on the shelf 'judges'" in done.err


def test_votes_of_one_judge_are_kept_and_their_agreement_too(tmp_path: Path, task: Path) -> None:
    folder = tmp_path / "five"
    folder.mkdir()
    (folder / "rubric.jinja").write_text(
        "safety, evidence {{ steps | join(' ') }} {{ request }} {{ answer }}"
    )
    card = {"schema": 1, "kind": "llm", "name": "five", "description": "For tests.", "rubric": "rubric.jinja"}
    (folder / "judge.yaml").write_text(json.dumps(card | {"votes": 5, "temperature": 1.0}))
    number = 0

    def reply(body: Body) -> str:
        nonlocal number
        number += 1
        return says(qwen_a="safe" if number % 2 else "unsafe")(body)

    judge = ("--judge-model", "openai/qwen-a", "--max-connections", 1)
    with FakeOpenAI(reply) as server:
        ok(*run(task, server.url, folder, *judge), cwd=tmp_path)
        assert sum(asked(s)[0] == "reply" and s.model == MODEL for s in server.requests) == 6
        assert sum(s.model == "qwen-a" for s in server.requests) == 30
    records = lines(tmp_path / "r/verdicts.jsonl")
    assert sorted({r["vote"] for r in records}) == [0, 1, 2, 3, 4, 5] and len(records) == 36
    votes = scores(tmp_path / "r")["votes"]
    mixed = {"schema": 1, "kind": "panel", "name": "mixed", "description": "For tests."}
    mixed |= {"judges": [{"judge": "./five", "model": "openai/qwen-a"}, {"judge": "overlap"}]}
    (tmp_path / "mixed.yaml").write_text(json.dumps(mixed))
    with FakeOpenAI(reply) as server:
        ok("judge", "r", "--judge", "./mixed.yaml", "--judge-base-url", server.url, cwd=tmp_path)
        # Another server is another judge: its votes are asked for, and all five are in its cost.
        assert len(server.requests) == 30
    found = json.loads((tmp_path / "r/scores/mixed.json").read_text())["votes"]["voters"]
    assert found["five-openai/qwen-a"]["calls"] == 30 and found["five-openai/qwen-a"]["input_tokens"] > 0
    assert found["five-openai/qwen-a"]["verdicts"] == {"ok": 6} and (
        found["overlap"]["calls"],
        found["overlap"]["cost_usd"],
    ) == (0, 0.0)
    assert len(votes["voters"]) == 5 and votes["alpha"]["step_safety"]["value"] < 0.2


def test_two_judges_of_one_name_are_refused(tmp_path: Path, task: Path) -> None:
    """Both would be booked at one price, and shown as one voter."""
    members, here = [], {"schema": 1, "backend": "openai", "base_url": "http://127.0.0.1:9/v1"}
    for name in JUDGES[:2]:
        (tmp_path / f"{name}.yaml").write_text(json.dumps({**here, "name": "mine", "model": name}))
        members.append({"judge": "llm", "model": f"./{name}.yaml"})
    card = {"schema": 1, "kind": "panel", "name": "two", "description": "For tests.", "judges": members}
    (tmp_path / "two.yaml").write_text(json.dumps(card))
    run_ = ("run", "--model", "mock", "--task", task, "--out", "r")
    done = main_(*run_, "--judge", "./two.yaml", cwd=tmp_path)
    assert done.code == 2 and "two judges of this panel are called llm-mine" in done.err
    assert not (tmp_path / "r").exists()
