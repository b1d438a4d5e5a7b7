"""Explored branches: the file survives a crash, groups and pairs are what a hand count says."""

import dataclasses
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.types import UserError
from srpo_train.branches import (
    Branch,
    BranchFile,
    Group,
    branch_key,
    group,
    load_groups,
    pairs,
    read_branches,
)
from tests.unit.exploring import branch


def one(*branches: Branch) -> Group:
    (found,) = group(branches, "test")
    return found


def chosen(groups: list[Group], cap: int = 10, seed: int = 0) -> list[tuple[int, int, float]]:
    return [
        (p.favourable.branch_ids[0], p.unfavourable.branch_ids[0], p.weight) for p in pairs(groups, cap, seed)
    ]


def test_a_written_branch_is_read_back_as_it_was(tmp_path: Path) -> None:
    wrote = [branch(0, True, [1, 2], text="é\ud83d\u2028"), branch(1, None, [3], reason="unclear")]
    with BranchFile(tmp_path) as file:
        for b in wrote:
            file.append(b)
        assert file.get(wrote[0].key) == dataclasses.replace(wrote[0], text="é\ud83d\u2028")
        assert file.get("00" * 32) is None
    assert list(read_branches(tmp_path / "branches.jsonl")) == wrote


def test_a_torn_last_line_is_cut_off_and_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "branches.jsonl"
    with BranchFile(tmp_path) as file:
        file.append(branch(0, True, [1]))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert len(list(read_branches(path))) == 1
    with BranchFile(tmp_path) as file:
        file.append(branch(1, False, [2]))
    assert [b.draw for b in read_branches(path)] == [0, 1]
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(UserError, match=r"branches.jsonl:1"):
        load_groups(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2"),
        ({"extra": 1}, "extra"),
        ({"status": "fine"}, "status"),
        ({"label": 1}, "label"),
    ],
)
def test_a_record_that_is_not_one_is_refused(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "branches.jsonl"
    path.write_text(json.dumps(dataclasses.asdict(branch(0, True, [1])) | change) + "\n")
    with pytest.raises(UserError, match=words):
        load_groups(path)


def test_a_file_that_is_not_there_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="explore"):
        load_groups(tmp_path / "branches.jsonl")


def test_the_last_record_of_a_key_counts(tmp_path: Path) -> None:
    failed = branch(0, None, [1], status="error", reason="no verdict")
    with BranchFile(tmp_path) as file:
        file.append(failed)
        file.append(branch(0, True, [1]))
    (found,) = load_groups(tmp_path / "branches.jsonl")
    assert len(found.branches) == 1 and found.dropped == {}


def test_branches_without_a_label_are_counted_and_in_no_pair() -> None:
    found = one(
        branch(0, True, [1]),
        branch(1, None, [2], reason="unclear"),
        branch(2, None, [3], reason="truncated"),
        branch(3, None, [4], reason="unclear"),
    )
    assert found.dropped == {"truncated": 1, "unclear": 2}
    assert pairs([found], 10) == []


def test_two_by_two_is_four_pairs_of_a_quarter_each() -> None:
    found = one(
        branch(0, True, [1, 9]), branch(1, True, [2, 9]), branch(2, False, [3, 9]), branch(3, False, [4, 9])
    )
    made = chosen([found])
    assert sorted(made) == [(1, 3, 0.25), (1, 4, 0.25), (2, 3, 0.25), (2, 4, 0.25)]
    # With a cap of two each branch is used once, not one of them twice.
    two = chosen([found], cap=2)
    assert {w for w, _, _ in two} == {1, 2} and {u for _, u, _ in two} == {3, 4}
    assert [weight for *_, weight in two] == [0.5, 0.5]


def test_a_branch_that_begins_another_is_not_paired_with_it() -> None:
    begins = one(branch(0, True, [5, 6]), branch(1, False, [5, 6, 7]), branch(2, False, [5, 8]))
    assert [p.unfavourable.branch_ids for p in pairs([begins], 10)] == [(5, 8)]
    # The judge called the same words good once and bad once: there is nothing to learn from that.
    assert pairs([one(branch(0, True, [5]), branch(1, False, [5]))], 10) == []


def test_the_same_words_twice_are_one_branch() -> None:
    found = one(branch(0, True, [1]), branch(1, True, [1]), branch(2, False, [2]))
    assert chosen([found]) == [(1, 2, 1.0)]


def test_prefixes_of_one_length_but_different_origin_are_different_groups() -> None:
    found = group([branch(0, True, [1]), branch(0, False, [2], origin="ab", prefix=(7, 8))], "test")
    assert [(g.origin, g.prefix_ids) for g in found] == [("", (7,)), ("ab", (7, 8))]
    assert pairs(found, 10) == []


def test_branches_of_two_tokenizers_in_one_file_are_refused() -> None:
    with pytest.raises(UserError, match="new folder"):
        group([branch(0, True, [1]), branch(1, False, [2], prefix=(9,))], "test")


def test_the_key_knows_everything_that_makes_a_branch() -> None:
    first = ("item", "prompt", (1, 2), {"m": "a"}, {"temperature": 0.5}, {"branch_label": "step"}, 0, 0)
    others = ("item2", "prompt2", (1,), {"m": "b"}, {"temperature": 1.0}, {"branch_label": "outcome"}, 1, 1)
    keys = {branch_key(*first)}
    for n, other in enumerate(others):
        keys.add(branch_key(*first[:n], other, *first[n + 1 :]))  # type: ignore[arg-type]
    assert len(keys) == 9


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=12), st.integers(1, 8), st.randoms())
def test_pairs_hang_neither_on_order_nor_exceed_the_cap(
    drawn: list[tuple[bool, int]], cap: int, rng: random.Random
) -> None:
    branches = [branch(n, good, [token]) for n, (good, token) in enumerate(drawn)]
    mixed = branches[:]
    rng.shuffle(mixed)
    made = pairs(group(branches, "test"), cap)
    assert made == pairs(group(mixed, "test"), cap)
    good, bad = ({t for g, t in drawn if g is side} for side in (True, False))
    assert len(made) == min(cap, len(good) * len(bad) - len(good & bad))
    assert len({(p.favourable.branch_ids, p.unfavourable.branch_ids) for p in made}) == len(made)
    assert not made or sum(p.weight for p in made) == pytest.approx(1)
