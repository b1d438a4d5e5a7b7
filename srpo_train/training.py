"""What every optimiser shares: the open model, its adapter, Trainer's settings, checkpoints, the end."""

import dataclasses
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from rsbench.models.hf_loading import Loaded
from rsbench.types import UserError
from srpo_train.job import Job, rank, world_size
from srpo_train.model_card import write_card
from srpo_train.recipes import LoraCard, OptimiseCard

MODEL, CHECKPOINTS = "model", "checkpoints"


def open_model(job: Job) -> Loaded:
    """The checkpoint to start from, on this process's device; to be sharded, on the CPU."""
    optimise = job.recipe.optimise
    half = precision(optimise) == torch.bfloat16 and job.recipe.lora is not None
    # Trained weights stay in float32 and are cast on the way: bfloat16 swallows small steps.
    dtype = job.checkpoint.dtype or ("bfloat16" if half else "float32")
    return dataclasses.replace(job.checkpoint, dtype=dtype, device_map=None).load(place(optimise))


def place(optimise: OptimiseCard) -> str:
    """Where a process opens its copy of the model."""
    local = os.environ.get("LOCAL_RANK", "0")
    return f"cuda:{local}" if torch.cuda.is_available() and not optimise.fsdp else "cpu"


def precision(optimise: OptimiseCard) -> torch.dtype:
    """What matrix products are computed in."""
    if optimise.precision == "auto":
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return torch.bfloat16 if optimise.precision == "bfloat16" else torch.float32


def adapted(model: Any, lora: LoraCard | None, optimise: OptimiseCard, revision: str | None) -> Any:
    """The model ready to be trained: with an adapter that knows its base's revision, or whole."""
    if lora is None:
        return model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    layers = adapter_layers(model, lora)
    torch.manual_seed(optimise.seed)
    config = LoraConfig(r=lora.r, lora_alpha=lora.alpha, target_modules=layers, lora_dropout=0.0)
    return get_peft_model(model, config, autocast_adapter_dtype=not optimise.fsdp, revision=revision)


def adapter_layers(model: Any, lora: LoraCard) -> list[str]:
    """Names of the layers that get an adapter.

    Raises:
        UserError: no layer has the names that the recipe gives.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    layers = [
        name
        for name in linear
        if name.rpartition(".")[2] in lora.targets
        and (lora.vision or not any(part.startswith(("vision", "visual")) for part in name.split(".")))
    ]
    if not layers:
        ends = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise UserError(f"lora.targets: no layer's name ends in {', '.join(lora.targets)}; there are {ends}")
    return layers


def trainer_settings(job: Job, optimise: OptimiseCard, evaluates: bool) -> dict[str, Any]:
    """Arguments of transformers' TrainingArguments and of TRL's classes derived from it.

    Raises:
        UserError: sharding where there is nothing to shard over; Trainer would quietly do without.
    """
    if optimise.fsdp and (not torch.cuda.is_available() or world_size() < 2):
        raise UserError("optimise.fsdp: needs several GPUs and `accelerate launch`; see docs/train-srpo.md")
    return {
        "output_dir": str(job.out / CHECKPOINTS),
        "learning_rate": optimise.learning_rate,
        "lr_scheduler_type": optimise.schedule,
        "warmup_steps": min(optimise.warmup, 0.999),  # below 1: a share of the steps
        "num_train_epochs": optimise.epochs,
        "max_steps": optimise.max_steps or -1,
        "per_device_train_batch_size": optimise.batch,
        "per_device_eval_batch_size": optimise.batch,
        "gradient_accumulation_steps": optimise.accumulate,
        "weight_decay": optimise.weight_decay,
        "max_grad_norm": optimise.max_grad_norm,
        "bf16": precision(optimise) == torch.bfloat16,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": optimise.recompute,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if optimise.recompute else None,
        "fsdp": optimise.fsdp or None,
        "ddp_find_unused_parameters": True if world_size() > 1 and not optimise.fsdp else None,
        "eval_strategy": "epoch" if evaluates else "no",
        "save_strategy": "steps",
        "save_steps": optimise.save_steps,
        "save_total_limit": 2,
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "seed": optimise.seed,
        "data_seed": optimise.seed,
    }


def within_budget(optimise: OptimiseCard, tokens: Sequence[int]) -> OptimiseCard:
    """The settings with the steps that come nearest to the budget, if there is one; at least one.

    Args:
        optimise: The recipe's.
        tokens: What each question or example puts through the model, padding left out.
    """
    if optimise.budget is None:
        return optimise
    wanted = optimise.budget / (sum(tokens) / len(tokens))

    def off(steps: int) -> float:
        return abs(questions_seen(steps, len(tokens), questions_a_step(optimise)) - wanted)

    steps = max(1, int(wanted // questions_a_step(optimise)))
    while off(steps + 1) < off(steps):
        steps += 1
    return optimise.model_copy(update={"max_steps": steps})


def questions_a_step(optimise: OptimiseCard) -> int:
    """Questions of a full optimiser step, over all processes."""
    return optimise.batch * optimise.accumulate * world_size()


def questions_seen(steps: int, questions: int, a_step: int) -> int:
    """How many questions so many steps put through the model: an epoch's last step takes what is left."""
    epochs, more = divmod(steps, math.ceil(questions / a_step))
    return epochs * questions + min(more * a_step, questions)


