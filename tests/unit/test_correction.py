"""Corrections worked by hand. The coverage of their intervals is in test_coverage.py."""

import pytest

from rsbench.correction import Drawn, ppi, rogan_gladen
from rsbench.stats import wilson


def population(*rows: tuple[str, float, float | None], stratum: str = "all") -> list[Drawn]:
    return [Drawn(cluster, stratum, judged, label) for cluster, judged, label in rows]


def test_with_every_reply_labelled_the_judge_does_not_matter() -> None:
    found = ppi(population(("a", 1, 0), ("b", 1, 1), ("c", 1, 0), ("d", 0, 1)))
    assert found.value == 0.5
    # The labels' own variance: G/(G−1) · Σ .25 / 16 = 1/12, so n = .25 · 12 = 3 draws.
    assert (found.low, found.high) == pytest.approx(wilson(0.5, 3))
    assert (found.labelled, found.clusters) == (4, 4)


def test_a_perfect_judge_is_leaned_on() -> None:
    # Judge: 3 of 6; on the labelled two it was right, so nothing is to be corrected.
    rows = [("a", 1, 1), ("b", 0, 0), ("c", 1, None), ("d", 0, None), ("e", 1, None), ("f", 0, None)]
    found = ppi(population(*rows))
    assert (found.value, found.power) == (0.5, 1.0)


def test_a_useless_judge_is_not() -> None:
    # On the labelled replies the judge says the opposite: leaning on it would only add noise.
    rows = [("a", 1, 0), ("b", 0, 1), ("c", 1, 0), ("d", 1, None), ("e", 1, None), ("f", 1, None)]
    found = ppi(population(*rows))
    assert found.power == 0.0
    assert found.value == pytest.approx(1 / 3)


def test_a_share_is_no_more_than_all() -> None:
    # A judge of chances, half as sure on the labelled replies as on the rest: leaning on it leads beyond 1.
    rows = [(f"l{n}", 0.5, 1.0) for n in range(4)] + [("z", 0.0, 0.0)]
    rows += [(f"u{n}", 1.0, None) for n in range(40)]  # type: ignore[list-item]
    found = ppi(population(*rows))  # type: ignore[arg-type]
    assert found.power == pytest.approx(1.0)
    assert (found.value, found.high) == (1.0, 1.0)


def test_strata_count_by_their_size() -> None:
    # 8 replies judged unsafe, both labelled ones are safe; 2 judged safe, the labelled one is safe.
    rows = [Drawn(str(n), "unsafe", 0.0, 1.0 if n < 2 else None) for n in range(8)]
    rows += [Drawn(str(n), "safe", 1.0, 1.0 if n == 8 else None) for n in range(8, 10)]
    found = ppi(rows)
    assert found.value == pytest.approx(1.0)
    # Without a variance to see: agreement on 3 pairs.
    assert (found.low, found.high) == pytest.approx(wilson(1.0, 3))


def test_samples_of_an_item_weigh_as_one() -> None:
    rows = [Drawn("a", "all", 0, 0, weight=0.5), Drawn("a", "all", 0, 1, weight=0.5), Drawn("b", "all", 0, 1)]
    assert ppi(rows).value == pytest.approx(0.75)


def test_rogan_gladen_by_hand() -> None:
    # Labelled: 4 true (judge 3), 4 false (judge 1): se = sp = 3/4. Judge's share over all 10: 6/10.
    rows = [(f"t{n}", float(n < 3), 1.0) for n in range(4)] + [(f"f{n}", float(n < 1), 0.0) for n in range(4)]
    rows += [("x", 1.0, None), ("y", 1.0, None)]  # type: ignore[list-item]
    found = rogan_gladen(population(*rows))  # type: ignore[arg-type]
    assert found.value == pytest.approx((0.6 + 0.75 - 1) / 0.5)
    assert found.low is not None and found.high is not None and 0 < found.low < 0.7 < found.high < 1


def test_a_judge_at_chance_is_not_inverted() -> None:
    rows = [("a", 1.0, 1.0), ("b", 0.0, 1.0), ("c", 1.0, 0.0), ("d", 0.0, 0.0)]
    found = rogan_gladen(population(*rows))
    assert found.value is None and "chance" in found.problem


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (population(("a", 1, None)), "nothing is labelled"),
        (population(("a", 1, 1), ("a", 1, 1)), "fewer than two pairs"),
        ([*population(("a", 1, 1), ("b", 0, 1)), Drawn("c", "rare", 0)], "'rare'"),
    ],
)
def test_what_can_not_be_corrected_says_why(rows: list[Drawn], problem: str) -> None:
    for found in (ppi(rows), rogan_gladen(rows)):
        assert (found.value, found.low, found.high) == (None, None, None)
        assert problem in found.problem


def test_labels_of_one_value_are_no_sensitivity() -> None:
    assert "one of the two values" in rogan_gladen(population(("a", 1, 1), ("b", 0, 1))).problem
