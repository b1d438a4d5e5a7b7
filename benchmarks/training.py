"""One optimiser step over a question's pairs: our tree layout, our padded layout, TRL's DPOTrainer.

    python benchmarks/training.py [--pairs 8] [--questions 6] [--model tiny | FOLDER] [--out training.json]

The same model, items, images, pairs, precision and optimiser in one run, each in a process of its own, all
weights trained, one question a step. The pairs are cut out of the items' authored paths: what follows a
prefix of the reference path against what follows it on the contrast path. DPOTrainer is run as it comes,
reference model included, with string prompts, because a conversation that ends in the middle of a reply
scores the wrong tokens there. Memory is what is added to an open model: peak resident on a CPU, peak
allocated on a GPU. The time ratio is of processor seconds on a CPU, which other programs disturb less.

Goals at 8 pairs a question: 3 × faster and 3 × less memory than DPOTrainer.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import ROOT, report

PARTS = ("tree", "padded", "dpo")
WARM_UP = 1  # steps not counted


def main() -> None:
    """Measure each part in a process of its own and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        sys.stdout.write(json.dumps(measure(args.part, args.model, args.questions, args.pairs)) + "\n")
        return
    found = {part: _apart(part, args) for part in PARTS}
    rows: dict[str, dict[str, object]] = {}
    for part, row in found.items():
        rows[part] = {
            **row,
            "time_ratio": round(found["dpo"]["step_cpu_s"] / row["step_cpu_s"], 2),
            "memory_ratio": round(found["dpo"]["added_mib"] / row["added_mib"], 2),
        }
    report(f"training, {args.pairs} pairs a question, {args.model}", rows, args.out)


def _apart(part: str, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--part", part, "--model", args.model]
    command += ["--pairs", str(args.pairs), "--questions", str(args.questions)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{part} failed:\n{done.stderr[-3000:]}")
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(part: str, model: str, questions: int, pairs: int) -> dict[str, float]:
    """Median seconds of a step, and the memory added to a loaded model in MiB."""
    import torch
    from trl import DPOTrainer  # noqa: F401 - code counts for none of the parts

    from rsbench.models.hf_loading import TINY, Checkpoint
    from srpo_train.trainer import SRPOTrainer  # noqa: F401

    torch.manual_seed(0)
    place = str(TINY) if model == "tiny" else model
    loaded = Checkpoint(place, dtype="float32").load("cuda" if torch.cuda.is_available() else "cpu")
    texts = [example(loaded, n, pairs) for n in range(questions + WARM_UP)]
    with tempfile.TemporaryDirectory() as folder:
        make = _dpo if part == "dpo" else _ours
        before = _memory(reset=True)
        trainer = make(part, loaded, texts, pairs, folder)
        clock = _clock(trainer)
        trainer.train()
        added = _memory() - before
    return {
        "step_s": round(statistics.median(wall for wall, _ in clock[WARM_UP:]), 3),
        "step_cpu_s": round(statistics.median(cpu for _, cpu in clock[WARM_UP:]), 3),
        "added_mib": round(added, 1),
        "steps": len(clock) - WARM_UP,
    }


def example(loaded: Any, number: int, pairs: int) -> dict[str, Any]:
    """One item: its prompt as a string, picture, reference path, and (prefix, favourable, unfavourable)."""
    from PIL import Image

    from rsbench.cards import load_task
    from rsbench.data import Dataset
    from srpo_train.paths import path_text

    card, found = load_task("rsbench-closed")
    items = [item for item in Dataset(card, found.folder) if item.reference and item.contrast]
    item = items[number]
    assert item.reference is not None and item.contrast is not None
    good, starts = path_text(item.reference)
    bad, bad_starts = path_text(item.contrast)
    rng = random.Random(number)
    last = min(len(starts), len(bad_starts)) - 1
    chosen = []
    for n in range(pairs):
        cut = n % (last + 1)
        # Distinct branches: each ends in a sentence of its own.
        tail = f" {rng.randrange(10**6)}"
        chosen.append((good[: starts[cut]], good[starts[cut] :] + tail, bad[bad_starts[cut] :] + tail))
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": item.query}]}]
    prompt = loaded.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    picture = Image.open(item.images[0].path).convert("RGB")
    return {"prompt": prompt, "picture": picture, "reference": good, "pairs": chosen}


def _ours(part: str, loaded: Any, texts: Sequence[dict[str, Any]], pairs: int, folder: str) -> Any:
    from transformers import TrainingArguments

    from srpo_train.objectives import Objective
    from srpo_train.questions import ChosenPair, Continuation, Question
    from srpo_train.trainer import SRPOTrainer, add_scoring

    def ids(text: str) -> tuple[int, ...]:
        return tuple(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])

    stop = (loaded.tokenizer.eos_token_id,)
    questions = []
    for n, text in enumerate(texts):
        options = {"return_tensors": "pt", "add_special_tokens": False}
        inputs = dict(loaded.processor(text=[text["prompt"]], images=[text["picture"]], **options))
        prompt = tuple(inputs.pop("input_ids")[0].tolist())
        del inputs["attention_mask"]
        path = ids(text["reference"]) + stop
        branches: list[Continuation] = []
        for prefix, good, bad in text["pairs"]:
            own = [Continuation(ids(prefix), ids(words) + stop, words is good) for words in (good, bad)]
            branches += own
        chosen = tuple(ChosenPair(2 * k, 2 * k + 1) for k in range(pairs))
        questions.append(Question(str(n), prompt, path, tuple(branches), chosen, inputs))
    add_scoring(loaded.model)
    args = TrainingArguments(**_settings(folder, 1))
    layout: Any = part
    pad = loaded.tokenizer.pad_token_id
    return SRPOTrainer(loaded.model, args, Objective(), questions, None, pad, layout)


def _dpo(part: str, loaded: Any, texts: Sequence[dict[str, Any]], pairs: int, folder: str) -> Any:
    import datasets
    from trl import DPOConfig, DPOTrainer

    rows = [
        {"prompt": text["prompt"] + prefix, "chosen": good, "rejected": bad, "images": [text["picture"]]}
        for text in texts
        for prefix, good, bad in text["pairs"]
    ]
    args = DPOConfig(**_settings(folder, pairs), max_length=None)
    return DPOTrainer(
        loaded.model,
        args=args,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=loaded.processor,
    )


def _settings(folder: str, batch: int) -> dict[str, Any]:
    import torch

    return {
        "output_dir": folder,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": 1,
        "learning_rate": 1e-6,
        "gradient_checkpointing": False,
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": 0,
    }


def _clock(trainer: Any) -> list[tuple[float, float]]:
    """Wall and processor seconds of each step (on a GPU both wall), filled while it trains."""
    import torch
    from transformers import TrainerCallback

    took: list[tuple[float, float]] = []
    on_gpu = torch.cuda.is_available()

    def now() -> tuple[float, float]:
        if on_gpu:
            torch.cuda.synchronize()
        wall = time.perf_counter()
        return wall, wall if on_gpu else time.process_time()

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = now()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            wall, cpu = now()
            took.append((wall - self.began[0], cpu - self.began[1]))

    trainer.add_callback(Clock())
    return took


def _memory(reset: bool = False) -> float:
    """MiB: peak so far, or with `reset` what is held now."""
    import torch

    if torch.cuda.is_available():
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20
    if reset:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
