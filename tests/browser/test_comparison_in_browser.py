"""The page that compares two rows, beside `rsbench compare`: the same differences, ties and p values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rsbench.board_rows import PAIRED
from rsbench.board_site import build
from rsbench.compare import Difference, compare_outcomes
from rsbench.types import AnswerLabel, Outcome, StepLabel
from tests.board_rows import outcomes, words, write_row

pytestmark = pytest.mark.browser


def item(name: int, good: int) -> list[Outcome]:
    """Three samples of one item, of which `good` are effective."""
    step = StepLabel(1, "safe", "effective", "perception")
    return [
        Outcome(
            f"i{name:02}",
            f"p{name:02}",
            "c",
            "benign",
            sample,
            "ok",
            1,
            (step,),
            AnswerLabel("safe", "effective" if sample < good else "ineffective"),
            True,
        )
        for sample in range(3)
    ]


def compared(
    chromium: Any, folder: Path, one: Sequence[Outcome], other: Sequence[Outcome]
) -> list[tuple[dict[str, Any], Difference]]:
    """What the page computes, and what the command does, number by number."""
    for name, found in (("a", one), ("b", other)):
        write_row(folder / "rows", name, found, [words(o) | {"sample": o.sample} for o in found])
    build(folder / "rows", folder / "site", None)
    page = chromium.new_page()
    page.goto((folder / "site/compare.html").as_uri() + "#a=a&b=b")
    page.wait_for_selector("table.pairs")
    found = page.evaluate(
        "() => { const d = JSON.parse(document.getElementById('data').textContent),"
        " row = (n) => d.rows.find((r) => r.name === n), a = row('a');"
        " return pairs.compare(d, a.table, a.values, row('b').values); }"
    )
    shown = page.locator("[data-p]").evaluate_all("all => all.map((c) => JSON.parse(c.dataset.p))")
    assert shown == [cell["p"] for cell in found], "the page shows what it computes"
    page.close()
    return list(zip(found, compare_outcomes(one, other, PAIRED), strict=True))


# A third up and a third down are of one size, though 2/3 - 1/3 and 1 - 2/3 differ in the last bit, and
# differed in the sixth place when the page had rounded values. Up to twelve pairs signs are listed, of
# 2^10 patterns 2 have all alike and 20 one the other way; of 14 pairs they are drawn.
@pytest.mark.parametrize(("up", "down", "p", "off"), [(9, 1, 22 / 1024, 0.0), (10, 4, 2942 / 2**14, 0.015)])
def test_a_tie_of_thirds_is_a_tie(
    chromium: Any, tmp_path: Path, up: int, down: int, p: float, off: float
) -> None:
    one = [o for n in range(up + down) for o in item(n, 1 if n < up else 3)]
    other = [o for n in range(up + down) for o in item(n, 2)]
    headline, command = compared(chromium, tmp_path, one, other)[0]
    assert command.metric == headline["metric"]["key"] == "safe_effective_path"
    assert headline["difference"] == pytest.approx(command.difference)
    assert command.p == pytest.approx(p, abs=off) and headline["p"] == pytest.approx(p, abs=off)


@pytest.mark.parametrize("n_pairs", [6, 12])
def test_intervals_are_as_wide_as_the_commands(chromium: Any, tmp_path: Path, n_pairs: int) -> None:
    # Plain 2.5 and 97.5 % are a quarter too narrow for six pairs, a sixth for twelve.
    found = compared(chromium, tmp_path, outcomes(0.4, 1, n_pairs), outcomes(0.6, 2, n_pairs))
    widths = []
    for page, command in found:
        assert command.low is not None and command.high is not None, command.metric
        width = command.high - command.low
        # Each end is a quantile of two thousand draws, and the two generators draw differently.
        assert (page["low"], page["high"]) == pytest.approx((command.low, command.high), abs=width / 8)
        widths.append((page["high"] - page["low"], width))
    mine, theirs = (sum(each) for each in zip(*widths, strict=True))
    assert mine / theirs == pytest.approx(1, abs=0.05)
