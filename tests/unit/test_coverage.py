"""Every interval that is printed holds the truth 95 times in 100, give or take 1.5."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import coverage  # noqa: E402

WORLDS = list(coverage.worlds())


def test_the_page_has_a_row_for_every_world_and_none_is_outside() -> None:
    page = coverage.PAGE.read_text(encoding="utf-8")
    assert [world.what for world in WORLDS if f"| {world.what} |" not in page] == []
    assert "**outside" not in page


def test_a_wrong_interval_would_be_seen() -> None:
    narrow = coverage.World("narrow", "a test", 0.5, lambda rng: (rng.random(), 1.0))
    assert coverage.measure(narrow, 400).share < coverage.LOW


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: f"{world.where}: {world.what}")
def test_the_truth_is_inside(world: coverage.World) -> None:
    # Another seed than the page's; 2,000 draws of a right interval are within these by three deviations.
    assert coverage.LOW <= coverage.measure(world, 2000, seed=1).share <= coverage.HIGH
