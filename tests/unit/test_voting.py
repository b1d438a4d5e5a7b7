"""Agreement of votes, against numbers worked out by hand."""

from rsbench.voting import _alpha

S, U = "safe", "unsafe"


def test_the_interval_of_alpha_is_not_too_narrow_for_few_pairs() -> None:
    # Four pairs of one place each; the votes differ in the first alone. 5 safe and 3 unsafe ballots: of all
    # 28 couples of them 15 differ, of the 4 couples that share a place 1: alpha = 1 - (1/4)/(15/28) = 8/15.
    rows = [[S, U], [S, S], [U, U], [S, S]]
    found = _alpha(rows, ["a", "b", "c", "d"], seed=1)
    assert found["value"] == round(8 / 15, 6) and found["places"] == 4
    # The worst draw takes the first pair four times (1 of 256 draws): 4 safe and 4 unsafe ballots, of 28
    # couples 16 differ, of the 4 in one place all: 1 - 1/(16/28) = -0.75. For four clusters the interval
    # reaches there; the plain 2.5 % end stood at three of four, -0.4, and such ends cover 9 times in 10.
    assert (found["low"], found["high"]) == (-0.75, 1.0)


def test_alpha_without_two_clusters_has_no_interval() -> None:
    assert _alpha([[S, U], [S, S]], ["a", "a"], seed=0)["low"] is None
