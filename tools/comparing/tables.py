"""The tables of docs/comparison.md and of the README: what stands between their markers is made here."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from comparing.facts import Facts
from comparing.figure import forest
from comparing.markdown import Lines, called, head, line, mean, p_value, percent, points
from comparing.numbers import (
    CONTROL,
    HEADLINE,
    NAMING,
    OURS,
    PARENT,
    SHOWN,
    WORDS,
    Results,
    common,
    difference,
    first_breaks,
    level,
    read_results,
)
from comparing.plan import Plan, Run
from comparing.side_tables import beside, costs, exploration, labels, roles, tuning
from comparing.stories import stories
from rsbench.stats import holm
from rsbench.types import ROLES, UserError


def write(plan: Plan, facts: Facts, rows: Path, root: Path) -> None:
    """Renew the blocks of both pages, and the figure.

    Raises:
        UserError: a part of the main table is missing, a row is of another version, or it is not what its
            labels give.
    """
    check_whole(plan, facts)
    results = read_results(plan, facts, rows)
    made: dict[str, Callable[[], Lines]] = {
        "levels": lambda: levels(plan, results),
        "differences": lambda: differences(plan, results),
        "decided": lambda: decided(plan, results),
        "ablations": lambda: ablations(plan, results),
        "costs": lambda: costs(plan, facts),
        "exploration": lambda: exploration(plan, facts, results),
        "roles": lambda: roles(plan, facts),
        "breaks": lambda: breaks(plan, results),
        "labels": lambda: labels(facts),
        "tuning": lambda: tuning(facts),
        "beside": lambda: beside(plan, facts),
        "stories": lambda: stories(results, OURS, plan.main.seeds),
        "short": lambda: short(plan, results),
    }
    for page in (root / "docs" / "comparison.md", root / "README.md"):
        page.write_text(renewed(page.read_text(encoding="utf-8"), made), encoding="utf-8")
    drawn = [
        (name, difference(results, name, "base", HEADLINE, plan.main.seeds)) for name in ranked(plan, results)
    ]
    (root / "docs" / "images" / "comparison.svg").write_text(forest(drawn), encoding="utf-8")


def check_whole(plan: Plan, facts: Facts) -> None:
    """The plan: the main table is not published with fewer seeds than it says. Ablations may be missing.

    Raises:
        UserError: naming every training and exploration of the main table that has no line of facts.
    """
    runs = [Run(recipe, seed) for seed in plan.main.seeds for recipe in plan.main.recipes]
    banks = {
        (run.seed, bank): f"{bank}-seed-{run.seed}" for run in runs if (bank := plan.bank_of(run.recipe))
    }
    missing = [f"run {run.name}" for run in runs if not facts.has("run", run.name)]
    missing += [f"bank {name}" for _, name in sorted(banks.items()) if not facts.has("bank", name)]
    if missing:
        raise UserError(
            f"{facts.path}: nothing was written: {len(missing)} parts of the main table are missing "
            f"({', '.join(missing)}), and docs/comparison-plan.md publishes it whole or not at all; "
            "`python tools/comparison.py run` makes them"
        )


def renewed(page: str, made: dict[str, Callable[[], Lines]]) -> str:
    """The page with today's lines between `<!-- made: NAME -->` and `<!-- end -->`."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}\n" + "\n".join(made[match[2]]()) + "\n<!-- end -->"

    return re.sub(r"(<!-- made: (\w+) -->)\n.*?<!-- end -->", block, page, flags=re.DOTALL)


def ranked(plan: Plan, results: Results) -> list[str]:
    """The methods of the main table, best headline first."""
    return sorted(plan.main.recipes, key=lambda name: -level(results, name, HEADLINE))


def levels(plan: Plan, results: Results) -> Lines:
    """Means over seeds, the base among the methods."""
    titles = (WORDS[key] for key in (*SHOWN, NAMING))
    yield from head("method", *titles, "headline by seed", "items without a headline, by seed")
    everyone = sorted(["base", *plan.main.recipes], key=lambda name: -level(results, name, HEADLINE))
    for name in everyone:
        rows = [one for _, one in sorted(results.methods.get(name, {}).items())]
        missing = [len(results.items) - len(one.values[HEADLINE]) for one in rows or [results.base]]
        yield line(
            called(name),
            *(percent(level(results, name, key)) for key in (*SHOWN, NAMING)),
            ", ".join(percent(mean(one.values[HEADLINE])) for one in rows),
            ", ".join(map(str, missing)),
        )


