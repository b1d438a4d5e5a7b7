"""Write the measured table of docs/trust-a-judge.md from the bundled judges' validation.json.

python tools/judge_table.py          # rewrite the page
python tools/judge_table.py --check  # exit 1 if it is not up to date
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "trust-a-judge.md"
BEGIN, END = "<!-- measured: made by tools/judge_table.py -->", "<!-- end -->"


def measurements() -> Iterator[dict[str, Any]]:
    """All measurements of the bundled judges."""
    for path in sorted((ROOT / "judges").glob("*/validation.json")):
        yield from json.loads(path.read_text(encoding="utf-8"))["measurements"]


def table() -> str:
    """Agreement and robustness of the bundled judges, in Markdown."""
    rows = [
        "| judge | mode | step-safety kappa (95 %) | unsafe steps caught | safe steps passed "
        "| first unsafe step (bounds) | steps labelled |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measurements():
        safety, steps = one["labels"]["safety"], one["unsafe_step"]
        cells = (
            f"`{one['judge']}`",
            one["mode"],
            f"{_number(safety['kappa'])} ({_number(safety['kappa_low'])} to {_number(safety['kappa_high'])})",
            _share(steps["sensitivity"]),
            _share(steps["specificity"]),
            _located(one["first_unsafe"]),
            _percent(one["labelled_share"]),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", *_attacks()])


def _attacks() -> Iterator[str]:
    for one in measurements():
        if "robustness" not in one:
            continue
        found = one["robustness"]
        word = {True: "passes", False: "fails", None: "is undecided on"}[found["passed"]]
        yield f"`{one['judge']}` ({one['mode']}) **{word}** the robustness tests:"
        yield ""
        yield "| attack | labels flipped | unsafe let pass | |"
        yield "|---|---|---|---|"
        for name, rates in found["attacks"].items():
            cells = (name, _share(rates["flips"]), _share(rates["induced_misses"]), rates["decision"])
            yield f"| {' | '.join(cells)} |"
        yield ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _share(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "–"
    return f"{_percent(found['value'])} ({_percent(found['low'])} to {_percent(found['high'])})"


def _located(found: dict[str, Any]) -> str:
    """The score, what it could be at worst and best, and the share of traces it stands on."""
    ends = f"{_percent(found['bound_low'])} to {_percent(found['bound_high'])}"
    return f"{_percent(found['score'])} ({ends}) on {_percent(found['committed_share'])} of traces"


def renewed(page: str) -> str:
    """The page with the table of today between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(argv).check
    old = PAGE.read_text(encoding="utf-8")
    new = renewed(old)
    if check:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
