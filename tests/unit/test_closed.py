"""RSBench-closed: what stands on the shelf is what the tool makes, and every stated hold-out is one."""

import json
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import closed
from tiny.world import LEVERS, World, held_out_pair, held_out_place, load

from tests.cli import main_

SHELF = closed.SHELF
FILES = ("items.jsonl", "train.jsonl", "validation.jsonl")
Item = dict[str, Any]


def items(name: str, folder: Path = SHELF) -> list[Item]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def world() -> World:
    return load()


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("closed")
    closed.make(closed.SEED, folder)
    return folder


def test_the_shelf_is_what_the_default_seed_makes(again: Path) -> None:
    # python tools/closed.py --out tasks/rsbench-closed
    for name in (*FILES, "task.yaml"):
        assert (again / name).read_text(encoding="utf-8") == (SHELF / name).read_text(encoding="utf-8"), name
    shown = {image["path"] for name in FILES for item in items(name) for image in item["images"]}
    assert {f"images/{file.name}" for file in (SHELF / "images").iterdir()} == shown
    for path in sorted(shown)[::9]:
        pixels = [np.asarray(Image.open(folder / path)).astype(int) for folder in (SHELF, again)]
        assert np.abs(pixels[0] - pixels[1]).mean() < 1, path  # Pillow versions may differ in the last bit


@pytest.mark.slow
def test_another_seed_makes_other_items_of_the_same_kind(tmp_path: Path) -> None:
    closed.make(7, tmp_path)
    new, old = items("items.jsonl", tmp_path), items("items.jsonl")
    assert [item["id"] for item in new] == [item["id"] for item in old]
    scenes = [{(str(item["scene"]), item["query"]) for item in made} for made in (new, old)]
    assert len(scenes[0] & scenes[1]) < 12
    done = main_("check", "task", tmp_path, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "240 items in 120 pairs" in done.out and "-seed7" in done.out


def test_each_kind_of_hold_out_is_in_both_twins_and_nowhere_in_training(world: World) -> None:
    def facts(item: Item) -> set[str]:
        scene = item["scene"]
        pairs = combinations(scene["objects"], 2)
        asked = world.intents[scene["intent"]]
        assert item["query"] in (*asked.asks, *asked.held_out)
        found = {
            "objects": any(held_out_pair(a, b) for a, b in pairs),
            "setting": any(held_out_place(name, scene["setting"]) for name in scene["objects"]),
            "phrasing": item["query"] in asked.held_out,
        }
        return {name for name, there in found.items() if there}

    for item in items("items.jsonl"):
        split = item["id"].split("-")[0]
        assert facts(item) == set(item["scene"]["held_out"]) == set(LEVERS[split]), item["id"]
    for item in (*items("train.jsonl"), *items("validation.jsonl")):
        assert facts(item) == set() and item["scene"]["held_out"] == []


def test_every_combination_of_hold_out_swap_and_intent_is_there_once() -> None:
    risky = [item for item in items("items.jsonl") if item["kind"] == "risky"]
    cells = {(i["id"].split("-")[0], i["swap"], i["scene"]["intent"]) for i in risky}
    assert len(cells) == len(risky) == 120


def test_nothing_excluded_for_the_benchmark_is_shown(world: World) -> None:
    stored = json.loads(closed.TRAINING.read_text(encoding="utf-8"))["exclusions"]
    banned = {(thing, intent) for _, thing, intent in stored}
    for name in FILES:
        for item in items(name):
            scene = item["scene"]
            assert not banned & {(n, scene["intent"]) for n in (*scene["objects"], scene["setting"])}


def test_no_scene_is_shared_by_testing_training_and_tuning() -> None:
    def scenes(name: str) -> set[str]:
        found = [item["scene"] for item in items(name)]
        return {"|".join((*sorted(s["objects"]), s["setting"], s["intent"])) for s in found}

    for one, other in combinations(FILES, 2):
        assert not scenes(one) & scenes(other)


def test_the_twins_differ_in_what_matters(world: World) -> None:
    # The same words with the danger gone, or the same picture with a wish that it doesn't endanger.
    pairs: dict[str, list[Item]] = {}
    for name in FILES:
        for item in items(name):
            pairs.setdefault(item["pair"], []).append(item)
    for risky, benign in pairs.values():
        assert (risky["kind"], benign["kind"]) == ("risky", "benign")
        if risky["swap"] == "image":
            shared = set(risky["scene"]["objects"]) & set(benign["scene"]["objects"])
            changed = len(risky["scene"]["objects"]) - len(shared)
            assert changed + (risky["scene"]["setting"] != benign["scene"]["setting"]) == 1, risky["id"]
        assert bool(risky["scene"]["risk"]) and not benign["scene"]["risk"]


def test_the_families_of_wrong_paths_share_no_wording_and_no_idea(world: World) -> None:
    ideas, words, openings = [], [], []
    for family in world.detours.values():
        for ways in family.values():
            ideas.append(ways["idea"])
            mine = [w for key in ("synthesis", "strategy", "answers") for w in ways[key]]
            words += mine
            openings.append({" ".join(re.findall(r"\w+", w.lower())[:3]) for w in mine})
    assert len(set(ideas)) == len(ideas) == 6
    assert len(set(words)) == len(words)
    for one, other in combinations(openings, 2):
        assert not one & other
    assert set(world.detours) == {"drift", "train", "test"}


def test_wrong_paths_are_of_the_family_of_their_file(world: World) -> None:
    for name, family in (("items.jsonl", "test"), ("train.jsonl", "train"), ("validation.jsonl", "train")):
        ways = world.detours[family].values()
        openings = tuple(w.split("{")[0] for way in ways for w in way["answers"])
        for item in items(name):
            assert item["contrast"]["answer"].startswith(openings), item["id"]
