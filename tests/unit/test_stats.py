"""Hand-worked intervals and p values, and a simulation that the intervals cover what they promise."""

import numpy as np
import pytest

from rsbench.bootstrap import (
    Ratio,
    cluster_bootstrap_mean,
    cluster_bootstrap_ratio,
    cluster_bootstraps,
    percentiles,
)
from rsbench.stats import effective_n, holm, sign_flip_p, wilson


def test_wilson_by_hand() -> None:
    # z² = 3.841459; n = 10, p = 1/2: centre = 1/2,
    # half = 1.959964 / 1.3841459 · sqrt(0.25/10 + 3.841459/400) = 1.416010 · 0.186021 = 0.263407
    assert wilson(0.5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)


def test_nothing_seen_in_n_draws_is_not_certainty() -> None:
    # p = 0: the upper end is z² / (n + z²) = 3.841459 / 27.841459 = 0.137976; p = 1 mirrors it.
    assert wilson(0, 24) == pytest.approx((0.0, 0.137976), abs=1e-6)
    assert wilson(1, 24) == pytest.approx((0.862024, 1.0), abs=1e-6)


@pytest.mark.parametrize(("p", "n"), [(0.5, 0), (1.2, 10), (-0.1, 10)])
def test_wilson_rejects_what_is_no_proportion(p: float, n: float) -> None:
    with pytest.raises(ValueError, match="wilson"):
        wilson(p, n)


def test_effective_n_by_hand() -> None:
    # Pairs (1,1) (1,1) (0,0) (1,0): n = 8, G = 4, p = 5/8, p(1-p) = 15/64.
    # Residual sums 3/4, 3/4, -5/4, -1/4; squares sum to 44/16 = 11/4.
    # v = 4/3 · 11/4 / 64 = 11/192; n_eff = 15/64 · 192/11 = 45/11.
    assert effective_n([1, 1, 1, 1, 0, 0, 1, 0], list("aabbccdd")) == pytest.approx(45 / 11)


def test_effective_n_stays_between_clusters_and_values() -> None:
    # Twins that always agree: v = 4/3 · 4 / 64 = 1/12, p(1-p)/v = 3, below the 4 draws that 4 pairs are.
    assert effective_n([1, 1, 1, 1, 0, 0, 0, 0], list("aabbccdd")) == 4
    # Twins that always disagree: v = 0; not more than 8.
    assert effective_n([1, 0, 1, 0, 1, 0, 1, 0], list("aabbccdd")) == 8
    # Items without twins: v = p(1-p)/(n-1); n_eff = n, not n - 1.
    assert effective_n([1, 0, 0, 0], list("abcd")) == 4
    # All equal, or one cluster: nothing tells copies from independent draws.
    assert effective_n([0] * 48, [f"p{i // 2}" for i in range(48)]) == 24
    assert effective_n([1, 0, 1], ["a", "a", "a"]) == 1


def test_bootstrap_draws_clusters_not_values() -> None:
    # Two clusters, 50 zeros and 50 ones: the mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4, so the middle
    # 95 % is [0, 1]. Drawing values instead would give about [0.4, 0.6].
    assert cluster_bootstrap_mean([0.0] * 50 + [1.0] * 50, ["a"] * 50 + ["b"] * 50, seed=0) == (0.0, 1.0)


def test_many_clusters_are_drawn_as_if_all_at_once() -> None:
    # Draws are made a few at a time, and shared by many metrics; intervals stay those of the plain formula.
    rng = np.random.default_rng(7)
    names = [f"{n:03}" for n in range(401)]
    columns = [(rng.random(401), rng.integers(1, 4, 401).astype(float)) for _ in range(5)]
    picks = np.random.Generator(np.random.PCG64(3)).integers(0, 401, size=(2_000, 401))
    together = cluster_bootstraps([Ratio(tops, bottoms, names) for tops, bottoms in columns], 3)
    for (tops, bottoms), found in zip(columns, together, strict=True):
        plain = np.quantile(tops[picks].sum(axis=1) / bottoms[picks].sum(axis=1), percentiles(401))
        assert found == pytest.approx(tuple(plain), abs=1e-12)
        # Alone or together, picked or counted: the same to the last bit, for the sums are exact.
        assert found == cluster_bootstrap_ratio(tops.tolist(), bottoms.tolist(), names, 3)


def test_ratios_of_other_sizes_keep_their_own_draws() -> None:
    values = [0.1, 0.5, 0.25, 1.0, 0.75, 0.0]
    some = Ratio(values[:4], [1.0] * 4, list("abcd"))
    more = Ratio(values, [1.0] * 6, list("abcdef"))
    none = Ratio([0.5, 0.5], [1.0, 1.0], list("ab"))
    assert cluster_bootstraps([some, none, more], 1) == [
        cluster_bootstrap_mean(values[:4], list("abcd"), 1),
        None,
        cluster_bootstrap_mean(values, list("abcdef"), 1),
    ]


def test_many_signs_are_drawn_as_if_all_at_once() -> None:
    rng = np.random.default_rng(7)
    sums = rng.choice([-2.0, -1.0, 1 / 3, 1.0, 2.0], 401)
    signs = np.random.Generator(np.random.PCG64(3)).integers(0, 2, size=(10_000, 401)) * 2.0 - 1.0
    extreme = np.count_nonzero(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-6)
    assert sign_flip_p(list(sums), [f"{n:03}" for n in range(401)], 3) == (1 + extreme) / 10_001


