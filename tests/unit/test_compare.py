"""Paired differences worked by hand, Holm over the table, and the refusal to compare unlike runs."""

import pytest

from rsbench.compare import COMPARED, MUST_MATCH, check_comparable, compare_outcomes
from rsbench.types import AnswerLabel, Outcome, OutcomeStatus, StepLabel, UserError


def run(answers: str, statuses: dict[int, OutcomeStatus] | None = None) -> list[Outcome]:
    """Items 0r 0b 1r 1b ...: one letter an item, s for a safe and u for an unsafe answer, all effective."""
    return [
        Outcome(
            item=f"{n // 2}{'rb'[n % 2]}",
            pair=f"{n // 2}",
            category="violence",
            kind="benign" if n % 2 else "risky",
            sample=0,
            status=(statuses or {}).get(n, "ok"),
            n_steps=1,
            steps=(StepLabel(1, "safe", "effective"),),
            answer=AnswerLabel("safe" if letter == "s" else "unsafe", "effective"),
            risk_identified=True,
        )
        for n, letter in enumerate(answers)
    ]


def test_paired_difference_by_hand() -> None:
    # Pairs of a: uu us us ss, of b: ss ss ss ss. b - a by item: 11 10 10 00; mean 4/8.
    # Sums 2 1 1 (0 drops out): of 8 sign patterns 2 reach |4|, p = 1/4. McNemar on items would say 2/16.
    (row,) = compare_outcomes(run("uuususss"), run("ssssssss"), metrics=["safe_answer"])
    assert (row.a, row.b, row.difference) == (0.5, 1.0, 0.5)
    assert (row.n, row.clusters, row.p, row.p_holm) == (8, 4, 0.25, 0.25)
    assert row.low is not None and row.high is not None
    assert 0 <= row.low < 0.5 < row.high <= 1
    # Turned round, the sign turns and the p value stays.
    (back,) = compare_outcomes(run("ssssssss"), run("uuususss"), metrics=["safe_answer"])
    assert (back.difference, back.p) == (-0.5, 0.25)


def test_only_items_scored_in_both_runs_are_paired() -> None:
    # a lost item 0, b lost item 3 and never had pair 2: items 1 and 2 remain, a: s u, b: s s.
    a, b = run("ssusss", {0: "error"}), run("uuss", {3: "missing"})
    (row,) = compare_outcomes(a, b, metrics=["safe_answer"])
    assert (row.n, row.clusters) == (2, 2)
    assert (row.a, row.b) == (0.5, 0.5)  # item 1: s then u; item 2: u then s


def test_same_run_twice_is_no_difference_and_no_certainty() -> None:
    (row,) = compare_outcomes(run("susu"), run("susu"), metrics=["safe_answer"])
    assert (row.difference, row.p, row.low, row.high) == (0.0, 1.0, None, None)


def test_nothing_in_common_is_undefined_and_outside_the_correction() -> None:
    # Over-refusal needs benign items: only risky ones were answered in both. Holm counts one row, not two.
    a, b = run("usususus", {n: "error" for n in (1, 3, 5, 7)}), run("ssssssss")
    rows = {row.metric: row for row in compare_outcomes(a, b, metrics=["over_refusal", "safe_answer"])}
    assert (rows["over_refusal"].n, rows["over_refusal"].p, rows["over_refusal"].p_holm) == (0, None, None)
    # Four risky items better, none worse: 2/16.
    assert rows["safe_answer"].p == rows["safe_answer"].p_holm == 0.125


def test_holm_counts_the_rows_of_the_table() -> None:
    # S and S&E move alike (all effective): p = 2/16 each; E does not move: p = 1. Holm: 3/8, 3/8, 1.
    metrics = ["safe_answer", "safe_effective_answer", "effective_answer"]
    rows = compare_outcomes(run("usususus"), run("ssssssss"), metrics=metrics)
    assert [row.metric for row in rows] == metrics
    assert [row.p for row in rows] == [0.125, 0.125, 1.0]
    assert [row.p_holm for row in rows] == [0.375, 0.375, 1.0]


def test_default_table_has_the_headline_and_is_deterministic() -> None:
    a, b = run("susu" * 10), run("ssuu" * 10)
    assert "safe_effective_path" in COMPARED
    assert compare_outcomes(a, b) == compare_outcomes(a[::-1], b[::-1])


@pytest.mark.parametrize("metric", ["step_safe_micro", "safety"])
def test_metric_that_can_not_be_paired_is_the_users_mistake(metric: str) -> None:
    with pytest.raises(UserError, match=f"{metric}.*choose from safe_effective_path"):
        compare_outcomes(run("ss"), run("ss"), metrics=[metric])


def test_unlike_runs_are_refused_field_by_field() -> None:
    meta = {field: f"{field}-1" for field in MUST_MATCH}
    check_comparable(meta, dict(meta, model="another"))  # the model may differ: that is the point
    with pytest.raises(UserError) as caught:
        check_comparable(meta, {**meta, "judge": "other", "segmenter": "v2"})
    assert "judge: 'judge-1' and 'other'" in str(caught.value)
    assert "segmenter" in str(caught.value)
    assert "prompt" not in str(caught.value)


def test_what_was_not_recorded_can_not_be_vouched_for() -> None:
    meta: dict[str, object] = {field: "x" for field in MUST_MATCH if field != "hints"}
    with pytest.raises(UserError, match="hints: not recorded and not recorded"):
        check_comparable(meta, meta)
