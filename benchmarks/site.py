"""How long the leaderboard's site takes to build, first and after one more row, and how its pages answer.

`python benchmarks/site.py 50x200 500x20 --browser` makes rows with made-up labels for each size (ROWSxITEMS;
up to ten distinct, the rest copies under other names), builds the site with an empty cache, adds a row,
builds again, and prints a table. With `--browser` it opens index and comparison in Chromium and times load,
sort, filter and compare. 500x10000 needs 10 GB of disk and some minutes.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.measure import report, run
from rsbench.records import digest
from rsbench.types import ROLES, Outcome
from tests.board_rows import outcomes, write_row

DISTINCT = 10


def make(folder: Path, rows: int, items: int) -> None:
    """Rows of `items` items each."""
    distinct = max(min(rows // 10, DISTINCT), 1)
    for n in range(rows):
        name = f"model-{n:04}"
        if n < distinct:
            add(folder, name, 0.3 + 0.5 * n / distinct, n, items)
            continue
        source = folder / f"model-{n % distinct:04}"
        row = json.loads(source.with_suffix(".json").read_text())
        row["name"] = row["model"]["name"] = name
        row["labels"]["file"] = f"{name}.labels.jsonl"
        row["digest"] = digest({key: value for key, value in row.items() if key != "digest"})
        (folder / f"{name}.json").write_text(json.dumps(row))
        shutil.copyfile(f"{source}.labels.jsonl", folder / f"{name}.labels.jsonl")


def build_command(shelf: Path, site: Path) -> list[str]:
    """What a user would type."""
    return [sys.executable, "-m", "rsbench", "leaderboard", "build", "--rows", str(shelf), "--out", str(site)]


def add(folder: Path, name: str, skill: float, seed: int, items: int) -> None:
    """One row that gets a place; some replies are cut short and some verdicts unreadable, as in real ones."""
    rng = random.Random(seed)
    found = [
        _spoilt(n, _varied(one, rng)) for n, one in enumerate(outcomes(skill, seed, max(items // 2, 1), 10))
    ]
    write_row(folder, name, found, None, {"standing": "re-judged"})


def _varied(one: Outcome, rng: random.Random) -> Outcome:
    """Paths of three to eight steps with labels of every kind, as a judge gives them: few are alike."""
    usual = iter(one.steps)
    steps = [
        replace(
            next(usual, one.steps[0]),
            index=n,
            effectiveness=rng.choices(("effective", "neutral", "ineffective"), (6, 3, 1))[0],
            role=rng.choices(ROLES, (6, 2, 3, 2, 2, 3))[0],
            names_risk=rng.random() < 0.3,
        )
        for n in range(1, rng.randint(3, 8) + 1)
    ]
    return replace(one, steps=tuple(steps), n_steps=len(steps))


def _spoilt(n: int, one: Outcome) -> Outcome:
    if n % 199 == 150:  # at most 2 % may be unreadable, or the run is incomplete
        return replace(one, status="unparsed", steps=(), answer=None, risk_identified=None)
    return replace(one, status="truncated") if n % 41 == 7 else one


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 2)


def browse(site: Path) -> dict[str, object]:
    """Seconds until a page answers."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("RSBENCH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        frame = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
        sort = "document.querySelector('th[aria-sort] button[data-sort=\"1\"]').click()"
        found = "f.search.value = '7'; f.dispatchEvent(new Event('input', {bubbles: true}))"
        times: dict[str, object] = {
            "load_s": timed(lambda: page.goto((site / "index.html").as_uri())),
            "sort_s": timed(lambda: page.evaluate(f"() => {{ {sort}; return {frame}; }}")),
            "filter_s": timed(
                lambda: page.evaluate(
                    f"() => {{ const f = document.getElementById('filters'); {found}; return {frame}; }}"
                )
            ),
            "compare_s": timed(lambda: _compare(page, site)),
            "row_s": timed(lambda: page.goto((site / "rows/model-0000.html").as_uri())),
        }
        browser.close()
    return times


def _compare(page: Any, site: Path) -> None:
    page.goto((site / "compare.html#a=model-0000&b=model-0001").as_uri().replace("%23", "#"))
    page.wait_for_selector("#result table")


def measure(rows: int, items: int, browser: bool, work: Path) -> dict[str, object]:
    """One line of the table."""
    shelf, site = work / "rows", work / "site"
    make(shelf, rows, items)
    command, cache = build_command(shelf, site), {"RSBENCH_CACHE": str(work / "cache")}
    first = run(command, work, **cache)
    add(shelf, "one-more", 0.55, rows, items)
    again = run(command, work, **cache)
    return {
        "first_s": first.wall_s,
        "first_cpu_s": first.cpu_s,
        "again_s": again.wall_s,
        "again_cpu_s": again.cpu_s,
        "peak_mib": again.peak_mib,
        "index_kb": (site / "index.html").stat().st_size // 1000,
        "compare_kb": (site / "compare.html").stat().st_size // 1000,
        "row_kb": (site / "rows/model-0000.html").stat().st_size // 1000,
        **(browse(site) if browser else {}),
    }


def main() -> None:
    """Make, build, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="+", metavar="ROWSxITEMS")
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("--out", type=Path, help="write the table as JSON, too")
    given = parser.parse_args()
    found = {}
    for size in given.sizes:
        rows, items = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as work:
            found[f"{rows} × {items}"] = measure(rows, items, given.browser, Path(work))
    report("site: rows × items", found, given.out)


if __name__ == "__main__":
    main()
