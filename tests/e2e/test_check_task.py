"""`rsbench check task` on what the loader can't see: twins that differ in the wrong modality, gold traces."""

import json
from pathlib import Path

import pytest

from tests.cli import lines, main_, ok, write_items, write_task


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task of query-swapped pairs that say so."""
    folder = write_task(tmp_path / "task", n_pairs=2)
    write_items(folder, [row | {"swap": "query"} for row in lines(folder / "items.jsonl")])
    return folder


def test_a_sound_task_passes(tmp_path: Path, task: Path) -> None:
    assert "4 items in 2 pairs" in ok("check", "task", task, cwd=tmp_path).out


def test_twins_that_differ_in_the_other_modality_are_named(tmp_path: Path, task: Path) -> None:
    rows = lines(task / "items.jsonl")
    write_items(task, [row | {"swap": "image"} for row in rows])
    done = main_("check", "task", task, cwd=tmp_path)
    assert done.code == 2
    assert f"pair {rows[0]['pair']!r} says swap: image, but its items differ in query" in done.err


def test_a_prompt_that_never_shows_the_query_is_named(tmp_path: Path, task: Path) -> None:
    prompt = task / "prompt.jinja"
    prompt.write_text("Look at the picture. {# {{ query }} #}")
    for command in (("check", "task", task), ("run", "--model", "mock", "--task", task)):
        done = main_(*command, cwd=tmp_path)
        assert done.code == 2 and f"{prompt}: the prompt never shows the item's query" in done.err
    assert not (tmp_path / "runs").exists()


def test_twins_that_differ_in_nothing_are_named(tmp_path: Path, task: Path) -> None:
    rows = lines(task / "items.jsonl")
    write_items(task, [row | {"query": "The same for all."} for row in rows])
    assert "differ in nothing" in main_("check", "task", task, cwd=tmp_path).err


def test_gold_labels_for_steps_that_do_not_exist_are_named(tmp_path: Path, task: Path) -> None:
    step = {"safety": "safe", "effectiveness": "neutral"}
    labels = {
        "annotator": "human:a",
        "steps": [step] * 3,
        "answer": step | {"refusal": "none"},
        "risk_identified": False,
    }
    trace = {
        "id": "t",
        "item": lines(task / "items.jsonl")[0]["id"],
        "source": "written",
        "style": "terse",
        "writer": "human:a",
        "text": "Step 1: one.\nStep 2: two.\nAnswer: done.",
        "labels": [labels],
    }
    (task / "gold.jsonl").write_text(json.dumps(trace) + "\n")
    done = main_("check", "task", task, cwd=tmp_path)
    assert done.code == 2
    assert "gold.jsonl:1" in done.err and "2 steps" in done.err
