"""How soon the command line answers: `--help`, and one item with the scripted model.

    python benchmarks/startup.py [--out startup.json]

Against `python -c "import typer, rich"`, what any command line on these libraries pays. Goals: --help within
0.3 s, one mock item within 1 s of processor time.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from measure import ROOT, Took, as_row, report, run

REPEATS = 7


def median(args: list[str], cwd: Path) -> Took:
    """Median of several runs; the first, which fills the disk cache, is not counted."""
    runs = [run(args, cwd) for _ in range(REPEATS + 1)][1:]
    return Took(
        round(statistics.median(r.wall_s for r in runs), 3),
        round(statistics.median(r.cpu_s for r in runs), 3),
        round(statistics.median(r.peak_mib for r in runs), 1),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rsbench = [sys.executable, "-m", "rsbench"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        floor = median([sys.executable, "-c", "import typer, rich"], ROOT)
        helped = median([*rsbench, "--help"], ROOT)
        runs = iter(range(1000))
        took = [
            run(
                [*rsbench, "run", "--model", "mock", "--limit", "2", "--out", str(place / str(next(runs)))],
                ROOT,
            )
            for _ in range(REPEATS)
        ]
        item = sorted(took, key=lambda t: t.cpu_s)[REPEATS // 2]
    rows = {
        "import typer, rich": as_row(floor, ratio=1.0),
        "rsbench --help": as_row(helped, ratio=round(helped.wall_s / floor.wall_s, 2)),
        "one mock pair, judged and scored": as_row(item, ratio=round(item.wall_s / floor.wall_s, 2)),
    }
    report("startup", rows, args.out)


if __name__ == "__main__":
    main()
