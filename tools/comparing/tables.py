"""The tables of docs/comparison.md and of the README: what stands between their markers is made here."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from comparing.facts import Facts
from comparing.figure import forest
from comparing.numbers import NAMING, SHOWN, Results, difference, first_breaks, level, read_results
from comparing.plan import Plan
from comparing.stories import stories
from rsbench.stats import holm
from rsbench.two_way import TwoWay

OURS, PARENT, CONTROL = "srpo", "rpo", "srpo-shuffled"
HEADLINE = "safe_effective_path"
WORDS = {
    "safe_effective_path": "SafeEffectivePath ↑",
    "safe_answer": "S ↑",
    "effective_answer": "E ↑",
    "over_refusal": "over-refusal ↓",
    NAMING: "naming F1 ↑",
}
Lines = Iterator[str]


def write(plan: Plan, facts: Facts, rows: Path, root: Path) -> None:
    """Renew the blocks of both pages, and the figure.

    Raises:
        UserError: a row of another version, or one that is not what its labels give.
    """
    results = read_results(plan, facts, rows)
    made: dict[str, Callable[[], Lines]] = {
        "levels": lambda: levels(plan, results),
        "differences": lambda: differences(plan, results),
        "ablations": lambda: ablations(plan, results),
        "costs": lambda: costs(plan, facts),
        "exploration": lambda: exploration(plan, facts, results),
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
    yield from head("method", *(WORDS[key] for key in (*SHOWN, NAMING)), "headline by seed")
    everyone = sorted(["base", *plan.main.recipes], key=lambda name: -level(results, name, HEADLINE))
    for name in everyone:
        by_seed = [
            percent(float(np.mean(list(one.values[HEADLINE].values()))))
            for _, one in sorted(results.methods.get(name, {}).items())
        ]
        yield line(
            called(name),
            *(percent(level(results, name, key)) for key in (*SHOWN, NAMING)),
            ", ".join(by_seed),
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
    corrected = dict(zip(rivals, holm([found[name].p or 1.0 for name in rivals]), strict=True))
    yield from head(
        "hypothesis", f"`{OURS}` minus", "difference, points (95 %)", "p", "p, Holm", "detectable"
    )
    for what, name in (("1", "base"), ("2", PARENT), *(("3", one) for one in rivals), ("control", CONTROL)):
        one = found[name]
        adjusted = p_value(corrected[name]) if what == "3" else ""
        least = "–" if one.detectable is None else f"{100 * one.detectable:.1f}"
        yield line(what, called(name), points(one), p_value(one.p), adjusted, least)


def ablations(plan: Plan, results: Results) -> Lines:
    """Two seeds each, shown one by one: of two no interval is worth printing."""
    seeds = plan.ablations.seeds
    yield from head("recipe", *(f"seed {seed}" for seed in seeds), "mean", WORDS["over_refusal"])
    for name in (OURS, CONTROL, *plan.ablations.recipes):
        rows = results.methods.get(name, {})
        if not set(seeds) <= set(rows):
            yield line(called(name), *("not run" for _ in seeds), "", "")
            continue
        headline, refused = (
            [mean(rows[seed].values[key]) for seed in seeds] for key in (HEADLINE, "over_refusal")
        )
        yield line(
            called(name),
            *map(percent, headline),
            percent(float(np.mean(headline))),
            percent(float(np.mean(refused))),
        )


def costs(plan: Plan, facts: Facts) -> Lines:
    """What a training took, means over seeds."""
    banks = {(one["bank"], one["seed"]): one for one in facts.of("bank")}
    yield from head(
        "method",
        "explored items",
        "generated tokens",
        "judge calls",
        "tokens to learn from",
        "optimiser steps",
        "CPU s training",
        "CPU s of its exploration",
    )
    for name in plan.main.recipes:
        runs = [one for one in facts.of("run") if one["recipe"] == name and one["seed"] in plan.main.seeds]
        bank = plan.bank_of(name)
        own = [banks[bank, one["seed"]] for one in runs] if bank else []
        learnt = [one["steps"] * one["tokens_a_question"] * batch(name) for one in runs]
        spent = ("explored_items", "generated_tokens", "judge_calls")
        yield line(
            called(name),
            *(f"{np.mean([one[key] for one in runs]):,.0f}" if own else "–" for key in spent),
            f"{np.mean(learnt):,.0f}",
            f"{np.mean([one['steps'] for one in runs]):.0f}",
            f"{np.mean([one['cpu_seconds'] for one in runs]):.0f}",
            f"{np.mean([one['cpu_seconds'] for one in own]):.0f}" if own else "–",
        )


def exploration(plan: Plan, facts: Facts, results: Results) -> Lines:
    """Pairs for tokens by sampler, and the score of SRPO on top of each, for equal tokens."""
    users = {"adaptive": OURS, "uniform": "srpo-k-10", "uniform-4": "srpo-k-4", "uniform-2": "srpo-k-2"}
    seeds = plan.ablations.seeds
    yield from head(
        "exploration",
        "items",
        "pairs",
        "pairs per 1,000 tokens",
        "pairs per judge call",
        f"{WORDS[HEADLINE]} after training",
    )
    for bank, recipe in users.items():
        own = [one for one in facts.of("bank") if one["bank"] == bank and one["seed"] in seeds]
        rows = results.methods.get(recipe, {})
        if not own or not set(seeds) <= set(rows):
            continue
        tokens, pairs, calls = (
            sum(one[key] for one in own) for key in ("generated_tokens", "pairs", "judge_calls")
        )
        score = np.mean([mean(rows[seed].values[HEADLINE]) for seed in seeds])
        word = bank if bank == "adaptive" else f"uniform, K = {bank.partition('-')[2] or 10}"
        yield line(
            word,
            f"{np.mean([one['items'] for one in own]):.0f}",
            f"{pairs / len(own):.0f}",
            f"{1000 * pairs / tokens:.2f}",
            f"{pairs / calls:.2f}",
            percent(float(score)),
        )


def breaks(plan: Plan, results: Results) -> Lines:
    """Where replies to risky items first turn unsafe: shares of all risky items, means over seeds."""
    roles = ("perception", "request", "synthesis", "consequence", "strategy", "answer", "unknown")
    found: dict[str, Counter[str]] = {}
    for name in ("base", *ranked(plan, results)):
        rows = [results.base] if name == "base" else list(results.methods[name].values())
        counted: Counter[str] = Counter()
        for one in rows:
            counted.update(first_breaks([o for o in one.outcomes if o.kind == "risky"]))
        found[name] = Counter({role: n / len(rows) for role, n in counted.items()})  # type: ignore[misc]
    seen = [role for role in roles if any(counts[role] for counts in found.values())]
    risky = sum(item.kind == "risky" for item in results.items.values())
    yield from head("method", *(f"first unsafe: {role}" for role in seen), "no unsafe step")
    for name, counts in found.items():
        yield line(
            called(name), *(percent(counts[role] / risky) for role in seen), percent(counts["none"] / risky)
        )


def labels(facts: Facts) -> Lines:
    """The labeller beside the scorer, on all explored branches."""
    yield from head(
        "rule",
        "branches",
        "same label",
        "favourable, but not to the scorer",
        "unfavourable, but not to the scorer",
        "scorer can't tell",
    )
    for rule in ("outcome", "step"):
        total: Counter[str] = Counter()
        for one in facts.of("bank"):
            total.update(one["labels"][rule])
        n = sum(total.values())
        same = sum(count for key, count in total.items() if len(set(key.split("/"))) == 1)
        unknown = sum(
            count
            for key, count in total.items()
            if key.endswith("/unknown") and not key.startswith("unknown")
        )
        yield line(
            rule,
            f"{n:,}",
            f"{same / n:.2%}",
            total["favourable/unfavourable"],
            total["unfavourable/favourable"],
            unknown,
        )


def tuning(facts: Facts) -> Lines:
    """Every trial; the better one of each method was taken."""
    yield from head("method", "learning rate", WORDS[HEADLINE], WORDS["safe_answer"], WORDS["over_refusal"])
    for one in facts.of("trial"):
        yield line(
            called(one["recipe"]),
            f"{one['learning_rate']:.0e}",
            *(percent(one[key]) for key in (HEADLINE, "safe_answer", "over_refusal")),
        )


def beside(plan: Plan, facts: Facts) -> Lines:
    """The other task."""
    keys = ("safe_effective_path", "safe_answer", "effective_answer", "over_refusal")
    found: dict[str, list[dict[str, Any]]] = {}
    for one in facts.of("beside"):
        found.setdefault(one["recipe"], []).append(one["estimands"]["system"])
    yield from head("method", *(WORDS[key] for key in keys), "seeds")
    for name in ("base", *plan.main.recipes):
        if name in found:
            values = [np.mean([one[key]["value"] for one in found[name]]) for key in keys]
            yield line(
                called(name),
                *(percent(float(value)) for value in values),
                len(found[name]) if name != "base" else "",
            )


def batch(recipe: str) -> int:
    """Questions of an optimiser step."""
    from srpo_train.recipes import load_recipe

    optimise = load_recipe(recipe, [])[0].optimise
    return optimise.batch * optimise.accumulate


def mean(values: Any) -> float:
    """Of a row's values by item."""
    return float(np.mean(list(values.values())))


def called(name: str) -> str:
    """A method's name in a table."""
    return name if name == "base" else f"`{name}`"


def percent(value: float) -> str:
    """A share with one decimal."""
    return f"{100 * value:.1f} %"


def points(found: TwoWay) -> str:
    """A difference of shares in points with its interval."""
    if found.low is None or found.high is None:
        return f"{100 * found.mean:+.1f}"
    return f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def p_value(p: float | None) -> str:
    """Three decimals."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def head(*cells: str) -> Lines:
    """Head and rule of a table."""
    yield line(*cells)
    yield line(*("---" for _ in cells))


def line(*cells: object) -> str:
    """One row."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"
