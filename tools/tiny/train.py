"""Train the embedded model `tiny` from nothing: one seeded command, resumable by stage.

    python tools/tiny/train.py --out rsbench/models/tiny
    python tools/tiny/train.py --out build/copy --exclusions rsbench/models/tiny/training.json

The second command repeats the shipped training: `--exclusions` takes them from there, not from today's items.
Stages: exclusions, tokenizer, dense, joint, evaluation. Each leaves a file in --work and is skipped when it
is there; delete the folder to start over.
"""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Run as a script, this file's own folder is on the path, and `tiny`, which is one folder up, is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from tiny import world as worlds
from tiny.draw import Artist
from tiny.drift import Drift
from tiny.net import make_processor
from tiny.sampler import Sampler
from tiny.stages import Place, Plan, dense, joint, write_json
from tiny.text import Composer, corpus

ROOT = Path(__file__).resolve().parents[2]
TASK = ROOT / "tasks" / "rsbench"
PUSH, BALK = 0.5, 0.35  # of the shipped model


def read_items(file: Path) -> list[dict[str, Any]]:
    """The items of a benchmark, one JSON object a line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def find_exclusions(args: argparse.Namespace, world: worlds.World) -> dict[str, Any]:
    """The exclusions of the items, or those of an earlier training."""
    if args.exclusions is not None:
        return {"exclusions": json.loads(args.exclusions.read_text(encoding="utf-8"))["exclusions"]}
    items = [item for file in args.items for item in read_items(file)]
    return {"exclusions": worlds.exclusions(items, world)}


def once(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The stage's record: made now, or read from an earlier run."""
    if not file.exists():
        write_json(file, make())
    else:
        sys.stdout.write(f"{file}: done before, skipped\n")
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def train(args: argparse.Namespace) -> None:
    """Run the stages that have not run yet, then assemble the model folder."""
    work: Path = args.work
    work.mkdir(parents=True, exist_ok=True)
    model = work / "model"
    drift = Drift(args.push, args.balk)
    plan = Plan(**{field.name: getattr(args, field.name) for field in fields(Plan)})
    place = Place(torch.device(args.device), args.workers)
    prompt = (TASK / "prompts" / "default.jinja").read_text(encoding="utf-8")
    world = worlds.load()
    excluded = once(work / "exclusions.json", lambda: find_exclusions(args, world))["exclusions"]
    sampler = Sampler(world, [(pair, thing, intent) for pair, thing, intent in excluded])
    artist = Artist(world, args.icons, work / "sprites.npz")

    def tokenizer() -> dict[str, Any]:
        processor = make_processor(corpus(world, sampler, prompt, drift, plan.seed), model)
        return {"vocabulary": len(processor.tokenizer)}

    words = once(work / "tokenizer.json", tokenizer)
    if args.stop == "tokenizer":
        return
    seeing = once(work / "dense.json", lambda: dense(plan, artist, work / "tower.pt", place))
    if args.stop == "dense":
        return

    def talk() -> dict[str, Any]:
        composer = Composer(artist, sampler, model / "tokenizer.json", prompt, drift)
        done = joint(plan, composer, work / "tower.pt", model, place, args.joint_minutes)
        ran = asdict(replace(plan, joint_steps=done["steps"]))
        return done | {"plan": ran, "drift": asdict(drift) | drift.stated(world), "machine": machine(args)}

    talking = once(work / "joint.json", talk)
    if args.stop == "joint":
        return

    def score() -> dict[str, Any]:
        from tiny.evaluate import evaluate

        return evaluate(model, artist, sampler, prompt, args.questions, plan.seed)

    scores = once(work / "evaluation.json", score)
    args.out.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        shutil.copyfile(file, args.out / file.name)
    write_json(
        args.out / "training.json",
        {
            **{key: talking[key] for key in ("plan", "drift", "machine")},
            "vocabulary": words["vocabulary"],
            "dense": {key: seeing[key] for key in ("seconds", "images")} | {"last": seeing["log"][-1]},
            "joint": {key: talking[key] for key in ("seconds", "samples")} | {"last": talking["log"][-1]},
            "metrics": scores,
            "exclusions": excluded,
        },
    )


def machine(args: argparse.Namespace) -> dict[str, Any]:
    """Where the joint stage ran, and with which versions."""
    cuda = args.device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "cores": os.cpu_count(),
        "threads": args.threads,
        "workers": args.workers,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "pillow")},
    }


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "tiny", help="folder of the stages' files"
    )
    parser.add_argument(
        "--items", type=Path, nargs="+", default=[TASK / "items.jsonl"], help="items to keep out"
    )
    parser.add_argument("--exclusions", type=Path, help="take the exclusions from this training.json instead")
    parser.add_argument(
        "--icons", type=Path, help="icons.json of @iconify-json/noto, for icons not in the library"
    )
    for field in fields(Plan):
        kind = float if field.type in (float, "float") else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    parser.add_argument(
        "--joint-minutes", type=float, help="take as many of the joint steps as fit into these minutes"
    )
    parser.add_argument("--push", type=float, default=PUSH, help="share of risky paths that give in")
    parser.add_argument("--balk", type=float, default=BALK, help="share of harmless paths turned down")
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw ahead")
    parser.add_argument("--stop", choices=("tokenizer", "dense", "joint"), help="end after this stage")
    parser.add_argument("--threads", type=int, default=2, help="use 1 where other programs want the cores")
    parser.add_argument("--questions", type=int, default=256, help="scenes per evaluation split")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU; no effect on a processor
    try:
        train(args)
    except (worlds.WorldError, FileNotFoundError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
