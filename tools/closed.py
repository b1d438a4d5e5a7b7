"""Make the task rsbench-closed from a seed: items, pictures and card, for testing, training and tuning.

    python tools/closed.py --out tasks/rsbench-closed            the shelf's own copy (default seed)
    python tools/closed.py --seed 7 --out build/closed-7         fresh items of the same kind
    python tools/closed.py --seed 12 --detours train drift --out build/closed-12   what the judge words learns
    python tools/closed.py --lexicon judges/oracle/lexicon.json  the oracle judge's words

The world and its hold-outs: tools/tiny/world.yaml and world.py; which pairs are made: tools/tiny/twins.py.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tiny import twins as pairs
from tiny.draw import Artist
from tiny.items import records
from tiny.lexicon import lexicon
from tiny.world import load

ROOT = Path(__file__).resolve().parents[1]
SHELF = ROOT / "tasks" / "rsbench-closed"
TRAINING = ROOT / "rsbench" / "models" / "tiny" / "training.json"  # its exclusions bind these items as well
SEED = 11
ROUNDS = {"train": 6, "validation": 1}  # × 30 pairs
DEMO = 3  # pairs of each kind of hold-out


def make(seed: int, out: Path, detours: Sequence[str] = ("train",)) -> dict[str, int]:
    """Write a whole task folder; returns the number of items of each file.

    `detours`: families of the contrast paths of training items, a pair of each in turn.
    """
    world = load()
    artist = Artist(world)
    excluded = json.loads(TRAINING.read_text(encoding="utf-8"))["exclusions"]
    tested = pairs.tested(world, excluded, seed)
    taken = {pairs.scene(draft) for twins in tested for draft in (twins.risky, twins.benign)}
    made = {"items.jsonl": records(artist, tested, "test", seed, out)}
    for purpose, rounds in ROUNDS.items():
        twins = pairs.trained(world, excluded, seed, purpose, rounds, taken)
        lines = []
        for number, pair in enumerate(twins):
            lines += records(artist, [pair], detours[number % len(detours)], seed, out)
        made[f"{purpose}.jsonl"] = lines
    for name, lines in made.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (out / name).write_text(text, encoding="utf-8")
    _card(seed, out, tested)
    return {name: len(lines) for name, lines in made.items()}


def _card(seed: int, out: Path, tested: Sequence[pairs.Twins]) -> None:
    """The card, with the subsets of these pairs; another seed is another version of the task."""
    card = (SHELF / "task.yaml").read_text(encoding="utf-8").split("subsets:\n")[0]
    groups = {split: [t.name for t in tested if t.split == split] for split in pairs.TESTED}
    groups["demo"] = [name for names in groups.values() for name in names[:: len(names) // DEMO]]
    subsets = "".join(f"  {name}: [{', '.join(names)}]\n" for name, names in groups.items())
    if seed != SEED:
        card = re.sub(r'(?m)^version: "([^"]+)"', rf'version: "\1-seed{seed}"', card)
    (out / "task.yaml").write_text(f"{card}subsets:\n{subsets}", encoding="utf-8")
    if out.resolve() != SHELF:
        for template in (SHELF / "prompts").iterdir():
            (out / "prompts").mkdir(exist_ok=True)
            (out / "prompts" / template.name).write_bytes(template.read_bytes())


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, help="folder of the task")
    parser.add_argument("--lexicon", type=Path, help="write the oracle judge's lexicon to this file")
    parser.add_argument(
        "--detours",
        nargs="+",
        choices=("train", "drift"),
        default=["train"],
        help="families of the wrong paths of training items, a pair of each in turn",
    )
    args = parser.parse_args(argv)
    if args.lexicon is not None:
        value: dict[str, Any] = lexicon(load())
        args.lexicon.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        sys.stdout.write(f"{args.out}: {make(args.seed, args.out, args.detours)}\n")
    if args.lexicon is None and args.out is None:
        parser.error("give --out or --lexicon")
    return 0


if __name__ == "__main__":
    sys.exit(main())
