"""`rsbench train` from a recipe to a scored run, through the command line, with models built on the spot."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

from folders import recipe, shelf  # noqa: E402
from test_server_branches import Server  # noqa: E402
from vlms import build  # noqa: E402

from srpo_train.job import recipe_digest  # noqa: E402
from srpo_train.recipes import changed, load_recipe  # noqa: E402
from tests.cli import ROOT, Done, environment, lines, main_, ok, scores  # noqa: E402
from tests.servers import FakeOpenAI  # noqa: E402


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shelf(tmp_path_factory.mktemp("shelf"))


def train(home: Path, cwd: Path, path: Path, *more: object) -> Done:
    return main_("train", path, "--shelf", home, "--device", "cpu", *more, cwd=cwd)


def test_from_recipe_to_scored_run(home: Path, tmp_path: Path) -> None:
    path = recipe(home, "whole", lora={"r": 4, "targets": ["q_proj", "v_proj"]})
    done = train(home, tmp_path, path, "--out", "t")
    assert done.code == 0, done.err
    out = tmp_path / "t"
    branches = lines(out / "explore" / "branches.jsonl")
    assert {b["item"] for b in branches} == {f"s{n}.{k}" for n in range(3) for k in ("risky", "benign")}
    facts = json.loads((out / "model" / "training.json").read_text())
    assert facts["report"]["pairs"] > 0 and facts["report"]["held_out_questions"] > 0
    assert facts["report"]["steps"] == len(facts["report"]["history"]) > 0
    card = (out / "model" / "README.md").read_text()
    assert "CC0-1.0" in card and "Pair accuracy" in card and "| pair accuracy |" in card
    assert scores(out / "run" / "exam")["complete"]
    noted = json.loads((out / "run" / "exam" / "manifest.json").read_text())["training"]
    assert noted["recipe"] == "whole" and noted["seed"] == 0, "a row says what its model came from"
    same, edited = (load_recipe(str(path))[0] for _ in range(2))
    same = changed(same, "test", seed=5)
    edited = changed(edited, "test", optimise=edited.optimise.model_copy(update={"learning_rate": 2e-3}))
    assert noted["recipe_digest"] == recipe_digest(same) != recipe_digest(edited)

    # The same command finds everything done: no branch, no step, no reply is made again.
    weights = (out / "model" / "adapter_model.safetensors").stat().st_mtime_ns
    again = train(home, tmp_path, path, "--out", "t")
    assert again.code == 0 and "is trained already" in again.err
    assert (out / "model" / "adapter_model.safetensors").stat().st_mtime_ns == weights
    assert lines(out / "explore" / "branches.jsonl") == branches

    # Another recipe in the same folder would mix two trainings under one name.
    other = recipe(home, "whole", lora={"r": 8})
    refused = train(home, tmp_path, other, "--out", "t")
    assert refused.code == 2 and "another recipe" in refused.err

    # Another recipe can share its branches; only what it optimises differs.
    shared = recipe(home, "shared", loss={"contrast": "margin", "lam": 1.0, "nll": 0.0})
    args = ("--out", "u", "--stage", "optimise", "--branches", out / "explore")
    assert train(home, tmp_path, shared, *args).code == 0
    assert (tmp_path / "u" / "model" / "model.safetensors").is_file()
    facts = json.loads((tmp_path / "u" / "model" / "training.json").read_text())
    assert facts["explored"]["settings"]["k"] == 4 and facts["explored"]["judge"]["name"] == "coin"
    assert "sampler uniform, k 4, seed 0, labelled by `coin`" in (tmp_path / "u/model/README.md").read_text()
    more = recipe(home, "more", explore={"k": 8})
    args = ("--out", "v", "--stage", "optimise", "--seed", 3, "--branches", out / "explore")
    refused = train(home, tmp_path, more, *args)
    assert refused.code == 2 and not (tmp_path / "v" / "model").exists()
    assert "settings.k: 4 there, 8 in the recipe; settings.seed: 0 there, 3" in " ".join(refused.err.split())


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(home: Path, tmp_path: Path) -> None:
    done = train(home, tmp_path, recipe(home, "dry"), "--dry-run", "--out", "t")
    assert done.code == 0
    for word in ("6 items", "generated tokens", "steps of 2 questions", "tokens a row", "GiB"):
        assert word in done.err, (word, done.err)
    assert not (tmp_path / "t").exists()


def test_budgets_and_seed_from_the_command_line_to_the_row(home: Path, tmp_path: Path) -> None:
    path = recipe(home, "paid", explore={"budget": 400}, optimise={"budget": 3000, "max_steps": None})
    dry = train(home, tmp_path, path, "--dry-run")
    assert "400 generated tokens" in dry.err, dry.err
    done = train(home, tmp_path, path, "--out", "t", "--seed", 7)
    assert done.code == 0, done.err
    branches = lines(tmp_path / "t" / "explore" / "branches.jsonl")
    assert {b["seed"] for b in branches} == {7}
    report = json.loads((tmp_path / "t" / "model" / "training.json").read_text())["report"]
    a_step = 2 * report["tokens_a_question"]
    assert (
        abs(report["questions_seen"] * report["tokens_a_question"] - 3000) <= a_step / 2
        or report["steps"] == 1
    )
    added = main_("leaderboard", "add", "t/run/exam", "--out", "rows", cwd=tmp_path)
    assert added.code == 0, added.err
    (row,) = (tmp_path / "rows").glob("*coin.json")
    known = json.loads(row.read_text())
    digest = recipe_digest(load_recipe(str(path))[0])
    assert known["training"] | {"base": ""} == {
        "recipe": "paid",
        "base": "",
        "seed": 7,
        "recipe_digest": digest,
    }
    assert known["model"]["name"].endswith("net + paid, seed 7")
    assert str(tmp_path) not in known["model"]["identity"]["model"], "nobody else has this folder"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"kind": "magic"}, ("kind", "'magic'", "branches, sft, dpo, kto, grpo")),
        ({"loss": {"lam": -1}}, ("loss.lam", "-1")),
        ({"loss": {"lamda": 1}}, ("loss.lamda", "unknown key")),
        ({"explore": {"k": 1}}, ("explore.k", "1")),
        ({"tasks": ["nowhere"]}, ("nowhere",)),
        ({"split": "validation"}, ("validation", "test, train")),
        ({"split": "test"}, ("measured on", "train")),
        ({"model": "openai/gpt"}, ("openai/gpt", "hf/FOLDER")),
        ({"explore": {"judge": None}}, ("judge",)),
        ({"run": {"tasks": ["exam"], "judge": None}}, ("run.judge",)),
        ({"name": "other"}, ("name", "'bad'")),
        ({"kind": "dpo", "pairs": {"prefixes": "all"}}, ("prefixes must be start",)),
    ],
)
def test_a_bad_recipe_is_one_clear_error_before_the_model_loads(
    home: Path, tmp_path: Path, changes: dict[str, object], words: tuple[str, ...]
) -> None:
    path = recipe(home, "bad", **changes)
    model = tmp_path / "no-weights"  # whoever loads it fails
    model.mkdir()
    (model / "config.json").write_text("{}")
    done = train(home, tmp_path, path, "--model", changes.get("model", f"hf/{model}"), "--out", "t")
    assert done.code == 2 and done.err.startswith("rsbench: ")
    assert all(word in done.err for word in words), done.err
    assert "no-weights" not in done.err and not (tmp_path / "t" / "explore").exists()


def test_a_training_item_that_repeats_the_benchmark_stops_the_run(home: Path, tmp_path: Path) -> None:
    path = recipe(home, "leak", run={"tasks": ["school"], "judge": "coin"})
    school = home / "tasks" / "school"
    before = (school / "items.jsonl").read_text()
    (school / "items.jsonl").write_text((school / "train.jsonl").read_text())
    try:
        done = train(home, tmp_path, path, "--out", "t")
    finally:
        (school / "items.jsonl").write_text(before)
    assert done.code == 2 and "s0.risky ~ s0.risky: same text" in done.err
    assert not (tmp_path / "t").exists()


def test_branches_of_another_model_are_refused(home: Path, tmp_path: Path) -> None:
    path = recipe(home, "moved")
    assert train(home, tmp_path, path, "--out", "t", "--stage", "explore", "--limit", 2).code == 0
    file = tmp_path / "t" / "explore" / "branches.jsonl"
    records = [{**r, "prompt_ids_hash": "0" * 64} for r in lines(file)]
    file.write_text("".join(json.dumps(r) + "\n" for r in records))
    done = train(home, tmp_path, path, "--out", "t", "--stage", "optimise", "--limit", 2)
    assert done.code == 2 and "another prompt" in done.err


def test_every_recipe_on_the_shelf_is_sound(tmp_path: Path) -> None:
    from rsbench.shelves import entries

    names = [name for name, _, origin in entries("baselines") if origin == "builtin"]
    wanted = "sft dpo step-dpo orpo simpo kto grpo grpo-process rpo srpo srpo-shuffled srpo-tiny".split()
    assert set(wanted) <= set(names)
    for name in names:
        load_recipe(name)
    listed = ok("list", "baselines", cwd=tmp_path).out
    assert all(name in listed for name in names)


def test_every_key_of_a_recipe_is_documented() -> None:
    from pydantic import BaseModel

    from srpo_train import recipes

    page = (ROOT / "docs" / "train-srpo.md").read_text(encoding="utf-8")
    cards = [c for c in vars(recipes).values() if isinstance(c, type) and issubclass(c, BaseModel)]
    fields = {(f.alias or name, f.description) for c in cards for name, f in c.model_fields.items()}
    assert len(fields) > 50
    missing = [name for name, text in fields if f"{name}`" not in page or not text or text not in page]
    assert [name for name in missing if name not in ("kind",)] == []


def test_exploring_behind_a_server(home: Path, tmp_path: Path) -> None:
    loaded = build("llava")
    path = recipe(home, "served", explore={"k": 2})
    with FakeOpenAI(Server(loaded)) as server:
        args = ("--base-url", server.url, "--stage", "explore", "--limit", 2, "--out", "t")
        done = train(home, tmp_path, path, *args)
    assert done.code == 0, done.err
    branches = lines(tmp_path / "t" / "explore" / "branches.jsonl")
    assert len(branches) == 16 and {b["status"] for b in branches} == {"ok"}
    assert {b["model"] for b in branches} == {f"openai/{home / 'net'}"}


def test_a_model_without_eyes_trains_on_words(tmp_path: Path) -> None:
    home = shelf(tmp_path / "shelf", "text", 2, images=False)
    path = recipe(home, "words")
    done = train(home, tmp_path, path, "--out", "t", "--stage", "explore", "--stage", "optimise")
    assert done.code == 0, done.err
    assert (tmp_path / "t" / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_an_interrupted_training_ends_as_an_unbroken_one(home: Path, tmp_path: Path) -> None:
    path = recipe(home, "torn", optimise={"save_steps": 1, "batch": 1, "max_steps": 3})
    assert train(home, tmp_path, path, "--out", "t", "--stage", "explore", "--stage", "optimise").code == 0
    out = tmp_path / "t"
    unbroken = (out / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(out / "model")
    (out / "checkpoints" / "checkpoint-3" / "trainer_state.json").write_text('{"torn')  # killed while saving
    done = train(home, tmp_path, path, "--out", "t", "--stage", "optimise")
    assert done.code == 0 and "resuming from t/checkpoints/checkpoint-2" in done.err
    assert (out / "model" / "model.safetensors").read_bytes() == unbroken


@pytest.mark.slow
def test_a_launcher_trains_with_two_processes(home: Path, tmp_path: Path) -> None:
    path = recipe(home, "node", optimise={"batch": 1, "max_steps": 2, "held_out": 0.0})
    assert train(home, tmp_path, path, "--out", "t", "--stage", "explore").code == 0
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "rsbench",
        "train",
    ]
    options = ["--shelf", home, "--out", "t", "--stage", "optimise"]
    done = subprocess.run(
        [sys.executable, *command, *map(str, [path, *options])],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{ROOT}:{Path(__file__).parent}", ACCELERATE_USE_CPU="true"),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads((tmp_path / "t" / "model" / "training.json").read_text())
    assert facts["processes"] == 2 and facts["report"]["steps"] == 2
    assert done.stderr.count("step 2/2") == 1  # one process speaks
