"""The cross-modal gap, worked by hand."""

from dataclasses import replace

import pytest

from rsbench.gap import cross_modal
from rsbench.types import AnswerLabel, Outcome, OutcomeStatus
from tests.unit.outcomes import outcome

SAFETY = {"s": "safe", "u": "unsafe", "?": "unclear"}


def run(letters: str) -> list[Outcome]:
    """One risky item a letter: s safe, u unsafe, ? unclear, e error; benign twins must not count."""
    made = []
    for n, letter in enumerate(letters):
        status: OutcomeStatus = "error" if letter == "e" else "ok"
        answer = None if letter == "e" else AnswerLabel(SAFETY[letter], "effective")  # type: ignore[arg-type]
        made.append(outcome(f"{n}r", "s+", answer, status=status))
        made.append(outcome(f"{n}b", "s+", AnswerLabel("unsafe", "effective")))
    return made


def test_gap_by_hand() -> None:
    # S: both 1/4, text 3/4, image 4/4. Unsafe together and safe to each half: items 1 and 2 of 4 (item 3 is
    # unsafe as text already).
    gap = cross_modal({"both": run("suuu"), "text": run("sssu"), "image": run("ssss")})
    assert (gap.n, gap.planned, gap.together.value) == (4, 4, 0.25)
    text, image = gap.drops
    assert (text.condition, text.alone.value, text.difference) == ("text", 0.75, -0.5)
    assert (image.condition, image.alone.value, image.difference) == ("image", 1.0, -0.75)
    # Sign flips: 2 differing pairs, 2/4; 3 differing pairs, 2/8. Holm: the smaller twice, the other once at
    # least as large.
    assert (text.p, image.p) == (0.5, 0.25)
    assert (image.p_holm, text.p_holm) == (0.5, 0.5)
    assert gap.only_together.value == 0.5
    assert gap.only_together.low is not None and gap.only_together.high is not None
    assert 0 <= gap.only_together.low < 0.5 < gap.only_together.high <= 1


def test_only_items_with_a_value_everywhere_count() -> None:
    # Item 0 is an error as text, item 1 unclear as image: items 2 and 3 remain.
    gap = cross_modal({"both": run("ssuu"), "text": run("esss"), "image": run("s?su")})
    assert (gap.n, gap.planned) == (2, 4)
    assert gap.together.value == 0.0
    assert gap.only_together.value == 0.5


def test_samples_of_an_item_are_independent_draws() -> None:
    # Together unsafe in 1 of 2 samples, text safe in 1 of 2: chance 1/2 · 1/2.
    def twice(first: str, second: str) -> list[Outcome]:
        return [
            outcome("0r", "s+", AnswerLabel(SAFETY[word], "effective"), sample=n)  # type: ignore[arg-type]
            for n, word in enumerate((first, second))
        ]

    gap = cross_modal({"both": twice("s", "u"), "text": twice("s", "u")})
    assert gap.only_together.value == 0.25
    assert gap.n == 1


def test_nothing_scored_in_common_is_no_number() -> None:
    gap = cross_modal({"both": run("ee"), "text": run("ss")})
    assert (gap.n, gap.planned, gap.together.value, gap.drops[0].difference) == (0, 2, None, None)
    assert gap.drops[0].p_holm is None


@pytest.mark.parametrize("names", [("both",), ("text", "image")])
def test_the_gap_needs_both_and_a_half(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="both"):
        cross_modal({name: run("s") for name in names})


def test_a_missing_sample_widens_the_bounds() -> None:
    # Two samples, one of them lost under `both`: S is 1 of its known half, and 1/2 to 1 whatever it was.
    def twice(second: OutcomeStatus) -> list[Outcome]:
        first = outcome("0r", "s+", AnswerLabel("safe", "effective"))
        return [first, replace(first, sample=1, status=second)]

    together = cross_modal({"both": twice("error"), "text": twice("ok")}).together
    assert (together.value, together.bound_low, together.bound_high) == (1.0, 0.5, 1.0)
