"""`SRPOTrainer`: transformers' Trainer with a loss over branches. Processes and schedules are its business.

A subclass of TRL's DPOTrainer would force its columns, encode every image twice and want a reference model.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput
from trl.kernels import chunked_logprob
from trl.trainer.utils import add_fused_lm_head

from srpo_train.layouts import Layout, collator_for
from srpo_train.objectives import METRICS, Objective, evaluate
from srpo_train.questions import Question

CPU_TILE = 128  # tokens


class WholeCheckpoints(Trainer):  # type: ignore[misc] # transformers is untyped
    """A Trainer that resumes with all weights or fails.

    Trainer's own way puts the file's tensors into the model by name. Checkpoints of LLaVA and others are
    written under their older names, so nothing fits, and it goes on from other weights with a warning.
    """

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not isinstance(self.model, PreTrainedModel) or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())


class SRPOTrainer(WholeCheckpoints):
    """Trains on questions. One optimiser step sees per_device_train_batch_size questions a process.

    Expects a model that already has its adapter, if it is to have one, and `add_scoring` before that.
    """

    loss_is_scaled_for_ga = False  # the loss is a mean over the questions of one micro-batch

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        objective: Objective,
        train_questions: Sequence[Question],
        eval_questions: Sequence[Question] | None = None,
        pad_id: int = 0,
        layout: Layout = "tree",
        processing_class: Any = None,
    ) -> None:
        args.remove_unused_columns = False  # a question is no table of columns
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.objective = objective
        self._seen: list[torch.Tensor] = []  # (questions, METRICS) since the last log
        super().__init__(
            model=model,
            args=args,
            data_collator=collator_for(base, pad_id, layout, objective.scores),
            train_dataset=list(train_questions),
            eval_dataset=list(eval_questions) if eval_questions else None,
            processing_class=processing_class,
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Mean over this process's questions; with `return_outputs` also their metrics."""
        loss, table = evaluate(log_probs(model, inputs), inputs, self.objective)
        if model.training:
            self._seen.append(self.accelerator.gather(table))
        return (loss, table) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means over all questions of all processes since the last log."""
        if "loss" in logs and self._seen:
            logs |= dict(zip(METRICS[1:], torch.cat(self._seen).mean(0).tolist()[1:], strict=True))
            self._seen.clear()
        super().log(logs, start_time)

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """The loss and, in the place of predictions, (questions, METRICS)."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, table = self.compute_loss(model, inputs, return_outputs=True)
        return loss.detach(), table, None

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **rest: Any) -> EvalLoopOutput:
        """Means over the held-out questions, each counted once however many processes there are."""
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **rest)
        means = torch.as_tensor(output.predictions).mean(0).tolist()
        output.metrics.update({f"{metric_key_prefix}_{n}": m for n, m in zip(METRICS, means, strict=True)})
        return output


def log_probs(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """(rows, seq − 1): log-probability of each labelled token, 0 elsewhere."""
    found: torch.Tensor = model(**batch["model"], fused_lm_head=True).log_probs
    return found


def add_scoring(model: Any) -> None:
    """Prepare a bare model, before any adapter: no dropout; log-probabilities without all the logits.

    On a device without Triton the library's head holds some six copies of each tile of logits at the very
    moment when all activations are held too, and its tiles of 4096 tokens take in whole batches. There they
    become small, for this process.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    add_fused_lm_head(model)
    if model.device.type == "cpu":
        chunked_logprob.TOKEN_CHUNK_SIZE = CPU_TILE
    model.base_model.register_forward_pre_hook(_additive_mask, with_kwargs=True)


def _additive_mask(
    backbone: Any, args: tuple[Any, ...], given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Make the tree's mask one of numbers to be added, once.

    Eager attention knows no other, and sdpa would make a copy of its own in every layer and keep it for the
    backward pass. A hook of the backbone, because only there it is known what autocast computes in.
    """
    seen = given.get("attention_mask")
    if seen is None or seen.dtype != torch.bool or seen.dim() != 4:
        return args, given
    kind = seen.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else backbone.dtype
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return args, given | {"attention_mask": mask.masked_fill_(~seen, torch.finfo(dtype).min)}
