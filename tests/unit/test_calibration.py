"""Reliability of probabilities, worked by hand."""

import pytest

from rsbench.calibration import reliability
from rsbench.stats import wilson


def test_reliability_by_hand() -> None:
    rows = [("a", True, 0.9), ("b", True, 0.9), ("c", False, 0.9), ("d", False, 0.1), ("e", False, 0.15)]
    found = reliability(rows)
    assert found is not None
    # Squares: .01 + .01 + .81 + .01 + .0225 = .8625; base rate 2/5, so .24 for always saying 40 %.
    assert (found["n"], found["base_rate"], found["brier"], found["base_brier"]) == (5, 0.4, 0.1725, 0.24)
    low, high = found["bins"]
    assert (low["from"], low["n"], low["mean"], low["share"]) == (0.1, 2, 0.125, 0.0)
    assert (high["from"], high["n"], high["share"]) == (0.9, 3, 0.666667)
    # |0 − .125| · 2/5 + |2/3 − .9| · 3/5
    assert found["ece"] == pytest.approx(0.05 + 0.14)
    assert (high["low"], high["high"]) == tuple(round(end, 6) for end in wilson(2 / 3, 3))


def test_certainty_belongs_to_the_last_bin() -> None:
    found = reliability([("a", True, 1.0), ("b", False, 0.0)])
    assert found is not None
    assert [(b["from"], b["n"]) for b in found["bins"]] == [(0.0, 1), (0.9, 1)]
    assert (found["brier"], found["ece"]) == (0.0, 0.0)


def test_no_probabilities_no_reliability() -> None:
    assert reliability([]) is None
