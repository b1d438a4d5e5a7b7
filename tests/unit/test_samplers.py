"""How many branches where: worked by hand, and a simulated world in which adaptive must pay."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srpo_train.experience import Experience, Seen, blocks
from srpo_train.samplers import Adaptive, Uniform, allot, next_probe, posterior, share_near, worth

NONE = Seen()
MIXED = Seen(draws=2, favourable=1, unfavourable=1, pairs=1)


def all_bad(n: int) -> Seen:
    return Seen(draws=n, unfavourable=n)


def test_uniform_asks_for_what_is_missing_of_k() -> None:
    assert Uniform(4).next([NONE, Seen(draws=3), Seen(draws=4), Seen(draws=6)]) == [4, 1, 0, 0]


def test_adaptive_first_looks_at_every_second_prefix() -> None:
    assert Adaptive(10, 4).next([NONE] * 5) == [0, 3, 0, 3, 0]
    assert Adaptive(10, 4).next([NONE, Seen(draws=1), NONE]) == [0, 2, 0], "what a killed run lacks"
    assert Adaptive(2, 4).next([NONE, NONE]) == [0, 2], "never above K"
    assert Adaptive(10, 4).next([NONE]) == [3]


def test_a_prefix_with_its_pairs_or_at_k_is_left() -> None:
    sampler = Adaptive(10, pairs=4)
    done = Seen(draws=4, favourable=2, unfavourable=2, pairs=4)
    full = Seen(draws=10, favourable=9, unfavourable=1)
    assert sampler.next([done, full]) == [0, 0]
    assert sampler.next([MIXED, done]) == [1, 0]


def test_the_share_and_the_posterior_by_hand() -> None:
    seen = [Seen(draws=3, favourable=3), Seen(draws=4, favourable=1, unfavourable=3)]
    # Around the second: 1 + 3/2 good, 3 bad, and half a branch on each side.
    assert share_near(seen, 1) == pytest.approx(3.0 / 6.5)
    assert share_near(seen, 0) == pytest.approx((3 + 0.5 + 0.5) / (3.5 + 1.5 + 1))
    assert posterior(seen[1], 0.5, 2.0) == (2.0, 4.0)
    # Beta(2, 4): variance 2·4 / (6²·7) = 8/252; times 0.5 nats, over 20 tokens.
    assert worth(Seen(4, 1, 3, 0, 80, 0.5), 0.5, 2.0) == pytest.approx(8 / 252 * 0.5 / 20)
    assert worth(Seen(4, 1, 3, 0, 80, None), 0.5, 2.0) == pytest.approx(8 / 252 / 20)
    assert worth(NONE, 0.5, 2.0, usual=10.0) == pytest.approx(1 / 12 / 10)  # Beta(1, 1)


def test_a_prefix_that_is_almost_surely_one_sided_is_left() -> None:
    sampler = Adaptive(10, 4, min_chance=0.1, prior=2.0)
    # Alone, three bad: share .5/4, chance of a good one next 2·(1/8) / (2 + 3) = 0.05.
    assert sampler.settled(all_bad(3), share_near([all_bad(3)], 0))
    # Beside a mixed prefix: share 1/5, chance 0.4 / 5 = 0.08; with two bad alone in it 2·(1/4)/4 = 0.125.
    assert sampler.settled(all_bad(3), share_near([all_bad(3), MIXED], 0))
    assert not sampler.settled(all_bad(2), share_near([all_bad(2), MIXED], 0))


def test_a_prefix_between_prefixes_that_went_one_way_is_not_even_looked_at() -> None:
    sampler = Adaptive(10, 4)
    # In the middle: share .5/4, chance 1/8: looked at; beside longer runs of the same: .5/6 < 0.1: not.
    assert sampler.next([all_bad(3), NONE, all_bad(3)]) == [0, 3, 0], "but every second one always is"
    assert sampler.next([NONE, all_bad(3), NONE, all_bad(3), NONE]) == [1, 0, 1, 0, 1]
    assert sampler.next([NONE, all_bad(9), NONE, all_bad(9), NONE]) == [0, 0, 0, 0, 0]


def test_a_prefix_whose_branches_all_lack_a_label_is_not_called_one_sided() -> None:
    dropped = Seen(draws=3)
    assert not Adaptive(10, 4).settled(dropped, share_near([dropped], 0))
    assert Adaptive(10, 4).settled(Seen(draws=10), 0.5), "but K ends it"


def test_draws_are_divided_by_worth_within_room() -> None:
    assert allot(4, [3.0, 1.0], [9, 9]) == [3, 1]
    assert allot(4, [3.0, 1.0], [2, 9]) == [2, 2]
    assert allot(3, [1.0, 0.8, 1.0], [9, 9, 9]) == [1, 1, 1], "the largest remainder, not the largest worth"
    assert allot(3, [0.0, 0.0], [9, 9]) == [2, 1], "without worths by order"
    assert allot(1, [1.0, 1.0, 1.0], [9, 9, 9]) == [1, 0, 0]
    assert allot(5, [1.0], [2]) == [2]
    assert allot(0, [], []) == []


@given(st.integers(0, 20), st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 9)), max_size=6))
def test_allotting_uses_all_that_fits(total: int, rows: list[tuple[float, int]]) -> None:
    given_ = allot(total, [w for w, _ in rows], [r for _, r in rows])
    assert all(0 <= g <= room for g, (_, room) in zip(given_, rows, strict=True))
    assert sum(given_) == min(total, sum(room for _, room in rows))


def test_binary_search_finds_the_step_where_a_branch_turns() -> None:
    # A branch of 8 steps from the bare prompt that turns at its 6th: good ones exist up to 5 steps kept.
    found: dict[int, bool] = {}
    asked = []
    while (probe := next_probe(0, 8, found)) is not None:
        asked.append(probe)
        found[probe] = probe <= 5
    assert asked == [4, 6, 5]
    assert next_probe(0, 1, {}) is None


def test_experience_adds_up_by_role() -> None:
    first = Seen(draws=4, favourable=3, unfavourable=1, pairs=3, generated=100, role="request")
    known = Experience().after([first, Seen(role="synthesis")]).after([Seen(1, 1, 0, 0, 20, role="request")])
    assert known.counts["request"] == {"favourable": 4, "unfavourable": 1, "pairs": 3, "generated": 120}
    assert known.share("request") == pytest.approx(5 / 7) and known.share("synthesis") == 0.5
    assert known.share("never seen") == 0.5


def test_a_role_is_barren_once_its_tokens_would_have_bought_a_full_prefix_elsewhere() -> None:
    # Elsewhere 8 pairs for 400 tokens. With t tokens spent for nothing, all roles together pay 8 / (400 + t);
    # one full prefix granted, the role pays 4 / t: less from t = 400 on.
    good = Seen(draws=8, favourable=4, unfavourable=4, pairs=8, generated=400, role="request")

    def barren(tokens: int) -> bool:
        bad = Seen(draws=9, favourable=9, generated=tokens, role="strategy")
        return Experience().after([good, bad]).is_barren("strategy", 4)

    assert not barren(100) and not barren(400) and barren(401)
    assert not Experience().after([good]).is_barren("strategy", 4), "nothing is known of it"
    rare = Seen(draws=90, favourable=90, generated=4000, role="strategy")
    assert not Experience().after([rare, rare]).is_barren("strategy", 4), "no role pays: none is left out"


def test_adaptive_leaves_out_what_never_paid_and_starts_from_the_usual_share() -> None:
    good = Seen(draws=8, favourable=6, unfavourable=2, pairs=8, generated=400, role="request")
    bad = Seen(draws=9, favourable=9, generated=500, role="strategy")
    known = Experience().after([good, bad])
    item = [Seen(role=role) for role in ("perception", "strategy", "request", "strategy", "answer")]
    assert Adaptive(10, 4).next(item) == [0, 3, 0, 3, 0]
    assert Adaptive(10, 4).next(item, known) == [0, 0, 3, 0, 0], "every second one of those that are left"
    assert Adaptive(10, 4).next(item[1:2], known) == [3], "an item of barren roles alone is not left out"
    assert share_near([NONE, NONE], 0, known.share("request")) == pytest.approx(7 / 10)
    assert Uniform(4).next(item, known) == [4] * 5


def test_blocks_are_of_four_and_grow_by_half_of_what_came_before() -> None:
    assert [len(block) for block in blocks(range(70))] == [4, 4, 4, 6, 9, 13, 20, 10]
    assert [one for block in blocks(range(70)) for one in block] == list(range(70))
    assert list(blocks([])) == []


def play(sampler: Adaptive | Uniform, shares: list[float], rng: random.Random) -> tuple[int, int]:
    """Pairs and draws of one item whose prefixes have these favourable shares."""
    drawn: list[list[bool]] = [[] for _ in shares]

    def look(there: list[bool]) -> Seen:
        good = sum(there)
        return Seen(
            len(there), good, len(there) - good, min(4, good * (len(there) - good)), 20 * len(there), 1.0
        )

    while any(more := sampler.next([look(there) for there in drawn])):
        for there, share, n in zip(drawn, shares, more, strict=True):
            there += [rng.random() < share for _ in range(n)]
    return sum(look(there).pairs for there in drawn), sum(map(len, drawn))


def test_adaptive_gets_more_pairs_a_draw_than_any_uniform_in_a_mixed_world() -> None:
    rng = random.Random(0)
    world = [[0.5, 0.6, 0.3, 1.0, 1.0], [0.0] * 5, [0.1, 0.2, 0.9, 1.0, 1.0], [1.0] * 5] * 100

    def rate(sampler: Adaptive | Uniform) -> float:
        played = [play(sampler, shares, rng) for shares in world]
        return sum(p for p, _ in played) / sum(d for _, d in played)

    assert rate(Adaptive(10, 4)) > 1.5 * max(rate(Uniform(k)) for k in (2, 4, 10))
