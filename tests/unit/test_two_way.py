"""Means over seeds and clusters: by hand, at the edges, and what the intervals promise."""

import numpy as np
import pytest

from rsbench.two_way import two_way


def test_variance_of_the_mean_by_hand() -> None:
    # Rows (seeds) have means 1, 2, 3, columns 1.5 and 2.5: no rest at all.
    table = np.array([[0.5, 1.5], [1.5, 2.5], [2.5, 3.5]])
    found = two_way(table)
    # MS_seeds = 2 · (1 + 0 + 1) / 2 = 2; MS_clusters = 3 · (¼ + ¼) / 1 = 1.5; MS_rest = 0.
    assert found.mean == 2
    assert found.se == pytest.approx(((2 + 1.5) / 6) ** 0.5)
    assert found.df == pytest.approx(3.5**2 / (2**2 / 2 + 1.5**2 / 1))


def test_the_rest_is_counted_once() -> None:
    # With errors alone, MS_seeds and MS_clusters both hold the error: one of them is taken off again.
    table = np.array([[1.0, -1.0, 0.5, -0.5], [0.2, 0.9, -1.0, 0.4], [-0.9, 0.3, 1.2, 0.1]])
    rows, columns = table.mean(1), table.mean(0)
    rest = table - rows[:, None] - columns[None, :] + table.mean()
    seeds = 4 * ((rows - table.mean()) ** 2).sum() / 2
    clusters = 3 * ((columns - table.mean()) ** 2).sum() / 3
    error = (rest**2).sum() / 6
    wanted = max(seeds, clusters) if min(seeds, clusters) < error else seeds + clusters - error
    assert two_way(table).se == pytest.approx((wanted / 12) ** 0.5)


def test_the_standard_error_is_never_less_than_either_part_alone() -> None:
    # Row means 1, 0, -1 (MS 2 · 2 / 2 = 2), column means 0 (MS 0), a rest of 10 to 20: both are
    # below the rest, and the smaller of them would have been no variance at all.
    table = np.array([[11.0, -9.0], [10.0, -10.0], [-21.0, 19.0]])
    found = two_way(table)
    rows = table.mean(1)
    assert rows.tolist() == [1, 0, -1] and table.mean(0).tolist() == [0, 0]
    assert found.se == pytest.approx((2 / 6) ** 0.5) and found.df == pytest.approx(2)


def test_few_seeds_that_differ_make_a_wide_interval() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.normal(0, 0.1, (1, 200))
    alike = two_way(0.2 + pairs + rng.normal(0, 0.1, (5, 200)))
    apart = two_way(
        0.2 + pairs + rng.normal(0, 0.1, (5, 200)) + np.array([[-0.4], [-0.2], [0], [0.2], [0.4]])
    )
    assert alike.low is not None and alike.high is not None and 0 < alike.low < 0.2 < alike.high
    assert apart.low is not None and apart.low < 0  # one seed of five would have said otherwise
    assert alike.p is not None and apart.p is not None and alike.p < 0.001 < 0.05 < apart.p
    assert alike.detectable == pytest.approx(2.8 * (alike.se or 0))


def test_three_seeds_far_apart_have_an_interval_beyond_their_means() -> None:
    # Seeds drawn again stay within their means, 1 to 6, which would "exclude" 0 with p > 0.05.
    table = np.array([[1.0], [2.0], [6.0]]) + np.array([[-0.1, 0.0, 0.0, 0.1]])
    found = two_way(table)
    assert found.p is not None and found.p > 0.05
    assert found.low is not None and found.high is not None and found.low < 0 and found.high > 6
    # t with 2 degrees of freedom: 4.303 standard errors on either side.
    assert found.high - found.mean == pytest.approx(4.303 * (found.se or 0), rel=0.02)


def test_no_variance_is_no_certainty() -> None:
    found = two_way(np.full((5, 10), 0.25))
    assert (found.mean, found.low, found.high, found.se, found.p) == (0.25, None, None, None, None)


@pytest.mark.parametrize("shape", [(2, 10), (5, 1)])
def test_too_little_to_say(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="3 × 2"):
        two_way(np.zeros(shape))


def test_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        two_way(np.array([[0.0, 1.0], [1.0, np.nan], [0.0, 0.0]]))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for draw in range(300):
        table = rng.normal(0, 0.1, (5, 1)) + rng.normal(0, 0.3, (1, 60)) + rng.normal(0, 0.4, (5, 60))
        found = two_way(table, draw, draws=500)
        held += found.low is not None and found.high is not None and found.low <= 0 <= found.high
    assert 0.91 <= held / 300 <= 0.98


def test_the_seed_decides() -> None:
    table = np.random.default_rng(1).normal(size=(5, 30))
    assert two_way(table, 4) == two_way(table, 4)
    assert two_way(table, 4) != two_way(table, 5)
