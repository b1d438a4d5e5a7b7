"""The trainer: what moves, what is reduced, what a resume gives; one process and two."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from questions import question  # noqa: E402
from transformers import TrainingArguments  # noqa: E402
from vlms import build, picture  # noqa: E402

from rsbench.models.hf_loading import Loaded  # noqa: E402
from srpo_train.objectives import METRICS, Objective  # noqa: E402
from srpo_train.questions import Question  # noqa: E402
from srpo_train.trainer import SRPOTrainer, add_scoring  # noqa: E402
from tests.cli import environment  # noqa: E402

HERE = Path(__file__).parent
SRPO = Objective(lam=0.5)


def questions(loaded: Loaded, n: int = 4) -> list[Question]:
    return [question(loaded, k, picture(k), 4 + 2 * (k % 3)) for k in range(n)]


def trainer(loaded: Loaded, out: Path, objective: Objective = SRPO, **more: Any) -> SRPOTrainer:
    held_out = more.pop("held_out", None)
    layout = more.pop("layout", "tree")
    n = more.pop("n", 4)
    settings: dict[str, Any] = {
        "output_dir": str(out),
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 2,
        "learning_rate": 1e-3,
        "num_train_epochs": 2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 3,
    }
    args = TrainingArguments(**settings | more)
    pad = loaded.tokenizer.pad_token_id
    return SRPOTrainer(loaded.model, args, objective, questions(loaded, n), held_out, pad, layout)


def fresh(kind: str) -> Loaded:
    loaded = build(kind)
    add_scoring(loaded.model)
    return loaded


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def state(kind: str, out: Path, **more: Any) -> dict[str, torch.Tensor]:
    loaded = fresh(kind)
    trainer(loaded, out, **more).train()
    return weights(loaded.model)


@pytest.mark.parametrize("kind", ["llava", "idefics3", "text"])
def test_every_trainable_weight_moves(kind: str, tmp_path: Path) -> None:
    loaded = fresh(kind)
    before = weights(loaded.model)
    run = trainer(loaded, tmp_path)
    run.train()
    still = {name for name, now in weights(loaded.model).items() if torch.equal(now, before[name])}
    # CLIP's post_layernorm comes after the features that LLaVA takes: the architecture leaves it out.
    assert {name for name in still if "post_layernorm" not in name} == set()


def test_an_adapter_moves_and_nothing_else(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    loaded = fresh("llava")
    base = {name: p.detach().clone() for name, p in loaded.model.named_parameters()}
    adapted = get_peft_model(loaded.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    start = weights(adapted)
    run = trainer(Loaded(adapted, loaded.processor), tmp_path)
    run.train()
    assert start and all(not torch.equal(now, start[name]) for name, now in weights(adapted).items())
    now = dict(adapted.named_parameters())
    for name, old in base.items():
        path = f"base_model.model.{name}"
        found = now.get(path, now.get(path.replace("_proj.", "_proj.base_layer.")))
        assert found is not None and torch.equal(found, old), name


def test_training_widens_the_margin_and_lowers_the_loss(tmp_path: Path) -> None:
    loaded = fresh("llava")
    run = trainer(loaded, tmp_path, num_train_epochs=6, held_out=questions(loaded, 3))
    first = run.evaluate()
    run.train()
    last = run.evaluate()
    assert last["eval_margin"] > first["eval_margin"] and last["eval_loss"] < first["eval_loss"]
    assert last["eval_pair_accuracy"] >= first["eval_pair_accuracy"]
    logged = [line for line in run.state.log_history if "loss" in line]
    assert len(logged) == 12 and all(math.isfinite(line[name]) for line in logged for name in METRICS)


def test_the_logged_terms_add_up_to_the_loss(tmp_path: Path) -> None:
    run = trainer(fresh("text"), tmp_path)
    run.train()
    for line in run.state.log_history:
        if "loss" in line:
            assert line["loss"] == pytest.approx(line["nll"] + 0.5 * line["contrast"], rel=1e-3)


def test_held_out_questions_count_once_each(tmp_path: Path) -> None:
    # Three questions in batches of two: a mean over batches would count the last one double.
    loaded = fresh("text")
    held_out = questions(loaded, 3)
    alone = [trainer(loaded, tmp_path, held_out=[one]).evaluate()["eval_contrast"] for one in held_out]
    together = trainer(loaded, tmp_path, held_out=held_out).evaluate()
    assert together["eval_contrast"] == pytest.approx(sum(alone) / 3, rel=1e-5)


def test_padded_and_tree_train_alike(tmp_path: Path) -> None:
    sgd = {"optim": "sgd", "learning_rate": 1e-2}
    tree = state("llava", tmp_path, **sgd)
    padded = state("llava", tmp_path, layout="padded", **sgd)
    for name, now in tree.items():
        torch.testing.assert_close(now, padded[name], rtol=1e-3, atol=1e-4, msg=name)


def test_gradient_accumulation_equals_a_larger_batch(tmp_path: Path) -> None:
    sgd = {"optim": "sgd", "learning_rate": 1e-2, "num_train_epochs": 1}
    at_once = state("text", tmp_path, per_device_train_batch_size=4, **sgd)
    in_two = state("text", tmp_path, gradient_accumulation_steps=2, **sgd)
    for name, now in at_once.items():
        torch.testing.assert_close(now, in_two[name], rtol=1e-4, atol=1e-5, msg=name)


def test_checkpointing_of_gradients_changes_nothing(tmp_path: Path) -> None:
    plain = state("llava", tmp_path, num_train_epochs=1)
    kwargs = {"gradient_checkpointing": True}
    saved = state("llava", tmp_path, num_train_epochs=1, **kwargs)
    for name, now in plain.items():
        torch.testing.assert_close(now, saved[name], rtol=1e-4, atol=1e-5, msg=name)


def test_an_adapter_learns_under_checkpointing_of_gradients_too(tmp_path: Path) -> None:
    # The frozen layers' inputs need no gradient: the reentrant kind of checkpointing would lose it all.
    from peft import LoraConfig, get_peft_model

    found = []
    kwargs = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    for more in ({}, kwargs):
        loaded = fresh("llava")
        torch.manual_seed(0)
        adapted = get_peft_model(loaded.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
        start = weights(adapted)
        trainer(Loaded(adapted, loaded.processor), tmp_path, num_train_epochs=1, **more).train()
        found.append(weights(adapted))
        assert any(not torch.equal(now, start[name]) for name, now in found[-1].items())
    for name, now in found[0].items():
        torch.testing.assert_close(now, found[1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_bfloat16_trains(tmp_path: Path) -> None:
    run = trainer(fresh("llava"), tmp_path, bf16=True, num_train_epochs=1)
    run.train()
    losses = [line["loss"] for line in run.state.log_history if "loss" in line]
    plain = trainer(fresh("llava"), tmp_path, num_train_epochs=1)
    plain.train()
    exact = [line["loss"] for line in plain.state.log_history if "loss" in line]
    assert losses == pytest.approx(exact, rel=0.05) and losses != exact


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 2, "n": 6}
    loaded = fresh("llava")
    unbroken = trainer(loaded, tmp_path / "one", **settings)
    unbroken.train()
    again = fresh("llava")
    resumed = trainer(again, tmp_path / "two", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "one" / "checkpoint-2"))
    assert resumed.state.global_step == unbroken.state.global_step == 6
    for name, now in weights(again.model).items():
        assert torch.equal(now, weights(loaded.model)[name]), name
    a, b = ([line for line in run.state.log_history if "loss" in line] for run in (unbroken, resumed))
    assert [line["loss"] for line in a] == [line["loss"] for line in b]


@pytest.mark.parametrize("contrast", ["margin", "preference", "advantage", "none"])
def test_each_objective_trains(contrast: str, tmp_path: Path) -> None:
    objective = Objective(contrast, lam=1.0, nll=0.0 if contrast != "none" else 1.0, nll_on="reference")  # type: ignore[arg-type]
    loaded = fresh("text")
    before = weights(loaded.model)
    trainer(loaded, tmp_path, objective, num_train_epochs=1).train()
    assert any(not torch.equal(now, before[name]) for name, now in weights(loaded.model).items())


SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import torch
from test_trainer import fresh, questions, trainer, weights
torch.set_num_threads(1)
loaded = fresh({kind!r})
run = trainer(loaded, Path({out!r}), optim="sgd", learning_rate=1e-2, per_device_train_batch_size={size},
    held_out=questions(loaded, 3), per_device_eval_batch_size=1, **{more!r})
run.train()
metrics = run.evaluate()
assert run.accelerator.num_processes == int(os.environ.get("WORLD_SIZE", "1")) == {processes}
if run.accelerator.is_main_process:
    names = {{n.removeprefix("module."): p for n, p in weights(run.model).items()}}
    torch.save(names, Path({out!r}) / "weights.pt")
    history = [line for line in run.state.log_history if "loss" in line]
    Path({out!r}, "log.json").write_text(json.dumps([metrics, history]))
"""


