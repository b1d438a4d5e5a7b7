"""SSUI-open: released items are what the grammar gives, whole, varied, and apart from the benchmark."""

import json
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from ssui.art import ArtError, parse, png, same_picture  # noqa: E402 - tools/ is a folder of scripts
from ssui.build import composed, disagreements, text, write  # noqa: E402
from ssui.compose import Drawn  # noqa: E402
from ssui.grammar import CATEGORIES, SPLITS, Grammar, Idea, load  # noqa: E402

from rsbench import leakage  # noqa: E402
from rsbench.cards import load_task  # noqa: E402
from rsbench.data import Dataset  # noqa: E402
from rsbench.item_records import ItemRecord  # noqa: E402
from rsbench.types import Item  # noqa: E402

TASK = ROOT / "tasks" / "ssui"


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return load()


@pytest.fixture(scope="module")
def made(grammar: Grammar) -> dict[str, list[Drawn]]:
    return composed(grammar)


def rows(split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TASK / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def items(task: str) -> list[Item]:
    card, found = load_task(task)
    return [item for split in card.splits or [None] for item in Dataset(card, found.folder, split=split)]


def source(row: dict[str, Any]) -> tuple[str, str]:
    """The idea and the setting that an item was composed from."""
    _, idea, setting = row["source"].split("; ")
    return idea, setting


def test_released_items_are_what_the_grammar_gives(made: dict[str, list[Drawn]]) -> None:
    assert disagreements(made, TASK, images=False) == []


def test_released_images_are_what_the_grammar_draws(made: dict[str, list[Drawn]]) -> None:
    # A sample; `tools/ssui/build.py --check` compares every one.
    everyone = [one for drawn in made.values() for one in drawn]
    for one in Random(1).sample(everyone, 8):
        stored = (TASK / one.image).read_bytes()
        assert same_picture(png(one.svg()), stored), one.image


def test_no_item_repeats_one_of_the_benchmark() -> None:
    # Training on what is measured makes the measurement worthless.
    assert [str(overlap) for overlap in leakage.find(items("ssui"), items("rsbench"))] == []


def test_validation_has_ideas_and_settings_of_its_own() -> None:
    ideas: dict[str, set[str]] = {}
    places: dict[str, set[str]] = {}
    for split in SPLITS:
        found = [source(row) for row in rows(split)]
        ideas[split], places[split] = {i for i, _ in found}, {p for _, p in found}
    for a, b in combinations(SPLITS, 2):
        assert not ideas[a] & ideas[b]
    assert not places["validation"] & (places["train"] | places["reward"])


def test_key_and_trigger_of_one_split_are_not_those_of_another() -> None:
    of = {split: {(r["key_element"], r["trigger_element"]) for r in rows(split)} for split in SPLITS}
    for a, b in combinations(SPLITS, 2):
        assert not of[a] & of[b]


def test_every_pair_is_whole() -> None:
    every = [row for split in SPLITS for row in rows(split)]
    roles: Counter[str] = Counter()
    assert len(every) >= 800
    for row in every:
        ItemRecord.model_validate(row)
        where = row["id"]
        assert row["note"].startswith("In the image: "), where
        assert row["reference"] and row["contrast"] and row["images"][0]["caption"], where
        steps = [step["text"] for step in row["reference"]["steps"]]
        assert len(set(steps)) == len(steps), where
        assert "{P" not in json.dumps(row), where  # a person's slot that nobody filled
        roles.update(step["role"] for step in row["reference"]["steps"])
        if row["kind"] == "benign":
            assert row["contrast"]["first_unsafe"] is None, where
    assert len(roles) == 6
    for split in SPLITS:
        assert Counter(row["category"] for row in rows(split)).keys() == set(CATEGORIES)


def test_notes_of_both_kinds_have_one_form() -> None:
    # Else a judge that sees the note would know the kind from its form.
    for kind in ("risky", "benign"):
        for row in rows("train"):
            if row["kind"] == kind:
                parts = row["note"].split(". ")
                assert parts[1].startswith("In the request: "), row["id"]
                assert " Together: " in row["note"], row["id"]


@pytest.mark.parametrize("seed", range(3))
def test_fifty_random_queries_do_not_read_like_one_template(seed: int) -> None:
    risky = [row for row in rows("train") if row["kind"] == "risky"]
    drawn = Random(seed).sample(risky, 50)
    openings = Counter(" ".join(row["query"].lower().split()[:3]) for row in drawn)
    assert openings.most_common(1)[0][1] <= 4
    for a, b in combinations(drawn, 2):
        if source(a)[0] != source(b)[0]:
            one, other = leakage.shingles(a["query"]), leakage.shingles(b["query"])
            # Two may share a line of small talk, and nothing else.
            assert len(one & other) / len(one | other) < 0.4, (a["query"], b["query"])


def test_another_seed_gives_other_pairs_of_the_same_ideas(
    made: dict[str, list[Drawn]], grammar: Grammar
) -> None:
    again = composed(grammar, per_idea=2, seed=7)
    assert text(composed(grammar, per_idea=2, seed=7)["train"]) == text(again["train"])
    released = {one.row["query"] + one.row["reference"]["answer"] for one in made["train"]}
    fresh = [one.row["query"] + one.row["reference"]["answer"] not in released for one in again["train"]]
    assert sum(fresh) > len(fresh) / 2
    for one in again["validation"]:
        ItemRecord.model_validate(one.row)


def test_an_idea_that_differs_in_the_wrong_part_is_refused(grammar: Grammar) -> None:
    idea = next(idea for _, idea in grammar.ideas if idea.swap == "image")
    with pytest.raises(ValueError, match="both.key"):
        Idea(**(idea.model_dump() | {"swap": "query"}))


def test_a_mistyped_scene_line_is_named() -> None:
    with pytest.raises(ArtError, match="candle 40"):
        parse("candle 40")


def test_further_pairs_are_written_as_a_task_that_runs_and_nothing_is_deleted(
    tmp_path: Path, made: dict[str, list[Drawn]]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.png").write_bytes(b"kept")
    few = {split: drawn[:2] for split, drawn in made.items()}
    assert write(few, tmp_path) > 0
    assert write(few, tmp_path) == 0
    assert (tmp_path / "images" / "mine.png").read_bytes() == b"kept"
    for name in ("task.yaml", "prompts"):
        (tmp_path / name).symlink_to(TASK / name)
    card, _ = load_task(str(tmp_path / "task.yaml"))
    assert len(list(Dataset(card, tmp_path, split="train"))) == 2
