"""The tables around the result: what it cost, how labels were made, tuning, another task."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from comparing.facts import Facts
from comparing.markdown import Lines, called, head, line, mean, percent
from comparing.numbers import HEADLINE, OURS, WORDS, Results
from comparing.plan import Plan
from rsbench.types import ROLES


def costs(plan: Plan, facts: Facts) -> Lines:
    """What a training took, means over seeds."""
    banks = {(one["bank"], one["seed"]): one for one in facts.of("bank")}
    yield from head(
        "method",
        "explored items",
        "generated tokens",
        "judge calls",
        "questions to learn from",
        "tokens to learn from",
        "optimiser steps",
        "CPU s training",
        "CPU s of its exploration",
    )
    for name in plan.main.recipes:
        runs = [one for one in facts.of("run") if one["recipe"] == name and one["seed"] in plan.main.seeds]
        bank = plan.bank_of(name)
        own = [banks[bank, one["seed"]] for one in runs] if bank else []
        learnt = [one["questions_seen"] * one["tokens_a_question"] for one in runs]
        spent = ("explored_items", "generated_tokens", "judge_calls")
        yield line(
            called(name),
            *(f"{np.mean([one[key] for one in runs]):,.0f}" if own else "–" for key in spent),
            _spread([one["questions"] for one in runs]) + _seen(runs),
            f"{np.mean(learnt):,.0f}",
            f"{np.mean([one['steps'] for one in runs]):.0f}",
            f"{np.mean([one['cpu_seconds'] for one in runs]):.0f}",
            f"{np.mean([one['cpu_seconds'] for one in own]):.0f}" if own else "–",
        )


def exploration(plan: Plan, facts: Facts, results: Results) -> Lines:
    """Pairs for tokens by sampler, and the score of SRPO on top of each, for equal tokens.

    Of the trainings, which take what the budget pays for: an exploration's own file holds the items more that
    were under way when it was spent, as many as eight.
    """
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
        own = [one for one in facts.of("run") if one["recipe"] == recipe and one["seed"] in seeds]
        rows = results.methods.get(recipe, {})
        word = bank if bank == "adaptive" else f"uniform, K = {bank.partition('-')[2] or 10}"
        if len(own) < len(seeds) or not set(seeds) <= set(rows):
            yield line(word, "not run", "", "", "", "")
            continue
        tokens, pairs, calls = (
            sum(one[key] for one in own) for key in ("generated_tokens", "pairs", "judge_calls")
        )
        score = np.mean([mean(rows[seed].values[HEADLINE]) for seed in seeds])
        yield line(
            word,
            f"{np.mean([one['explored_items'] for one in own]):.0f}",
            f"{pairs / len(own):.0f}",
            f"{1000 * pairs / tokens:.2f}",
            f"{pairs / calls:.2f}",
            percent(float(score)),
        )


def roles(plan: Plan, facts: Facts) -> Lines:
    """Where explorations of the main table found pairs, and what they paid there, by the step replaced."""
    yield from head(
        "exploration", "branches take the place of", "prefixes", "with a pair", "pairs", "share of tokens"
    )
    for bank in ("adaptive", "uniform"):
        own = [one for one in facts.of("bank") if one["bank"] == bank and one["seed"] in plan.main.seeds]
        spent = sum(one["generated_tokens"] for one in own)
        for role in (*ROLES, "answer"):
            found = [one["by_role"][role] for one in own if role in one["by_role"]]
            prefixes, mixed, pairs, tokens = (
                sum(row[key] for row in found) for key in ("prefixes", "mixed", "pairs", "tokens")
            )
            if prefixes:
                yield line(bank, role, prefixes, percent(mixed / prefixes), pairs, percent(tokens / spent))


def labels(facts: Facts) -> Lines:
    """The labeller beside the scorer, on all explored branches."""
    yield from head(
        "rule",
        "branches",
        "same label of those labelled",
        "favourable, but not to the scorer",
        "unfavourable, but not to the scorer",
        "scorer can't tell",
        "labeller can't tell",
    )
    for rule in ("outcome", "step"):
        total: Counter[str] = Counter()
        for one in facts.of("bank"):
            total.update(one["labels"][rule])
        n = sum(total.values())
        dropped = sum(count for key, count in total.items() if key.startswith("unknown/"))
        same = total["favourable/favourable"] + total["unfavourable/unfavourable"]
        unknown = total["favourable/unknown"] + total["unfavourable/unknown"]
        yield line(
            rule,
            f"{n:,}",
            f"{same / (n - dropped):.2%}",
            total["favourable/unfavourable"],
            total["unfavourable/favourable"],
            unknown,
            dropped,
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


def _seen(runs: Sequence[dict[str, Any]]) -> str:
    """Of how many of them replies came up, where that is counted."""
    counted = all("items_seen" in one for one in runs)
    return f", {_spread([one['items_seen'] for one in runs])} seen" if counted else ""


def _spread(counts: Sequence[int]) -> str:
    """The mean, and from where to where it goes."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{np.mean(counts):.0f} ({low} to {high})"