def finish(
    job: Job, trainer: Any, loaded: Loaded, report: dict[str, Any], in_order: Sequence[str] = ()
) -> None:
    """Train from the last checkpoint, evaluate, save model and card.

    Args:
        job: The training.
        trainer: Ready to train.
        loaded: What it started from.
        report: Becomes the model card's, with what happens here.
        in_order: The examples' items, of a trainer that takes its examples as they come and not at random.
    """
    if job.recipe.optimise.fsdp and not trainer.is_fsdp_enabled:
        raise UserError("optimise.fsdp: the model would not be sharded; start it with `accelerate launch`")
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(_Lines(job))
    began = last_checkpoint(job.out / CHECKPOINTS)
    if began is not None:
        say(job, f"resuming from {began}")
    before = trainer.evaluate() if trainer.eval_dataset and began is None else {}
    clock = _Clock(began)
    trainer.add_callback(clock)
    trainer.train(resume_from_checkpoint=str(began) if began else None)
    took = clock.took()
    after = trainer.evaluate() if trainer.eval_dataset else {}
    trainer.save_model(str(job.out / MODEL))
    if rank() == 0:
        loaded.processor.save_pretrained(job.out / MODEL)
        held_out = {"before": before, "after": after}
        history = [line for line in trainer.state.log_history if "loss" in line]
        report["questions_seen"] = questions_seen(
            trainer.state.global_step, len(trainer.train_dataset), questions_a_step(job.recipe.optimise)
        )
        if in_order:
            report["items_seen"] = len(set(in_order[: report["questions_seen"]]))
        report |= took | {"steps": trainer.state.global_step, "held_out": held_out, "history": history}
        write_card(job, job.out / MODEL, report)


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint: its trainer state is written last, so a torn one has none."""
    found = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json") if _is_json(path)]
    return max(found, key=lambda path: int(path.name.partition("-")[2]), default=None)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def say(job: Job, text: str) -> None:
    """Tell the user, once however many processes there are."""
    if rank() == 0:
        job.say(text)


class _Clock(TrainerCallback, ExportableState):  # type: ignore[misc]
    """The time that a training took, over all of its starts, kept in its checkpoints.

    Steps after the last checkpoint that a kill undid are in no count, and neither is their time.
    """

    def __init__(self, began: Path | None = None) -> None:
        self._before: dict[str, float] | None = {"seconds": 0.0, "cpu_seconds": 0.0}
        if began is not None:
            saved = json.loads((began / "trainer_state.json").read_text(encoding="utf-8"))
            # None: a version that kept no time wrote it; a part would pass for the whole.
            self._before = saved.get("stateful_callbacks", {}).get("_Clock", {}).get("attributes") or None
        self._start = time.perf_counter(), time.process_time()

    def took(self) -> dict[str, float]:
        """So far; nothing if that can't be known."""
        if self._before is None:
            return {}
        start, cpu_start = self._start
        return {
            "seconds": self._before["seconds"] + time.perf_counter() - start,
            "cpu_seconds": self._before["cpu_seconds"] + time.process_time() - cpu_start,
        }

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"args": {}, "attributes": self.took()}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Trainer saves only what it found in the checkpoint that it resumed from."""
        state.stateful_callbacks.setdefault("_Clock", self.state())


class _Lines(TrainerCallback):  # type: ignore[misc]
    """One line a logged step, in words."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Say the step's loss, or the held-out accuracy."""
        logs = logs or {}
        if "loss" in logs:
            parts = [f"step {state.global_step}/{state.max_steps}", f"loss {float(logs['loss']):.4f}"]
            parts += [
                f"{name} {logs[name]:.3f}" for name in ("nll", "contrast", "pair_accuracy") if name in logs
            ]
            say(self._job, "  ".join(parts))
        elif "eval_pair_accuracy" in logs:
            say(
                self._job,
                f"held out: pair accuracy {logs['eval_pair_accuracy']:.3f}, margin {logs['eval_margin']:.3f}",
            )