def test_bootstrap_ratio_weighs_clusters_by_their_denominators() -> None:
    # 20 clusters of 1/1 and 20 of 0/9: the ratio is 20/200 = 0.1, while the mean of ratios would be 0.5.
    names = [str(i) for i in range(41)]
    interval = cluster_bootstrap_ratio([1] * 20 + [0] * 20, [1] * 20 + [9] * 20, names[:40], seed=0)
    assert interval is not None
    assert 0.03 < interval[0] < 0.1 < interval[1] < 0.2
    # A cluster that carries nothing changes nothing, and is no division by zero.
    assert interval == cluster_bootstrap_ratio([1] * 20 + [0] * 21, [1] * 20 + [9] * 20 + [0], names, seed=0)


def test_no_variance_seen_gives_no_interval() -> None:
    assert cluster_bootstrap_mean([0.3, 0.9], ["a", "a"], seed=0) is None  # one cluster
    assert cluster_bootstrap_mean([0.5, 0.5, 0.5], list("abc"), seed=0) is None  # a width of 0 would be a lie


def test_bootstrap_hangs_on_the_seed_and_not_on_the_order() -> None:
    values, clusters = [0.1, 0.5, 0.25, 1.0, 0.75, 0.0], list("abacbc")
    once = cluster_bootstrap_mean(values, clusters, seed=1)
    assert once == cluster_bootstrap_mean(values[::-1], clusters[::-1], seed=1)
    assert once is not None


def test_sign_flip_by_hand() -> None:
    # Sums of pairs: 1+1 = 2, 1, 1; total 4. Of the 8 sign patterns only +++ and --- reach |4|: p = 2/8.
    assert sign_flip_p([1, 1, 1, 1], ["a", "a", "b", "c"], seed=0) == 0.25
    # A pair whose differences cancel drops out.
    assert sign_flip_p([1, 1, 1, 1, 1, -1], ["a", "a", "b", "c", "d", "d"], seed=0) == 0.25
    assert sign_flip_p([0, 0], ["a", "b"], seed=0) == 1.0
    # Only ---- and ++++ reach |-1.9|: 2/16. Summed in another order, the total differed and p was 0.
    assert sign_flip_p([-0.6, -0.6, -0.4, -0.3], list("abcd"), seed=0) == 0.125


def test_sign_flip_is_exact_mcnemar_for_single_items() -> None:
    # 7 items better, 1 worse: binomial(8, 1/2), 2 · (1 + 8) / 256.
    assert sign_flip_p([1] * 7 + [-1], list("abcdefgh"), seed=0) == pytest.approx(18 / 256)


def test_drawn_sign_flips_agree_with_the_exact_p_and_are_never_zero() -> None:
    # 13 clusters: 10 up, 3 down. P(|10-3| or more of 13) = 2 · (1 + 13 + 78 + 286) / 8192 = 0.0923.
    p = sign_flip_p([1] * 10 + [-1] * 3, list("abcdefghijklm"), seed=0)
    assert p == pytest.approx(756 / 8192, abs=0.01)
    assert sign_flip_p([1] * 40, [str(i) for i in range(40)], seed=0) == 1 / 10_001


def test_holm_by_hand() -> None:
    # Sorted 0.005·4 = 0.02, 0.01·3 = 0.03, 0.03·2 = 0.06, 0.04·1 = 0.04 -> 0.06 (never below the one before).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="cluster"):
        effective_n([1, 0], ["a"])
    with pytest.raises(ValueError, match="cluster"):
        cluster_bootstrap_mean([], [], seed=0)


@pytest.mark.parametrize("p", [0.1, 0.7])
def test_wilson_with_effective_n_covers_correlated_twins(p: float) -> None:
    # A twin copies the other half of the time. Plain n = 120 would cover about 88 %.
    rng = np.random.Generator(np.random.PCG64(7))
    clusters = [str(i // 2) for i in range(120)]
    covered = 0
    for _ in range(800):
        first, fresh = rng.random(60) < p, rng.random(60) < p
        twin = np.where(rng.random(60) < 0.5, first, fresh)
        values = [float(v) for v in np.stack([first, twin], axis=1).ravel()]
        low, high = wilson(sum(values) / 120, effective_n(values, clusters))
        covered += low <= p <= high
    assert 0.93 <= covered / 800 <= 0.98


def test_cluster_bootstrap_covers_correlated_twins() -> None:
    # StepSafe-like values: a pair's own level plus a twin's deviation, mean 0.5.
    rng = np.random.Generator(np.random.PCG64(8))
    clusters = [str(i // 2) for i in range(120)]
    covered = 0
    for draw in range(400):
        values = (
            (0.5 + rng.uniform(-0.3, 0.3, 60)[:, None] + rng.uniform(-0.2, 0.2, (60, 2))).ravel().tolist()
        )
        interval = cluster_bootstrap_mean(values, clusters, seed=draw, draws=500)
        assert interval is not None
        covered += interval[0] <= 0.5 <= interval[1]
    assert 0.93 <= covered / 400 <= 0.98
