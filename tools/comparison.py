"""Compare the training methods on the embedded model, as tools/comparing/plan.yaml says.

    python tools/comparison.py tune     learning rates, on the split for tuning
    python tools/comparison.py run      every training, its run and its row: hours on two cores, resumable
    python tools/comparison.py tables   the tables and figures of docs/comparison.md, from rows and facts

`make comparison` does the last two. Rows go to leaderboard/rows, a line of facts a training to
docs/comparison.jsonl, explorations, models and run folders to --work.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comparing import running
from comparing.facts import Facts
from comparing.plan import read_plan

from rsbench.types import UserError

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Do one of the three; what the user can mend is said in a line."""
    try:
        _do()
    except UserError as error:
        sys.exit(f"error: {error}")


def _do() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("do", choices=("tune", "run", "tables"))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "comparison", help="scratch, resumable")
    parser.add_argument("--rows", type=Path, default=ROOT / "leaderboard" / "rows")
    parser.add_argument("--facts", type=Path, default=ROOT / "docs" / "comparison.jsonl")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side, of one thread each")
    given = parser.parse_args()
    plan, facts = read_plan(), Facts(given.facts)
    if given.do == "tables":
        from comparing.tables import write

        write(plan, facts, given.rows, ROOT)
        return
    runs = list(plan.trials() if given.do == "tune" else plan.runs())
    running.together(running.explorations(plan, runs, given.work), facts, given.workers)
    if given.do == "tune":
        running.together(running.trials(plan, given.work), facts, given.workers)
        return
    running.together(running.trainings(plan, given.work, given.rows), facts, given.workers)
    running.together(running.others(plan, given.work), facts, given.workers)


if __name__ == "__main__":
    main()
