"""Do the printed 95 % intervals hold the truth 95 times in 100? Draw runs from known worlds and count.

    python tools/coverage.py              # 2,000 draws a row; rewrites the table of docs/coverage.md
    python tools/coverage.py --draws 200  # a quick look, printed only

Every world has twin pairs: both twins of a pair share a rate, so they fail together.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsbench.agreement import kappa_interval
from rsbench.bootstrap import cluster_bootstrap_mean, cluster_bootstrap_ratio
from rsbench.correction import Drawn, ppi, rogan_gladen
from rsbench.stats import effective_n, wilson

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "coverage.md"
BEGIN, END = "<!-- coverage: made by tools/coverage.py -->", "<!-- end -->"
Interval = tuple[float, float] | None
LOW, HIGH = 0.935, 0.965


@dataclass(frozen=True)
class World:
    """A way to draw data whose true number is known. `draw` gives the interval that would be printed."""

    what: str
    where: str  # what it is printed for
    truth: float
    draw: Callable[[np.random.Generator], Interval]


@dataclass(frozen=True)
class Covered:
    """How often the truth was inside, of the draws that gave an interval at all."""

    world: World
    share: float
    draws: int
    none: int
    width: float


def twins(rng: np.random.Generator, pairs: int, rate: float, likeness: float, of: int = 2) -> np.ndarray:
    """0/1 outcomes `(pairs, of)`: beta-distributed pair rates with intra-pair correlation `likeness`."""
    spread = (1 - likeness) / likeness
    rates = rng.beta(rate * spread, (1 - rate) * spread, size=pairs)
    return (rng.random((pairs, of)) < rates[:, None]).astype(float)


def ids(pairs: int, of: int = 2) -> list[str]:
    """The cluster of each value of a raveled `(pairs, of)` array."""
    return [str(pair) for pair in range(pairs) for _ in range(of)]


def proportion(pairs: int, rate: float, likeness: float) -> World:
    """A share of items, such as S, E or PathSafe."""

    def draw(rng: np.random.Generator) -> Interval:
        values = twins(rng, pairs, rate, likeness).ravel().tolist()
        return wilson(sum(values) / len(values), effective_n(values, ids(pairs)))

    return World(
        f"share of {rate:.0%}, {pairs} pairs, likeness {likeness}", "shares (Wilson, effective n)", rate, draw
    )


def mean_of_shares(pairs: int) -> World:
    """StepSafe: a mean of fractions."""

    def draw(rng: np.random.Generator) -> Interval:
        steps = rng.integers(2, 8, size=(pairs, 2))
        rates = rng.beta(7, 3, size=(pairs, 1))
        return cluster_bootstrap_mean((rng.binomial(steps, rates) / steps).ravel().tolist(), ids(pairs), 0)

    return World(f"mean step share of 70 %, {pairs} pairs", "StepSafe, StepEffective (bootstrap)", 0.7, draw)


def difference(pairs: int) -> World:
    """Two runs on the same items: 60 % against 70 %."""

    def draw(rng: np.random.Generator) -> Interval:
        hard = rng.normal(size=(pairs, 1))
        luck = rng.normal(size=(2, pairs, 2))
        bar = np.array([0.2533, 0.5244])[:, None, None] * np.sqrt(2)  # normal quantiles of 60 % and 70 %
        a, b = (hard + luck < bar).astype(float)
        return cluster_bootstrap_mean((b - a).ravel().tolist(), ids(pairs), 0)

    return World(f"difference of 10 points, {pairs} pairs", "compare (paired bootstrap)", 0.1, draw)


def hazard(pairs: int) -> World:
    """First unsafe steps per step at risk: geometric, 10 % a step, six steps at most."""

    def draw(rng: np.random.Generator) -> Interval:
        first = rng.geometric(0.1, size=(pairs, 2))
        fell, risk = (first <= 6).astype(float), np.minimum(first, 6).astype(float)
        return cluster_bootstrap_ratio(fell.ravel().tolist(), risk.ravel().tolist(), ids(pairs), 0)

    return World(f"hazard of 10 %, {pairs} pairs", "hazard, micro step metrics (ratio bootstrap)", 0.1, draw)


def kappa(pairs: int) -> World:
    """A judge that errs in 20 % of safe and 30 % of unsafe steps; a third is unsafe."""
    gold, miss, alarm = 1 / 3, 0.3, 0.2
    agree = gold * (1 - miss) + (1 - gold) * (1 - alarm)
    says = gold * (1 - miss) + (1 - gold) * alarm
    chance = gold * says + (1 - gold) * (1 - says)

    def draw(rng: np.random.Generator) -> Interval:
        truth = twins(rng, pairs, gold, 0.2, of=6)
        errs = rng.random(truth.shape) < np.where(truth == 1, miss, alarm)
        said = np.where(errs, 1 - truth, truth)
        rows = [
            (c, str(t), str(s)) for c, t, s in zip(ids(pairs, 6), truth.ravel(), said.ravel(), strict=True)
        ]
        return kappa_interval(rows)

    return World(
        f"kappa, {pairs} pairs of 6 steps", "kappa (bootstrap)", (agree - chance) / (1 - chance), draw
    )


def correction(pairs: int, rate: float, drawn: int, hits: float, passes: float, inverted: bool) -> World:
    """A labelled sample, so many of each stratum; strata are twins by the judge's word."""

    def draw(rng: np.random.Generator) -> Interval:
        truth = twins(rng, pairs, rate, 0.2)
        says = rng.random(truth.shape) < np.where(truth == 1, hits, 1 - passes)
        unclear = rng.random(truth.shape) < 0.1
        names = [
            f"{'rb'[twin]} {'?' if unclear[pair, twin] else says[pair, twin]}"
            for pair in range(pairs)
            for twin in range(2)
        ]
        chosen: set[int] = set()
        for name in set(names):
            members = [k for k, other in enumerate(names) if other == name]
            chosen |= set(rng.choice(members, size=min(drawn, len(members)), replace=False).tolist())
        judged = np.where(unclear, 0.5, says).ravel()
        rows = zip(ids(pairs), names, judged, truth.ravel(), strict=True)
        population = [
            Drawn(c, name, float(f), float(y) if k in chosen else None)
            for k, (c, name, f, y) in enumerate(rows)
        ]
        found = rogan_gladen(population) if inverted else ppi(population)
        return None if found.low is None or found.high is None else (found.low, found.high)

    judge = f"judge {hits:.0%}/{passes:.0%}"
    way = "Rogan–Gladen" if inverted else "PPI++"
    return World(f"share of {rate:.0%}, {pairs} pairs, {drawn} a stratum, {judge}", way, rate, draw)