def launch(folder: Path, kind: str, processes: int, **more: Any) -> tuple[dict[str, torch.Tensor], Any]:
    folder.mkdir()
    script = folder / "train.py"
    values = {"here": str(HERE), "kind": kind, "out": str(folder), "size": 4 // processes}
    script.write_text(SCRIPT.format(**values, more=more, processes=processes))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(torchrun if processes > 1 else []), str(script)]
    done = subprocess.run(
        command,
        env=environment(ACCELERATE_USE_CPU="true", CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return torch.load(folder / "weights.pt"), json.loads((folder / "log.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llava", "idefics3"])
def test_two_processes_equal_one(kind: str, tmp_path: Path) -> None:
    # `accelerate launch --cpu --num_processes 2` runs one process and says nothing: the script asserts two.
    one, (metrics, history) = launch(tmp_path / "one", kind, 1, n=8)
    two, (metrics_of_two, history_of_two) = launch(tmp_path / "two", kind, 2, n=8)
    for name, now in one.items():
        torch.testing.assert_close(now, two[name], rtol=1e-4, atol=1e-5, msg=name)
    for a, b in zip(history, history_of_two, strict=True):
        assert [a[name] for name in METRICS] == pytest.approx(
            [b[name] for name in METRICS], rel=1e-3, abs=1e-4
        )
    for name in METRICS:
        assert metrics[f"eval_{name}"] == pytest.approx(metrics_of_two[f"eval_{name}"], rel=1e-3), name
