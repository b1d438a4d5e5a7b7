"""Make the rows that the repository ships: runs of the embedded model, judged offline, exported as rows.

`python tools/rows.py leaderboard/rows` (or `make rows`) runs `tiny` on RSBench-open with the judge `overlap`
and on its own closed world with the oracle, and replaces the rows; transcripts are open. Each command is printed as a user would type it. The rows are
real and say what they are: a model of the closed world, which knows nothing of RSBench-open's drawings.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = (("tiny", "rsbench", "overlap"), ("tiny", "rsbench-closed", "oracle"))


def main() -> None:
    """Run, export and check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=Path, help="folder of the rows")
    parser.add_argument("--task", help="another task than the bundled ones, for a try")
    parser.add_argument("--limit", help="so many pairs of each task, for a try")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / "rows"
        for model, task, judge in RUNS:
            run = Path(work) / f"{model}-{task}-{judge}"
            limit = ["--limit", given.limit] if given.limit else []
            which = ["--model", model, "--task", given.task or task, "--judge", judge]
            _rsbench("run", *which, *limit, "--out", str(run))
            _rsbench("leaderboard", "add", str(run), "--out", str(made))
        given.rows.mkdir(parents=True, exist_ok=True)
        for path in sorted(made.iterdir()):
            (given.rows / path.name).write_bytes(path.read_bytes())
            sys.stdout.write(f"wrote {given.rows / path.name}\n")
    for row in sorted(given.rows.glob("*.json")):
        _rsbench("check", "row", str(row))


def _rsbench(*arguments: str) -> None:
    sys.stdout.write(f"$ {shlex.join(['rsbench', *arguments])}\n")
    sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "rsbench", *arguments], check=True)


if __name__ == "__main__":
    main()
