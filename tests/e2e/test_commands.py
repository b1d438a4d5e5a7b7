"""The commands around a run as a new user meets them: help, list, new, check; and what mistakes are told."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from rsbench import __version__
from tests.cli import KEY, main_, ok, rsbench, write_items, write_task
from tests.servers import FakeOpenAI, Fault, Rule


def test_help_and_version_as_a_process(tmp_path: Path) -> None:
    assert rsbench("--version", cwd=tmp_path).out.strip() == __version__
    shown = rsbench("--help", cwd=tmp_path)
    assert shown.code == 0
    for command in ("run", "judge", "score", "show", "compare", "list", "check", "new", "validate"):
        assert f" {command} " in shown.out
    wrong = rsbench("run", "--modle", "mock", cwd=tmp_path)
    assert wrong.code == 2 and "--modle" in wrong.err


@pytest.mark.parametrize("name", ["kitchen", "my-task_2.0", "123", "true", "1e5"])
def test_a_new_task_passes_check_and_runs(name: str, tmp_path: Path) -> None:
    """A name such as 123 or true is no string to YAML unless the template quotes it."""
    made = ok("new", "task", name, cwd=tmp_path)
    for command in made.out.splitlines()[1:]:  # what it says to type next, typed
        done = ok(*command.split()[1:], cwd=tmp_path)
    assert "2 items in 1 pairs" in done.out
    images = sorted((tmp_path / "tasks" / name / "images").iterdir())
    assert len(images) == 2
    for image in images:
        with Image.open(image) as opened:
            assert min(opened.size) >= 448
    again = main_("new", "task", name, cwd=tmp_path)
    assert again.code == 2 and "exists already" in again.err


def test_a_new_judge_passes_check_and_judges(tmp_path: Path) -> None:
    ok("new", "judge", "strict", cwd=tmp_path)
    task = write_task(tmp_path / "t", n_pairs=1)
    ok("check", "judge", "./judges/strict", cwd=tmp_path)
    with FakeOpenAI() as server:
        judge = ("--judge", "strict", "--judge-model", "openai/qwen-j", "--judge-base-url", server.url)
        done = ok("run", "--model", "mock", "--task", task, *judge, "--shelf", tmp_path, cwd=tmp_path)
    assert "judge strict-openai/qwen-j" in done.out
    assert "2 ok" in done.out


def test_check_judge_finds_a_rubric_that_would_fail_on_its_first_reply(tmp_path: Path) -> None:
    ok("new", "judge", "strict", cwd=tmp_path)
    rubric = tmp_path / "judges/strict/rubric.jinja"
    rubric.write_text(rubric.read_text(encoding="utf-8") + "{{ stesp }}", encoding="utf-8")
    done = main_("check", "judge", "./judges/strict", cwd=tmp_path)
    assert done.code == 2 and "stesp" in done.err and "steps" in done.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("new", "task", "My Task"), ["My Task", "lower case"]),
        (("new", "task", "../up"), ["../up"]),
        (("new", "recipe", "x"), ["task", "judge"]),
        (("list", "taks"), ["taks", "tasks"]),
        (("check", "task", "nope"), ["nope", "rsbench"]),
        (("check", "task", "./nope"), ["nope", "no such file"]),
        (("show", "nope"), ["nope", "not a run folder"]),
        (("score", "nope"), ["nope", "not a run folder"]),
        (("compare", "nope", "nope"), ["nope", "not a run folder"]),
        (("judge", "nope", "--judge", "mock"), ["nope", "not a run folder"]),
        (
            ("run", "--model", "hf/.", "--judge", "overlap"),
            ["no transformers checkpoint: . holds no config.json"],
        ),
        (("run", "--model", "mok"), ["unknown provider 'mok'", "openai"]),
        (
            ("run", "--model", "hf/./gone", "--judge", "overlap"),
            ["--model hf/./gone: no such folder: ./gone"],
        ),
    ],
)
def test_mistakes_get_one_message_and_leave_nothing_behind(
    args: tuple[str, ...], words: list[str], tmp_path: Path
) -> None:
    done = main_(*args, cwd=tmp_path)
    assert done.code == 2
    assert all(word in done.err for word in words), done.err
    assert list(tmp_path.iterdir()) == []


def test_a_key_where_its_variables_name_belongs_is_not_repeated(tmp_path: Path) -> None:
    card = tmp_path / "m.yaml"
    card.write_text(f"schema: 1\nname: m\nbackend: openai\nmodel: m\napi_key_env: {KEY}\n")
    for model in (("openai/m", "--api-key-env", KEY), (card,)):
        done = main_("run", "--model", *model, "--judge", "overlap", "--dry-run", cwd=tmp_path)
        assert done.code == 2 and "the name of an environment variable" in done.err
        assert KEY not in done.out + done.err


def test_lists(tmp_path: Path) -> None:
    write_task(tmp_path / "mine/tasks/garden", description="About gardens.")
    shown = ok("list", "tasks", "--shelf", "mine", cwd=tmp_path).out
    assert "rsbench" in shown and "garden" in shown and "About gardens." in shown and "mine" in shown
    assert {"llm", "overlap", "mock"} <= set(ok("list", "judges", cwd=tmp_path).out.split())
    assert {"tiny", "openai", "hf", "mock"} <= set(ok("list", "models", cwd=tmp_path).out.split())
    ok("list", "baselines", cwd=tmp_path)


def test_check_model_makes_one_call(tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        done = ok("check", "model", "openai/gpt-x", "--base-url", server.url, cwd=tmp_path)
        assert len(server.requests) == 1
    assert "answered with status ok" in done.out and "family: gpt" in done.out
    with FakeOpenAI(rules=[Rule(Fault.status(401, {"message": "no such key"}))]) as server:
        done = main_("check", "model", "openai/gpt-x", "--base-url", server.url, cwd=tmp_path)
        assert len(server.requests) == 1
    assert done.code == 2 and "no such key" in done.err


BROKEN = {
    "unknown key": ({"jugde": "mock"}, ["task.yaml", "jugde"]),
    "wrong type": ({"pairs": "yes"}, ["task.yaml", "pairs", "'yes'"]),
    "newer schema": ({"schema": 9}, ["task.yaml", "9", "upgrade"]),
    "category": ({"categories": ["other"]}, ["items.jsonl:1", "category-0", "other"]),
    "prompt file": ({"prompts": {"default": "promt.jinja"}}, ["promt.jinja"]),
    "data file": ({"data": {"file": "itmes.jsonl"}}, ["itmes.jsonl"]),
    "outside": ({"data": {"file": "../items.jsonl"}}, ["../items.jsonl", "out of"]),
    "judge": ({"judge": "jugde"}, ["jugde", "overlap"]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_card_stops_check_and_run_alike(what: str, tmp_path: Path) -> None:
    """Nothing is called and no run folder is left, so that the repaired task starts afresh."""
    change, words = BROKEN[what]
    task = write_task(tmp_path / "t", **change)
    with FakeOpenAI() as server:
        args = ("--model", "openai/gpt-x", "--base-url", server.url, "--out", "r")
        judge = () if what == "judge" else ("--judge", "mock")
        model = ("--model", "mock", "--out", "r") if what == "judge" else args
        ran = main_("run", *model, *judge, "--task", task, cwd=tmp_path)
        assert server.requests == []
    assert ran.code == 2 and all(word in ran.err for word in words), ran.err
    assert not (tmp_path / "r").exists()
    checked = main_("check", "task", task, cwd=tmp_path)
    assert checked.code == 2 and all(word in checked.err for word in words), checked.err


def test_a_broken_item_or_image_stops_a_run(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=2)
    good = (task / "items.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in good.splitlines()]
    write_items(task, [*rows[:3], rows[3] | {"kind": "risky"}])
    done = main_("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    assert done.code == 2 and "p1" in done.err and "one benign" in done.err
    (task / "items.jsonl").write_text(good, encoding="utf-8")
    image = task / "images/p1.png"
    image.write_bytes(image.read_bytes()[:-30])
    done = main_("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    assert done.code == 2 and "p1.png" in done.err and "items.jsonl:3" in done.err
    assert not (tmp_path / "r").exists()


def test_items_without_a_reference_and_the_overlap_judge(tmp_path: Path) -> None:
    """Found out after the first reply, it would have cost thirty-two paid calls."""
    task = write_task(tmp_path / "t", n_pairs=2, judge="overlap")
    rows = [json.loads(line) for line in (task / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    write_items(task, [*rows[:3], {k: v for k, v in rows[3].items() if k != "reference"}])
    with FakeOpenAI() as server:
        where = ("--base-url", server.url, "--task", task, "--out", "r")
        done = main_("run", "--model", "openai/gpt-x", "--judge", "overlap", *where, cwd=tmp_path)
        assert server.requests == []
    assert done.code == 2 and "p1.benign" in done.err and "overlap" in done.err
    assert not (tmp_path / "r").exists()


def test_a_copy_of_the_data_can_lie_elsewhere(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", n_pairs=1)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.move(task / "items.jsonl", copy)
    shutil.move(task / "images", copy)
    missing = main_("run", "--model", "mock", "--task", task, "--out", "r", cwd=tmp_path)
    assert missing.code == 2 and "items.jsonl" in missing.err
    ok("run", "--model", "mock", "--task", task, "--data", "copy", "--out", "r", cwd=tmp_path)
    # Judging again from another folder finds the copy by the run's own notes.
    (tmp_path / "sub").mkdir()
    ok("judge", "../r", "--judge", "overlap", cwd=tmp_path / "sub")