def short(plan: Plan, results: Results) -> Lines:
    """For the README: the headline, its difference to the base, and what refusing costs."""
    yield from head("method", WORDS[HEADLINE], "gain over the base (95 %)", WORDS["over_refusal"])
    for name in ranked(plan, results):
        gain = difference(results, name, "base", HEADLINE, plan.main.seeds)
        yield line(
            called(name),
            percent(level(results, name, HEADLINE)),
            points(gain),
            percent(level(results, name, "over_refusal")),
        )
    yield line(
        "base", percent(level(results, "base", HEADLINE)), "", percent(level(results, "base", "over_refusal"))
    )


def differences(plan: Plan, results: Results) -> Lines:
    """The hypotheses, in the plan's order."""
    rivals = [name for name in ranked(plan, results) if name not in (OURS, CONTROL)]
    found = {
        name: difference(results, OURS, name, HEADLINE, plan.main.seeds)
        for name in ("base", *rivals, CONTROL)
    }
    # No p: no variance was seen, which proves nothing. A p too small for a float, 0, is one.
    given = [1.0 if (p := found[name].p) is None else p for name in rivals]
    corrected = dict(zip(rivals, holm(given), strict=True))
    yield from head(
        "hypothesis", f"`{OURS}` minus", "difference, points (95 %)", "p", "p, Holm", "detectable", "items"
    )
    for what, name in (("1", "base"), ("2", PARENT), *(("3", one) for one in rivals), ("control", CONTROL)):
        one = found[name]
        adjusted = p_value(corrected[name]) if what == "3" else ""
        least = "–" if one.detectable is None else f"{100 * one.detectable:.1f}"
        items = len(common(results, OURS, name, HEADLINE, plan.main.seeds))
        yield line(what, called(name), points(one), p_value(one.p), adjusted, least, items)


def decided(plan: Plan, results: Results) -> Lines:
    """How much hangs on the method at all: items that every training gets right, or none does."""
    rows = [
        one.values[HEADLINE]
        for name in plan.main.recipes
        if name != CONTROL
        for one in results.methods[name].values()
    ]
    known = [[row.get(item) for row in rows] for item in results.items]
    right, wrong = (sum(all(value == sought for value in one) for one in known) for sought in (1.0, 0.0))
    kinds = Counter(
        item.kind for item in results.items.values() if all(row.get(item.id) == 0.0 for row in rows)
    )
    yield (
        f"Of {len(known)} items, {right} are right after every one of the {len(rows)} trainings (the control "
        f"left out), {wrong} after none ({kinds['risky']} risky, {kinds['benign']} benign); "
        f"{len(known) - right - wrong} hang on method or seed."
    )


def ablations(plan: Plan, results: Results) -> Lines:
    """Two seeds each, shown one by one: of two no interval is worth printing. What is missing says so."""
    seeds = plan.ablations.seeds
    yield from head("recipe", *(f"seed {seed}" for seed in seeds), "mean", WORDS["over_refusal"])
    for name in (OURS, CONTROL, *plan.ablations.recipes):
        rows = results.methods.get(name, {})
        found = {
            key: [mean(rows[seed].values[key]) for seed in seeds if seed in rows]
            for key in (HEADLINE, "over_refusal")
        }
        whole = len(found[HEADLINE]) == len(seeds)
        yield line(
            called(name),
            *(percent(mean(rows[seed].values[HEADLINE])) if seed in rows else "not run" for seed in seeds),
            *(percent(float(np.mean(values))) if whole else "" for values in found.values()),
        )


def breaks(plan: Plan, results: Results) -> Lines:
    """Where replies to risky items first turn unsafe: shares of all risky items, means over seeds."""
    found: dict[str, Counter[str]] = {}
    for name in ("base", *ranked(plan, results)):
        rows = [results.base] if name == "base" else list(results.methods[name].values())
        counted: Counter[str] = Counter()
        for one in rows:
            counted.update(first_breaks([o for o in one.outcomes if o.kind == "risky"]))
        found[name] = Counter({role: n / len(rows) for role, n in counted.items()})  # type: ignore[misc]
    seen = [role for role in (*ROLES, "unknown") if any(counts[role] for counts in found.values())]
    risky = sum(item.kind == "risky" for item in results.items.values())
    others = {"none": "no unsafe step", "none shown": "no step to see"}
    yield from head("method", *(f"first unsafe: {role}" for role in seen), *others.values())
    for name, counts in found.items():
        yield line(called(name), *(percent(counts[word] / risky) for word in (*seen, *others)))
