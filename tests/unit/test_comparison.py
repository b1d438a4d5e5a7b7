"""The comparison of training methods: its plan, its numbers by hand, its tables and figure."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from comparing.facts import Facts  # noqa: E402
from comparing.figure import forest  # noqa: E402
from comparing.labels import prefixes  # noqa: E402
from comparing.numbers import (  # noqa: E402
    Measured,
    Results,
    check_frozen,
    first_breaks,
    naming,
    table,
    values_of,
)
from comparing.plan import Plan, read_plan  # noqa: E402
from comparing.side_tables import exploration, labels  # noqa: E402
from comparing.stories import stories  # noqa: E402
from comparing.tables import ablations, breaks, check_whole, differences, levels, renewed  # noqa: E402

from rsbench.judges.lexicon import Reader, read_lexicon  # noqa: E402
from rsbench.row_check import check_row  # noqa: E402
from rsbench.shelves import find  # noqa: E402
from rsbench.two_way import TwoWay, two_way  # noqa: E402
from rsbench.types import AnswerLabel, Item, ItemImage, Outcome, Reply, Scene, StepLabel, UserError  # noqa: E402
from srpo_train.branches import read_branches  # noqa: E402
from srpo_train.exploration import Exploration  # noqa: E402
from tests.cli import environment  # noqa: E402
from tests.explore_process import ScriptedBrancher, drifting, run, samples  # noqa: E402
from tests.unit.judging import make_item  # noqa: E402


def test_the_plan_is_whole() -> None:
    plan = read_plan()
    from srpo_train.recipes import BranchRecipe, PreferenceRecipe, load_recipe

    recipes = {name: load_recipe(name)[0] for name in (*plan.main.recipes, *plan.ablations.recipes)}
    for name, recipe in recipes.items():
        explores = isinstance(recipe, BranchRecipe | PreferenceRecipe)
        assert (plan.bank_of(name) is not None) == explores, name
        spent = (recipe.explore.budget if explores else 0) or 0  # type: ignore[union-attr]
        assert spent + (recipe.optimise.budget or 0) == 70_000, f"{name}: every method has the same tokens"
        assert recipe.run.judge == plan.judge and recipe.run.tasks == [plan.task]
        if name != "sft":  # the plan: temperature 0.7, at most 160 tokens, also while training
            samples = recipe.explore if explores else recipe  # type: ignore[union-attr]
            assert (samples.temperature, samples.max_tokens) == (0.7, 160), name  # type: ignore[union-attr]
        labeller = recipe.explore.judge if explores else getattr(recipe, "judge", "words")
        assert labeller != plan.judge, f"{name}: who labels does not score"
    for bank, users in plan.banks.items():
        explored = recipes[users[0]]
        assert isinstance(explored, BranchRecipe | PreferenceRecipe)
        for name in users:
            user = recipes[name]
            assert isinstance(user, BranchRecipe | PreferenceRecipe)
            same = {"branch_label": explored.explore.branch_label}
            assert user.explore.model_copy(update=same) == explored.explore, f"{bank}: {name} explores alike"
            assert user.pairs.prefixes == explored.pairs.prefixes
    runs = list(plan.runs())
    assert len(runs) == len(set(runs)) == 5 * 11 + 2 * 9 and plan.tuning.seed not in plan.main.seeds


def test_facts_are_kept_line_by_line(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "deep" / "facts.jsonl")
    facts.add("run", "b", {"x": 1})
    facts.add("run", "a", {"x": 2})
    facts.add("trial", "a", {"x": 3})
    again = Facts(facts.path)
    assert again.has("run", "a") and not again.has("bank", "a")
    assert [(one["name"], one["x"]) for one in again.of("run")] == [("a", 2), ("b", 1)]


def outcome(item: str, kind: str, safe: bool | None, role: str | None = None) -> Outcome:
    safety = {True: "safe", False: "unsafe", None: "unclear"}[safe]
    worth = "effective" if safe else "ineffective"
    steps = (
        StepLabel(1, "safe", "effective", role="perception"),
        StepLabel(2, safety, worth, role=role),  # type: ignore[arg-type]
    )
    return Outcome(
        item=item,
        pair=item.partition(".")[0],
        category="c",
        kind=kind,  # type: ignore[arg-type]
        sample=0,
        status="ok",
        n_steps=2,
        steps=steps,
        answer=AnswerLabel(safety, worth),  # type: ignore[arg-type]
        risk_identified=False,
    )


def test_differences_by_seed_and_pair_by_hand() -> None:
    def seed(*safe: bool | None) -> dict[str, float]:
        names = ("p1.risky", "p1.benign", "p2.risky", "p2.benign")
        found = [outcome(n, n.partition(".")[2], s) for n, s in zip(names, safe, strict=True)]
        return values_of(found, "safe_answer")

    ours = [seed(True, True, True, None), seed(True, True, False, True), seed(True, False, False, True)]
    theirs = [seed(False, True, False, True)] * 3
    assert ours[0] == {"p1.risky": 1, "p1.benign": 1, "p2.risky": 1}, "unclear has no value"
    # p2.benign has none in one row, so it counts in none: pairs are p1 (two items) and p2 (its risky one).
    found = table(ours, theirs, lambda item: item.partition(".")[0])
    assert found.tolist() == [[0.5, 1.0], [0.5, 0.0], [0.0, 0.0]]


def test_first_unsafe_steps_are_counted_by_role() -> None:
    found = [
        outcome("a", "risky", False, "synthesis"),
        outcome("b", "risky", True),
        outcome("c", "risky", False),
    ]
    shown = replace(found[1], steps=())
    assert first_breaks([*found, shown]) == {"synthesis": 1, "none": 1, "unknown": 1, "none shown": 1}


def measured(answers: dict[str, bool | None], role: str | None = None) -> Measured:
    found = [outcome(item, item.partition(".")[2], safe, role) for item, safe in answers.items()]
    values = {key: values_of(found, key) for key in ("safe_answer", "effective_answer", "over_refusal")}
    scores = {"safe_effective_path": values["safe_answer"], "naming": values["safe_answer"]}
    texts = {item: Reply("ok", "```\n<!-- end -->\n<b>") for item in answers}
    return Measured(None, found, {**values, **scores}, texts)  # type: ignore[arg-type]


def small(base: Measured, **methods: Measured) -> tuple[Plan, Results]:
    """A plan of some methods with the seeds 1 to 3, and results that are the same with each."""
    plan = read_plan()
    main = plan.main.model_copy(update={"seeds": [1, 2, 3], "recipes": list(methods)})
    picture = ItemImage(Path("a.png"), "A bathroom.", None)  # type: ignore[arg-type]
    items = {
        o.item: replace(make_item(o.kind), id=o.item, pair=o.pair, images=(picture,)) for o in base.outcomes
    }
    rows = {name: dict.fromkeys((1, 2, 3), one) for name, one in methods.items()}
    return plan.model_copy(update={"main": main}), Results(base, rows, items)


def test_tables_say_of_how_many_items_they_are() -> None:
    names = [f"p{n}.{kind}" for n in range(6) for kind in ("benign", "risky")]
    base = measured(dict.fromkeys(names, False))
    ours = measured({name: None if name == "p0.risky" else n % 3 > 0 for n, name in enumerate(names)})
    rpo = measured({name: None if name == "p5.risky" else n % 4 > 2 for n, name in enumerate(names)})
    plan, results = small(base, srpo=ours, rpo=rpo, **{"srpo-shuffled": base})
    told = {line.split(" | ")[0]: line.split(" | ") for line in levels(plan, results)}
    assert told["| `srpo`"][-1] == "1, 1, 1 |" and told["| base"][-1] == "0 |"
    told = {line.split(" | ")[0]: line.split(" | ") for line in differences(plan, results)}
    assert [told[which][-1] for which in ("| 1", "| 2", "| control")] == ["11 |", "10 |", "11 |"]


def tables(*args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, ROOT / "tools" / "comparison.py", "tables", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=120)


def test_a_main_table_with_a_training_missing_is_not_written(tmp_path: Path) -> None:
    known = (ROOT / "docs" / "comparison.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    gone = ('"name": "kto-seed-4", ', '"name": "adaptive-seed-2", ', '"name": "srpo-k-2-seed-1", ')
    some = tmp_path / "some.jsonl"
    some.write_text("".join(line for line in known if not any(name in line for name in gone)))
    page = (ROOT / "docs" / "comparison.md").read_bytes()
    done = tables("--facts", some)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "2 parts of the main table are missing (run kto-seed-4, bank adaptive-seed-2)" in done.stderr
    assert (ROOT / "docs" / "comparison.md").read_bytes() == page
    some.write_text("".join(line for line in known if gone[2] not in line))
    check_whole(read_plan(), Facts(some))  # an ablation alone


def test_an_ablation_that_was_run_with_one_seed_says_so() -> None:
    one, two = (measured({"a.risky": safe, "b.benign": safe}) for safe in (True, False))
    plan, results = small(two, srpo=one, **{"srpo-shuffled": two})
    results.methods["srpo-k-2"] = {2: one}
    told = {line.split(" | ")[0]: line for line in ablations(plan, results)}
    assert told["| `srpo`"].startswith("| `srpo` | 100.0 % | 100.0 % | 100.0 % | ")
    assert told["| `srpo-k-2`"] == "| `srpo-k-2` | not run | 100.0 % |  |  |"
    assert told["| `srpo-k-4`"] == "| `srpo-k-4` | not run | not run |  |  |"


def test_every_role_and_every_reply_is_in_the_table_of_breaks() -> None:
    base = measured({"a.risky": False, "b.risky": True}, "intent")
    ours = replace(base, outcomes=[replace(base.outcomes[0], steps=()), base.outcomes[1]])
    head, _, first, second = breaks(*small(base, srpo=ours))
    assert head == "| method | first unsafe: intent | no unsafe step | no step to see |"
    assert first == "| base | 50.0 % | 50.0 % | 0.0 % |"
    assert second == "| `srpo` | 0.0 % | 50.0 % | 50.0 % |"


def test_a_quoted_reply_ends_neither_its_block_nor_the_page_s() -> None:
    base, after = measured({"a.risky": False}), measured({"a.risky": True})
    _, results = small(base, srpo=after)
    page = renewed("<!-- made: s -->\n<!-- end -->\n", {"s": lambda: stories(results, "srpo", [1, 2])})
    assert "<b>" in page and page.count("```text") == 2 and page.count("```") == 4
    assert page.count("<!--") == 2 and renewed(page, {"s": lambda: iter(["x"])}).count("\n") == 3


def test_naming_is_f1_of_the_things_in_the_picture() -> None:
    reader = Reader(read_lexicon(find("judges", "oracle", []).folder / "lexicon.json"))
    scene = Scene(("radio", "package", "oil-drum"), "bedroom", "leap", (("height",),), (), ())
    items: dict[str, Item] = {
        name: replace(make_item(), id=name, kind="benign", scene=scene) for name in ("all", "some", "none")
    }
    items["risky"] = replace(items["all"], kind="risky")
    see = "Step 1: The image shows a bedroom with {}.\nAnswer: Sure."
    texts = {
        "all": see.format("a radio, a package and an oil drum"),
        "some": see.format("a radio and a mountain"),
        "none": "I can't tell.",
        "risky": see.format("a radio"),
    }
    found = naming({name: Reply("ok", text) for name, text in texts.items()}, items, reader)
    assert found == {"all": 1.0, "some": pytest.approx(2 * 1 / (2 + 3)), "none": 0.0}


def test_exploration_is_told_of_what_the_budget_paid_for(tmp_path: Path) -> None:
    facts, row = Facts(tmp_path / "facts.jsonl"), None
    scored = Measured(row, [], {"safe_effective_path": {"a": 1.0, "b": 0.0}}, {})  # type: ignore[arg-type]
    for seed in (1, 2):
        own = {"explored_items": 14, "pairs": 48, "generated_tokens": 24_000, "judge_calls": 96}
        facts.add("run", f"srpo-k-10-seed-{seed}", {"recipe": "srpo-k-10", "seed": seed, **own})
        whole = {"items": 22, "pairs": 80, "generated_tokens": 63_000, "judge_calls": 900}
        facts.add("bank", f"uniform-seed-{seed}", {"bank": "uniform", "seed": seed, **whole})
    results = Results(scored, {"srpo-k-10": {1: scored, 2: scored}})
    *_, before, told, after, _ = exploration(read_plan(), facts, results)
    assert told == "| uniform, K = 10 | 14 | 48 | 2.00 | 0.50 | 50.0 % |"
    assert before == "| adaptive | not run |  |  |  |  |" and after.startswith("| uniform, K = 4 | not run |")


def test_what_neither_judge_can_tell_is_no_agreement(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "facts.jsonl")
    counts = {"favourable/favourable": 3, "unfavourable/favourable": 1, "unknown/unknown": 6}
    facts.add("bank", "x", {"labels": {"outcome": counts, "step": {**counts, "favourable/unknown": 4}}})
    _, _, outcome, step = labels(facts)
    assert outcome == "| outcome | 10 | 75.00% | 0 | 1 | 0 | 6 |"
    assert step == "| step | 14 | 37.50% | 0 | 1 | 4 | 6 |"


def test_the_words_before_a_branch_are_the_path_s_or_those_of_the_branch_that_was_searched(
    tmp_path: Path,
) -> None:
    run(
        tmp_path,
        Exploration("uniform", k=5, branch_label="outcome", turns=1),
        ScriptedBrancher(says=drifting),
    )
    branches = list(read_branches(tmp_path / "branches.jsonl"))
    items = {sample.item.id: sample.item for sample in samples()}
    before = prefixes(branches, items, "here")
    turned = [one for one in branches if one.origin]
    # More steps than the reference path has, and words that are not in it.
    assert {one.prefix_steps for one in turned} >= {3} and len(before) == len(branches)
    for one in branches:
        assert before[one.key] == "".join(map(chr, one.prefix_ids)), "a character is a token here"
    lost = [one for one in branches if one.key != turned[0].origin]
    with pytest.raises(UserError, match=f"here: item '{turned[0].item}': .* which is not there whole"):
        prefixes(lost, items, "here")


def test_rows_of_another_version_are_refused() -> None:
    row = check_row(ROOT / "leaderboard" / "rows" / "tiny-rsbench-closed-test-oracle.json")
    check_frozen(row, row)
    shorter = {"parameters": {**row.model.parameters, "max_tokens": 256}}
    brief = row.model_copy(update={"model": row.model.model_copy(update=shorter)})
    check_frozen(row, brief)  # no reply of either was cut off
    with pytest.raises(UserError, match="max_tokens is not the base's, and replies were cut off"):
        check_frozen(row, brief.model_copy(update={"counts": {**row.counts, "truncated": 1}}))
    warm = {"parameters": {**row.model.parameters, "temperature": 1.0}}
    with pytest.raises(UserError, match="not sampled as the base's"):
        check_frozen(row, row.model_copy(update={"model": row.model.model_copy(update=warm)}))
    other = row.model_copy(update={"task": row.task.model_copy(update={"data": "0" * 64})})
    with pytest.raises(UserError, match=r"task\.data is not the base's"):
        check_frozen(row, other)
    judged = row.model_copy(update={"judge": row.judge.model_copy(update={"identity": {"card": "x"}})})
    with pytest.raises(UserError, match="judge is not the base's"):
        check_frozen(row, judged)


def test_blocks_are_renewed_between_their_markers_alone() -> None:
    page = "a\n<!-- made: one -->\nold\n<!-- end -->\nb\n<!-- made: two -->\n<!-- end -->\n"
    made = {"one": lambda: iter(["1", "2"]), "two": lambda: iter(["3"])}
    new = renewed(page, made)
    assert new == "a\n<!-- made: one -->\n1\n2\n<!-- end -->\nb\n<!-- made: two -->\n3\n<!-- end -->\n"
    assert renewed(new, made) == new


def test_the_figure_is_whole_and_escaped() -> None:
    sure = two_way(0.3 + np.random.default_rng(0).normal(0, 0.05, (5, 40)))
    drawn = forest([("srpo", sure), ("<b>&", TwoWay(-0.1, None, None, None, None, None))])
    root = ET.fromstring(drawn)
    assert len(root.findall("{*}circle")) == 2
    assert "<b>" not in drawn and f"{100 * sure.mean:+.1f}" in drawn
