"""A mistake in a card is one message with the file, the key, what was found and what is allowed."""

from pathlib import Path

import pytest
import yaml

from rsbench.cards import load_task, read_yaml
from rsbench.judge_cards import LlmJudge, OverlapJudge, load_judge
from rsbench.types import UserError
from tests.unit.tasks import CARD, make_task

JUDGE = {"schema": 1, "kind": "llm", "name": "j", "description": "d", "rubric": "r.jinja"}


def task_error(tmp_path: Path, **card: object) -> str:
    folder = make_task(tmp_path, card=card)
    with pytest.raises(UserError) as caught:
        load_task(str(folder))
    message = str(caught.value)
    assert message.startswith(str(folder / "task.yaml")), "the file comes first"
    assert "pydantic" not in message
    return message


def judge_error(tmp_path: Path, **card: object) -> str:
    path = tmp_path / "judge.yaml"
    path.write_text(yaml.safe_dump(JUDGE | card))
    with pytest.raises(UserError) as caught:
        load_judge(str(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def yaml_error(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "task.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        load_task(str(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"titel": "Small"}, ["titel: unknown key; allowed are categories, ", ", schema, ", ", title, "]),
        (
            {"data": {"fiel": "items.jsonl"}},
            ["data.fiel: unknown key; allowed are config, ", ", file, hub, "],
        ),
        (
            {"splits": {"a": {"fil": "a.jsonl"}}},
            ["splits.a.fil: unknown key; allowed are file, trains", "splits.a.file: missing"],
        ),
        ({"title": None}, ["title: missing, and required"]),
        ({"version": 1.0}, ["version:", "string", "found 1.0"]),
        ({"pairs": "yes"}, ["pairs:", "boolean", "found 'yes'"]),
        ({"name": "Not A Name"}, ["name:", "[a-z0-9]", "found 'Not A Name'"]),
        ({"data": {}}, ["data:", "exactly one of file, images, hub", "none"]),
        ({"data": {"file": "a.jsonl", "hub": "x/y"}}, ["data:", "exactly one", "file, hub"]),
        ({"data": {"hub": "x/y"}}, ["data:", "hub needs revision"]),
        ({"prompts": {"native": "n.jinja"}}, ["prompts needs the key 'default'"]),
        ({"subsets": {"demo": []}}, ["subsets.demo:", "at least 1"]),
        ({"schema": 2}, ["schema 2", "reads up to 1", "upgrade"]),
        ({"schema": "1"}, ["schema:", "found '1'"]),
    ],
)
def test_task_cards(tmp_path: Path, card: dict[str, object], words: list[str]) -> None:
    message = task_error(tmp_path, **card)
    assert [word for word in words if word not in message] == [], message


def test_every_mistake_of_a_card_is_listed_at_once(tmp_path: Path) -> None:
    message = task_error(tmp_path, title=3, licence="CC0-1.0", license=None)
    assert message.count("\n") == 3 and all(k in message for k in ("title", "licence", "license"))


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"kind": "tarot"}, ["kind", "'tarot'", "'llm'", "'oracle'"]),
        ({"kind": "overlap"}, ["min_similarity: missing", "rubric: unknown key"]),
        ({"reasks": 3}, ["reasks", "less than or equal to 2", "found 3"]),
        ({"max_tokens": True}, ["max_tokens", "integer", "found True"]),
        ({"schema": 9}, ["schema 9"]),
    ],
)
def test_judge_cards(tmp_path: Path, card: dict[str, object], words: list[str]) -> None:
    message = judge_error(tmp_path, **card)
    assert [word for word in words if word not in message] == [], message


def test_python_is_named_not_written(tmp_path: Path) -> None:
    message = judge_error(tmp_path, kind="python", rubric="x", python="__import__('os').system('true')")
    assert "python.python:" in message and 'found "__import__' in message


def test_whole_numbers_do_where_fractions_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text(yaml.safe_dump(JUDGE | {"temperature": 0}))
    card, found = load_judge(str(path))
    assert isinstance(card, LlmJudge) and card.temperature == 0 and found.folder == tmp_path
    assert isinstance(load_judge("overlap")[0], OverlapJudge)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: a\nname: b\ntitle: c\n", ["'title' is given twice", "line 3"]),
        ("data:\n  file: a\n  file: b\n", ["'file' is given twice", "line 3"]),
        ("name: !!python/object/apply:os.system ['true']\n", ["python/object", "line 1"]),
        ("name: !!python/name:os.system\n", ["python/name", "line 1"]),
        ("name: !include other.yaml\n", ["!include", "line 1"]),
        ("name: a: b\n", ["line 1"]),
        ("name: 'open\n", ["line"]),
        ("name: x\n\t- y", ["line 2"]),
        (b"name: \xff\n", ["utf-8"]),
        ("? [a, b]\n: c\n", ["key must be a word", "line 1"]),
        ("version: 2024-02-30\n", ["day is out of range"]),
        ("title: " + "[" * 3000, ["not readable as YAML"]),
        ("- a\n- b\n", ["(whole file)", "dictionary"]),
        ("", ["(whole file)", "found None"]),
        ("1: x\n", ["1"]),
    ],
)
def test_files_that_are_no_card(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    message = yaml_error(tmp_path, text)
    assert [word for word in words if word not in message] == [], message


def test_a_few_lines_of_aliases_do_not_unfold(tmp_path: Path) -> None:
    # The "billion laughs": the error message itself, which shows what was found, would never have ended.
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "aliases (*a0) are not allowed (line 2)" in yaml_error(tmp_path, bomb + "title: *a11\n")


def test_a_good_card_is_read_as_written(tmp_path: Path) -> None:
    card, found = load_task(str(make_task(tmp_path)))
    assert card.name == "small" and card.pairs and card.data.file == "items.jsonl"
    assert found.origin == "file" and len(found.sha256) == 64
    assert read_yaml(found.path) == CARD


def test_a_missing_card(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_task(str(tmp_path))
    with pytest.raises(UserError, match="No 'nowhere' on the shelf 'tasks'. Known: .*rsbench.* Looked in"):
        load_task("nowhere")
