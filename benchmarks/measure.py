"""What every benchmark here shares: run a command, and say what it took."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Took:
    """Wall and processor seconds, and peak memory in MiB, of one process."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def run(args: Sequence[str], cwd: Path, **env: str) -> Took:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; a benchmark of a failure measures nothing.
    """
    kept = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env}
    start = time.perf_counter()
    with open(os.devnull, "w") as nothing:
        process = subprocess.Popen(args, cwd=cwd, env=kept, stdout=nothing, stderr=subprocess.PIPE)
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        raise RuntimeError(f"{' '.join(args)} ended with status {status}:\n{complaint.decode()[-2000:]}")
    scale = 2**10 if sys.platform != "darwin" else 2**20  # ru_maxrss is KiB on Linux, bytes on macOS
    return Took(round(wall, 3), round(usage.ru_utime + usage.ru_stime, 3), round(usage.ru_maxrss / scale, 1))


def middle(several: Sequence[Took]) -> Took:
    """Medians, each of its own: a machine that others use as well is slow now and then."""
    return Took(*(round(median(column), 3) for column in zip(*map(astuple, several), strict=True)))


def report(name: str, rows: dict[str, dict[str, object]], out: Path | None) -> None:
    """Print a table of results, and write them as JSON if asked to."""
    columns = list(next(iter(rows.values())))
    sys.stdout.write(f"\n{name}\n| | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns) + "\n")
    for label, row in rows.items():
        sys.stdout.write(f"| {label} | " + " | ".join(str(row[column]) for column in columns) + " |\n")
    if out is not None:
        out.write_text(json.dumps({"benchmark": name, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def as_row(took: Took, **more: object) -> dict[str, object]:
    """One table row out of a measurement."""
    return {**asdict(took), **more}