def worlds() -> Iterator[World]:
    """All rows of the table."""
    for pairs, rate, likeness in ((120, 0.6, 0.3), (120, 0.9, 0.3), (120, 0.3, 0.6), (30, 0.5, 0.3)):
        yield proportion(pairs, rate, likeness)
    for pairs in (120, 30):
        yield mean_of_shares(pairs)
        yield difference(pairs)
        yield hazard(pairs)
        yield kappa(pairs)
    for inverted in (False, True):
        yield correction(120, 0.6, 12, 0.8, 0.9, inverted)
        yield correction(120, 0.85, 15, 0.9, 0.8, inverted)
        yield correction(400, 0.3, 25, 0.7, 0.7, inverted)


def measure(world: World, draws: int, seed: int = 0) -> Covered:
    """Draw and count."""
    rng = np.random.default_rng(seed)
    found = [ends for _ in range(draws) if (ends := world.draw(rng)) is not None]
    inside = sum(low <= world.truth <= high for low, high in found)
    width = sum(high - low for low, high in found) / max(1, len(found))
    return Covered(world, inside / max(1, len(found)), len(found), draws - len(found), width)


def table(rows: list[Covered]) -> str:
    """The rows in Markdown."""
    lines = [
        "| printed for | world | inside the interval | mean width | draws | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        good = "" if LOW <= row.share <= HIGH else "**outside 93.5 to 96.5 %**"
        lines.append(
            f"| {row.world.where} | {row.world.what} | {row.share:.1%} | {row.width:.3f} "
            f"| {row.draws:,} | {good} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args(argv).draws
    rows = []
    for world in worlds():
        rows.append(measure(world, draws))
        sys.stdout.write(f"{rows[-1].share:.3f}  {world.where}: {world.what}\n")
        sys.stdout.flush()
    if draws >= 2000:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
