"""How long the leaderboard's site takes to build, what its pages weigh, and how quickly they answer.

`python benchmarks/site.py --rows 50 --items 1000` makes rows with made-up labels (a tenth distinct, the
rest copies under other names), builds the site and prints one JSON line. With `--browser` it opens index and
comparison in Chromium and times load, sort, filter and compare.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rsbench.board_site import build
from rsbench.records import digest
from tests.board_rows import outcomes, write_row


def make(folder: Path, rows: int, items: int) -> None:
    """Rows of `items` items each."""
    distinct = max(rows // 10, 1)
    for n in range(rows):
        name = f"model-{n:04}"
        if n < distinct:
            write_row(folder, name, outcomes(0.3 + 0.5 * n / distinct, n, max(items // 2, 1), 10))
            continue
        source = folder / f"model-{n % distinct:04}"
        row = json.loads(source.with_suffix(".json").read_text())
        row["name"] = row["model"]["name"] = name
        row["labels"]["file"] = f"{name}.labels.jsonl"
        row["digest"] = digest({key: value for key, value in row.items() if key != "digest"})
        (folder / f"{name}.json").write_text(json.dumps(row))
        shutil.copyfile(f"{source}.labels.jsonl", folder / f"{name}.labels.jsonl")


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 3)


def browse(site: Path) -> dict[str, float]:
    """Seconds until a page answers."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("RSBENCH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        frame = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
        sort = "document.querySelector('th[aria-sort] button[data-sort=\"1\"]').click()"
        found = "f.search.value = '7'; f.dispatchEvent(new Event('input', {bubbles: true}))"
        times = {
            "load_s": timed(lambda: page.goto((site / "index.html").as_uri())),
            "sort_s": timed(lambda: page.evaluate(f"() => {{ {sort}; return {frame}; }}")),
            "filter_s": timed(
                lambda: page.evaluate(
                    f"() => {{ const f = document.getElementById('filters'); {found}; return {frame}; }}"
                )
            ),
            "compare_s": timed(lambda: _compare(page, site)),
        }
        browser.close()
    return times


def _compare(page: Any, site: Path) -> None:
    page.goto((site / "compare.html").as_uri())
    page.wait_for_selector("#result :is(table, p)")


def main() -> None:
    """Make, build, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--items", type=int, default=1000, help="items of each row")
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows, site = Path(work) / "rows", Path(work) / "site"
        make(rows, given.rows, given.items)
        start = time.process_time()
        seconds = timed(lambda: build(rows, site, None))
        found: dict[str, Any] = {
            "rows": given.rows,
            "items": given.items,
            "build_s": seconds,
            "build_cpu_s": round(time.process_time() - start, 2),
            "index_kb": (site / "index.html").stat().st_size // 1000,
            "compare_kb": (site / "compare.html").stat().st_size // 1000,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        sys.stdout.write(json.dumps(found | (browse(site) if given.browser else {})) + "\n")


if __name__ == "__main__":
    main()
