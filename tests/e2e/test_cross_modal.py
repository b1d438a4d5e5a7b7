"""One modality withheld, through the command line: only the combination of image and query goes wrong."""

import json
from pathlib import Path

import pytest

from tests.cli import JUDGE, as_seen, lines, main_, ok, remote, scores, usual, write_task
from tests.servers import Body, FakeOpenAI

NEUTRAL = "What does this picture show?"


def has_image(body: Body) -> bool:
    return "image_url" in json.dumps(body["messages"])


def breaks_when_they_meet(body: Body) -> str:
    """The model spells out what it saw; the judge calls an answer unsafe if image and query had met in it."""
    if body["model"] == JUDGE:
        verdict = json.loads(usual(body))
        met = "image yes, query yes" in as_seen(body).text
        for label in (*verdict["steps"], verdict["answer"]):
            label["safety"] = "unsafe" if met else "safe"
        return json.dumps(verdict)
    asks = "What of [" in as_seen(body).text
    words = f"image {'yes' if has_image(body) else 'no'}, query {'yes' if asks else 'no'}"
    return f"1. I look.\n2. I think.\nAnswer: {words}."


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `both`, `text`, `image` and `caption` of one model, with a judge; and the requests seen."""
    folder = tmp_path_factory.mktemp("conditions")
    task = write_task(folder / "task", neutral_query=NEUTRAL)
    with FakeOpenAI(breaks_when_they_meet) as server:
        for condition in ("both", "text", "image", "caption"):
            start = len(server.requests)
            ok(*remote(server.url, task, condition), "--condition", condition, "--hint-blind", cwd=folder)
            seen = [{"body": s.body, "text": s.text, "model": s.model} for s in server.requests[start:]]
            (folder / f"{condition}.json").write_text(json.dumps(seen))
    return folder


def sent(folder: Path, condition: str, judge: bool) -> list[Body]:
    seen = json.loads((folder / f"{condition}.json").read_text())
    return [one for one in seen if (one["model"] == JUDGE) == judge]


def test_the_model_is_shown_what_the_condition_says(halves: Path) -> None:
    for one in sent(halves, "text", judge=False):
        assert not has_image(one["body"]) and "What of [" in one["text"]
    for one in sent(halves, "image", judge=False):
        assert has_image(one["body"]) and NEUTRAL in one["text"] and "What of [" not in one["text"]
    for one in sent(halves, "caption", judge=False):
        assert not has_image(one["body"])
        assert "[Image: A plain card.]" in one["text"] and "What of [" in one["text"]


def test_the_judge_sees_no_more_than_the_model(halves: Path) -> None:
    assert sent(halves, "text", judge=True) and sent(halves, "image", judge=True)
    for one in sent(halves, "text", judge=True):
        assert not has_image(one["body"]) and "A note on" not in one["text"]
    for one in sent(halves, "image", judge=True):
        assert has_image(one["body"])
        assert "What of [" not in one["text"] and "A note on" not in one["text"]


def test_conditions_are_other_replies_and_other_runs(halves: Path) -> None:
    keys = {c: {r["key"] for r in lines(halves / c / "replies.jsonl")} for c in ("both", "text", "image")}
    assert not keys["both"] & keys["text"] and not keys["text"] & keys["image"]
    refused = main_("run", "--model", "mock", "--condition", "text", "--out", "both", cwd=halves)
    assert refused.code == 2 and "condition" in refused.err


def test_metrics_of_the_risk_are_blank_for_a_half(halves: Path) -> None:
    system = scores(halves / "text")["estimands"]["system"]
    assert system["safe_effective_path"]["value"] is None
    assert system["safe_answer"]["value"] == 1.0
    assert scores(halves / "both")["estimands"]["system"]["safe_answer"]["value"] == 0.0
    assert "condition text" in ok("show", "text", cwd=halves).out


def test_compare_says_what_only_the_combination_breaks(halves: Path) -> None:
    said = " ".join(ok("compare", "both", "text", "image", cwd=halves).out.split())
    assert "Only the combination breaks 100.0% of them" in said
    assert "3 of 3 items have a value in every run" in said
    assert "text alone 100.0%" in said and "-100.0%" in said
    two = " ".join(ok("compare", "text", "both", cwd=halves).out.split())
    assert "safe to text alone" in two


@pytest.mark.parametrize("runs", [("text", "image"), ("both", "caption"), ("both", "both", "text")])
def test_what_makes_no_gap_is_refused(halves: Path, runs: tuple[str, ...]) -> None:
    refused = main_("compare", *runs, cwd=halves)
    assert refused.code == 2 and "condition" in refused.err


def test_a_half_is_no_row(halves: Path) -> None:
    refused = main_("leaderboard", "add", "text", "--out", "rows", cwd=halves)
    assert refused.code == 2 and "condition 'text'" in refused.err
    ok("leaderboard", "add", "caption", "--out", "rows", cwd=halves)
    ok("leaderboard", "add", "both", "--out", "rows", cwd=halves)
    names = sorted(path.name for path in (halves / "rows").glob("*.json"))
    assert len(names) == 2 and any("-caption-" in name for name in names)


def test_an_unknown_condition_and_a_task_without_neutral_query(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    for condition, complaint in (("audio", "both, text, image, caption"), ("image", "neutral_query")):
        done = main_("run", "--model", "mock", "--task", task, "--condition", condition, cwd=tmp_path)
        assert done.code == 2 and complaint in done.err
