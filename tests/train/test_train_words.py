"""A words judge from its recipe to its card, through the command line, on a slice of the closed world."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("transformers")

from rsbench.judge_cards import load_judge  # noqa: E402
from srpo_train.job import said  # noqa: E402
from srpo_train.recipes import Recipe, load_recipe  # noqa: E402
from srpo_train.words_recipe import WordsRecipe  # noqa: E402
from tests.cli import ROOT, main_, ok  # noqa: E402

FILES = ("weights.json", "judge.yaml", "training.json")


def recipe(folder: Path, **more: Any) -> Path:
    """The shelf's recipe, on twenty pairs of which all but the first have scenes of their own."""
    card = yaml.safe_load((ROOT / "baselines" / "words.yaml").read_text(encoding="utf-8"))
    task = folder / "task"
    if not task.exists():
        lines = (ROOT / "tasks/rsbench-closed/validation.jsonl").read_text(encoding="utf-8").splitlines()
        made = [json.loads(line) for line in lines[:40]]
        for item in made[2:]:
            item["scene"]["setting"] = f"another {item['scene']['setting']}"
        task.mkdir()
        (task / "prompts").mkdir()
        (task / "images").mkdir()
        for name in {image["path"] for item in made for image in item["images"]}:
            shutil.copy(ROOT / "tasks/rsbench-closed" / name, task / name)
        (task / "prompts/default.jinja").write_text("{{ query }}", encoding="utf-8")
        for name, some in (("items.jsonl", made[:2]), ("train.jsonl", made)):
            (task / name).write_text("".join(json.dumps(i) + "\n" for i in some), encoding="utf-8")
        facts = yaml.safe_load((ROOT / "tasks/rsbench-closed/task.yaml").read_text(encoding="utf-8"))
        facts |= {"name": "task", "prompts": {"default": "prompts/default.jinja"}, "subsets": {}}
        files = {"test": {"file": "items.jsonl"}, "train": {"file": "train.jsonl", "trains": True}}
        facts |= {"splits": files}
        (task / "task.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    path = folder / "words.yaml"
    path.write_text(yaml.safe_dump(card | {"tasks": ["./task"], "folds": 3} | more), encoding="utf-8")
    return path


@pytest.mark.slow
def test_training_again_gives_the_same_judge(tmp_path: Path) -> None:
    path = recipe(tmp_path)
    for out in ("a", "b"):
        ok("train", path, "--out", out, cwd=tmp_path)
    same = [[(tmp_path / out / "judge" / name).read_bytes() for name in FILES] for out in ("a", "b")]
    assert same[0] == same[1]
    held_out = json.loads(same[0][2])["held_out"]
    assert held_out["items"] == 38 and len(held_out["left_out"]) == 1, (
        "a scene of the benchmark was learnt from"
    )
    assert held_out["safety"]["right"] > held_out["safety"]["commonest"]


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    few = main_("train", recipe(tmp_path, folds=99), "--out", "a", cwd=tmp_path)
    assert few.code == 2 and "folds: 99, but the items have" in few.err
    band = main_("train", recipe(tmp_path, safe_below=0.9), "--dry-run", cwd=tmp_path)
    assert band.code == 2 and "safe_below must not be above" in band.err
    model = main_("train", recipe(tmp_path), "--model", "hf/some/folder", "--dry-run", cwd=tmp_path)
    assert model.code == 2 and "starts from nothing" in model.err


@pytest.mark.slow
def test_the_documented_commands_make_the_bundled_judge(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    import closed

    where = tmp_path / "build" / "closed-12"
    assert closed.main(["--seed", "12", "--detours", "train", "drift", "--out", str(where)]) == 0
    lines = (where / "train.jsonl").read_text(encoding="utf-8").splitlines()
    said = [str(json.loads(line)["contrast"]) for line in lines if '"kind": "risky"' in line]
    turns = ["rule" in text or "sign against" in text for text in said]
    assert turns == [True, False] * (len(said) // 2), "a pair of each family in turn"
    ok("train", "words", cwd=tmp_path)
    for name in ("weights.json", "judge.yaml"):
        made = (tmp_path / "runs/train-words-tiny/judge" / name).read_bytes()
        assert made == (ROOT / "judges/words" / name).read_bytes(), name


def test_every_key_of_the_recipe_is_documented() -> None:
    page = (ROOT / "docs" / "closed-world.md").read_text(encoding="utf-8")
    own = {name: field for name, field in WordsRecipe.model_fields.items() if name not in Recipe.model_fields}
    assert set(own) == {"kind", "penalty", "folds", "safe_below", "unsafe_from", "unknown_above", "seed"}
    for name, field in own.items():
        if name != "kind":
            assert f"| `{name}` |" in page and str(field.description) in page


def test_the_bundled_judge_is_what_the_recipe_says() -> None:
    facts = json.loads((ROOT / "judges" / "words" / "training.json").read_text(encoding="utf-8"))
    found, _ = load_recipe("words")
    mine = found.model_dump(mode="json", by_alias=True, exclude={"run", "description", "model"})
    assert said(facts["identity"]["recipe"]) == said(mine), "train it anew: the recipe has changed"
    card, _ = load_judge("words")
    assert card.kind == "words" and isinstance(found, WordsRecipe)
    assert (card.safe_below, card.unsafe_from) == (found.safe_below, found.unsafe_from)
    assert facts["leakage"].startswith("none of 360 training items")
