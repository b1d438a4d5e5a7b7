"""Usable pairs a token: adaptive against uniform exploration; and cached branches against encoding anew.

    python benchmarks/exploration.py [--items 48] [--seeds 3] [--split train]
        [--cached | --skip-speed] [--keep FOLDER] [--out exploration.json]

The embedded model on training items of `rsbench-closed`, judged by the oracle, label `step`. A branch's noise
comes from its item, prefix, draw and seed alone, so all samplers see the same branches: `uniform` with K = 10
is sampled, and the other samplers, whose decisions are pure functions of what was drawn, are replayed on its
records. Intervals: twin pairs resampled (bootstrap), the same for both sides of a ratio, all seeds together.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from measure import report

from rsbench.cards import load_task
from rsbench.judges.registry import JudgeChoice, build
from rsbench.models.base import GenParams, Model
from rsbench.models.hf_loading import TINY, Checkpoint, Loaded
from rsbench.plan import Plan, make_plan
from rsbench.settings import Settings
from srpo_train.brancher import Ask
from srpo_train.branches import Branch, group, pairs, read_branches
from srpo_train.experience import Experience, Seen, blocks
from srpo_train.exploration import Exploration, look
from srpo_train.explore import explore
from srpo_train.hf_branches import HFBrancher

CAPS = (1, 2, 4)  # pairs a prefix that training would use
SAMPLERS = {
    "uniform, K = 2": Exploration("uniform", k=2),
    "uniform, K = 4": Exploration("uniform", k=4),
    "uniform, K = 10": Exploration("uniform", k=10),
    "adaptive, each item alone": Exploration("adaptive", k=10, across_items=False),
    "adaptive": Exploration("adaptive", k=10),
}
MAX_TOKENS = 160
Cost = dict[tuple[int, str], tuple[int, int, int]]  # (seed, item) → pairs, tokens, verdicts


def no_model(name: str) -> Model:
    """The oracle calls no model."""
    raise AssertionError(name)


def plan_of(split: str, items: int) -> Plan:
    """Items of the closed world with their prompts."""
    card, found = load_task("rsbench-closed")
    return make_plan(card, found, Settings(limit=items, split=split), {})


def pool(loaded: Loaded, plan: Plan, seed: int, out: Path) -> Path:
    """Ten branches at every prefix of every item; goes on where an earlier call was stopped."""
    if not (out / "exploration.json").exists():
        judge = build(JudgeChoice("oracle", None), [], no_model, lambda model: model.generate)
        brancher = HFBrancher("tiny", Checkpoint(str(TINY)).identity("tiny"), lambda: loaded)
        settings = Exploration("uniform", k=10, seed=seed, branch_label="step", max_tokens=MAX_TOKENS)
        asyncio.run(explore(settings, brancher, judge, plan, out))
    return out / "branches.jsonl"


def cost(kept: list[Branch], items: list[str], seed: int, cap: int) -> Cost:
    """Pairs, tokens and verdicts of each item; an item may be left out."""
    by_item: dict[str, list[Branch]] = defaultdict(list)
    for branch in kept:
        by_item[branch.item].append(branch)
    return {
        (seed, item): (
            len(pairs(group(own, item), cap)),
            sum(b.n_generated for b in own),
            len({(b.prefix_ids, b.branch_ids) for b in own if b.verdict is not None}),
        )
        for item, own in ((item, by_item[item]) for item in items)
    }


def rate(costs: Cost, items: list[str], seeds: range, per: int) -> float:
    """Pairs per token (per = 1) or verdict (per = 2) over these items."""
    rows = [costs[seed, item] for item in items for seed in seeds]
    return sum(row[0] for row in rows) / max(sum(row[per] for row in rows), 1)


def interval(ours: Cost, theirs: Cost, items: list[str], seeds: range) -> str:
    """Ratio of pairs per token with its 95 % interval, twin pairs resampled together for both."""
    rng, ratios = random.Random(0), []
    by_pair: dict[str, list[str]] = defaultdict(list)
    for item in items:
        by_pair[item.rpartition(".")[0]].append(item)
    twins = list(by_pair.values())
    for _ in range(2000):
        drawn = [item for pair in rng.choices(twins, k=len(twins)) for item in pair]
        below = rate(theirs, drawn, seeds, 1)
        ratios.append(rate(ours, drawn, seeds, 1) / below if below else float("inf"))
    ratios.sort()
    middle = rate(ours, items, seeds, 1) / rate(theirs, items, seeds, 1)
    return f"{middle:.2f} ({ratios[50]:.2f} to {ratios[1949]:.2f})"


def compare(loaded: Loaded, plan: Plan, seeds: range, folder: Path) -> dict[str, dict[str, object]]:
    """Every sampler on the same items and seeds, a table row for each at each cap."""
    kept: dict[tuple[str, int], Cost] = defaultdict(dict)
    items = [sample.item.id for sample in plan]
    for seed in seeds:
        stored = list(read_branches(pool(loaded, plan, seed, folder / f"pool-{seed}")))
        for cap in CAPS:
            for name, asked in SAMPLERS.items():
                settings = replace(asked, seed=seed, pairs_per_prefix=cap)
                kept[name, cap] |= cost(used(stored, settings, items), items, seed, cap)
    rows: dict[str, dict[str, object]] = {}
    for cap in CAPS:
        for name in SAMPLERS:
            own, ten = kept[name, cap], kept["uniform, K = 10", cap]
            rows[f"{name}, {cap} a prefix"] = {
                "pairs": sum(row[0] for row in own.values()),
                "tokens": sum(row[1] for row in own.values()),
                "pairs_per_1000_tokens": round(1000 * rate(own, items, seeds, 1), 2),
                "pairs_per_verdict": round(rate(own, items, seeds, 2), 3),
                "pairs_per_token_to_K10": interval(own, ten, items, seeds),
            }
    return rows


def used(branches: list[Branch], settings: Exploration, order: list[str]) -> list[Branch]:
    """The branches that a sampler asks for, out of records that hold more; items come in this order."""
    stored: dict[str, dict[int, list[Branch]]] = defaultdict(lambda: defaultdict(list))
    for branch in sorted(branches, key=lambda branch: (branch.prefix_steps, branch.draw)):
        stored[branch.item][branch.prefix_steps].append(branch)
    items = [list(stored[item].values()) for item in order]
    known, kept = Experience(), []
    for block in blocks(items) if settings.learns else [items]:
        played = [play(item, settings, known) for item in block]
        known = known.after(one for _, seen in played for one in seen)
        kept += [branch for own, _ in played for branch in own]
    return kept


def play(
    stored: list[list[Branch]], settings: Exploration, known: Experience
) -> tuple[list[Branch], list[Seen]]:
    """One item: what a sampler asks for of the branches at its prefixes, and what is known then."""
    sampler = settings.make_sampler()
    counts = [0] * len(stored)

    def seen() -> list[Seen]:
        return [look(there[:n], settings, there[0].role) for there, n in zip(stored, counts, strict=True)]

    while any(more := sampler.next(seen(), known)):
        counts = [n + extra for n, extra in zip(counts, more, strict=True)]
    return [branch for there, n in zip(stored, counts, strict=True) for branch in there[:n]], seen()


def speed(loaded: Loaded, plan: Plan, k: int = 4) -> dict[str, dict[str, object]]:
    """Seconds of the same branches, cached and encoded anew, in batches and prefix by prefix."""
    brancher = HFBrancher("tiny", {}, lambda: loaded)
    samples = list(plan)[:3]
    took, cpu, said = defaultdict(float), defaultdict(float), defaultdict(list)
    tokens: dict[str, int] = defaultdict(int)
    for sample in samples:
        trunk = asyncio.run(brancher.open(sample))
        asks = [
            Ask(trunk.path.ids[:cut], trunk.path.text[:start], f"{n:06x}{draw:06x}".ljust(64, "0"))
            for n, (cut, start) in enumerate(zip(trunk.path.cuts, trunk.path.starts, strict=True))
            for draw in range(k)
        ]
        ways = {
            "cached, one batch": [asks],
            "encoded anew, one batch": [asks],
            "encoded anew, a prefix at a time": [asks[n : n + k] for n in range(0, len(asks), k)],
        }
        for params in (GenParams(MAX_TOKENS), GenParams(MAX_TOKENS, 0.7)):
            for name, batches in ways.items():
                trunk.inputs.prefilled = None
                wall, processor = time.perf_counter(), time.process_time()
                for batch in batches:
                    made = brancher.branches(trunk, batch, params, cached=name.startswith("cached"))
                    tokens[name] += sum(branch.n_generated for branch in made)
                    if not params.temperature:
                        said[name] += [branch.ids for branch in made]
                took[name] += time.perf_counter() - wall
                cpu[name] += time.process_time() - processor
    first = "cached, one batch"
    return {
        name: {
            "wall_s": round(took[name], 2),
            "cpu_s": round(cpu[name], 2),
            "cpu_s_per_1000_tokens": round(1000 * cpu[name] / tokens[name], 2),
            "cpu_ratio": round(cpu[name] / cpu[first], 2),
            "greedy_branches_that_differ": sum(a != b for a, b in zip(said[name], said[first], strict=True)),
            "greedy_branches": len(said[name]),
        }
        for name in took
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="train")
    parser.add_argument("--keep", type=Path, help="keep the explorations here, and go on with those there")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--skip-speed", action="store_true", help="samplers alone")
    only.add_argument("--cached", action="store_true", help="cached branches against encoding anew alone")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    plan = plan_of(args.split, args.items)
    loaded = Checkpoint(str(TINY)).load(None)
    if not args.skip_speed:
        report(
            "cached branches against encoding anew", speed(loaded, plan), args.out if args.cached else None
        )
    if args.cached:
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(loaded, plan, range(args.seeds), args.keep or Path(folder))
    report(f"exploration, {args.items} items, {args.seeds} seeds", rows, args.out)


if __name__ == "__main__":
    main()
