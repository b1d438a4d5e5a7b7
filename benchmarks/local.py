"""Local models on a CPU: rsbench's batches against plain `generate`, one item after the other, on `tiny`.

    python benchmarks/local.py [--items 32] [--tokens 96] [--sizes 4,16,32] [--out local.json]

One thread, so that the ratio says what batching saves and not how many cores there are. Goal: at the largest
batch at least 3 times the tokens a second of processor time.
"""

import argparse
import sys
from pathlib import Path

from batching import compare, requests
from measure import report

GOAL = 3.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=96, help="longest reply")
    parser.add_argument("--sizes", default="4,16,32", help="batch sizes, ascending")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    import torch

    from rsbench.models.hf_loading import TINY, Checkpoint

    torch.set_num_threads(1)
    sizes = [int(size) for size in args.sizes.split(",")]
    rows = compare(Checkpoint(str(TINY)).load("cpu"), requests(args.items, args.tokens), sizes)
    report(f"local: tiny, {args.items} items, at most {args.tokens} tokens", rows, args.out)
    ratio = rows[f"rsbench, batches of {sizes[-1]}"]["ratio"]
    met = "met" if isinstance(ratio, float) and ratio >= GOAL else "missed"
    sys.stdout.write(f"\nGoal: {GOAL:g} × plain generate at the largest batch: {ratio} ({met})\n")


if __name__ == "__main__":
    main()
