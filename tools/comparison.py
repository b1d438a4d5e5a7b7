"""Compare the training methods on the embedded model, as tools/comparing/plan.yaml says.

    python tools/comparison.py tune     learning rates, on the split for tuning
    python tools/comparison.py run      every training, its run and its row: hours on two cores, resumable
    python tools/comparison.py tables   the tables and figures of docs/comparison.md, from rows and facts

`make comparison` does the last two. Rows go to leaderboard/rows, one JSON of facts a training to
docs/comparison/, explorations, models and run folders to --work.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comparing import running
from comparing.plan import read_plan

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Do one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("do", choices=("tune", "run", "tables"))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "comparison", help="scratch, resumable")
    parser.add_argument("--rows", type=Path, default=ROOT / "leaderboard" / "rows")
    parser.add_argument("--facts", type=Path, default=ROOT / "docs" / "comparison")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side, of one thread each")
    given = parser.parse_args()
    plan = read_plan()
    places = running.Places(given.work, given.rows, given.facts)
    if given.do == "tables":
        from comparing.tables import write

        write(plan, places, ROOT / "docs" / "comparison.md")
        return
    runs = list(plan.trials() if given.do == "tune" else plan.runs())
    shared = {(one.seed, bank) for one in runs if (bank := plan.bank_of(one.recipe)) is not None}
    banks = [(running.explore, (plan, places, bank, seed)) for seed, bank in sorted(shared)]
    running.together(banks, given.workers, "explored")
    do = running.tune if given.do == "tune" else running.run
    running.together([(do, (plan, places, one)) for one in runs], given.workers, "trained")
    if given.do == "run":
        chosen = [one for one in runs if one.recipe in plan.main.recipes and one.seed in plan.beside.seeds]
        jobs = [(running.beside, (plan, places, one)) for one in (None, *chosen)]
        running.together(jobs, given.workers, f"measured on {plan.beside.task}")


if __name__ == "__main__":
    main()
