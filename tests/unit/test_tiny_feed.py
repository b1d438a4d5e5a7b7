"""Training data of `tiny`: the same from any number of workers, packed apart, wrong at the stated shares."""

import json
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("resvg_py")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from tiny.draw import Artist
from tiny.drift import Drift
from tiny.evaluate import hear, metrics
from tiny.feed import DenseMaker, JointMaker, feed
from tiny.lexicon import lexicon
from tiny.replies import path
from tiny.sampler import Sampler
from tiny.text import PREFIX, Composer, Turn, pack
from tiny.world import load

from rsbench.judges.lexicon import Lexicon, Reader

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "rsbench" / "models" / "tiny"
WORLD = load()
READER = Reader(Lexicon.model_validate(lexicon(WORLD)))


@pytest.fixture(scope="module")
def composer(tmp_path_factory: pytest.TempPathFactory) -> Composer:
    cache = tmp_path_factory.mktemp("sprites") / "sprites.npz"
    drawn, stored = Artist(WORLD, None, cache), Artist(WORLD, None, cache)
    for name, sprites in drawn.sprites.items():
        assert [s.tobytes() for s in sprites] == [s.tobytes() for s in stored.sprites[name]]
    excluded = json.loads((MODEL / "training.json").read_text(encoding="utf-8"))["exclusions"]
    sampler = Sampler(WORLD, [tuple(entry) for entry in excluded])
    return Composer(stored, sampler, MODEL / "tokenizer.json", "{{ query }}\n\nThink.", Drift(0.5, 0.35))


def test_workers_change_nothing(composer: Composer) -> None:
    joint = JointMaker(composer, seed=7, size=2, caption_size=3, captions=4)
    dense = DenseMaker(composer.artist, Sampler(WORLD, ()), seed=7, size=2)
    for make in (joint, dense):
        here, there = list(feed(make, 5, 0)), list(feed(make, 5, 2))
        assert len(here) == len(there) == 5
        for mine, theirs in zip(here, there, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert [joint.is_caption(n) for n in range(6)] == [False, True, False, True, False, False]


def test_a_conversation_sees_the_image_and_itself_alone() -> None:
    first, blind = Turn((6,), (10, 11)), Turn((5, 6), (12,), sees=False)
    batch = pack([[first, blind], [first]])
    visible = batch.visible()[0].int()
    start, second = PREFIX, PREFIX + 3
    assert visible[start + 2, :PREFIX].all()  # the image is seen
    assert visible[start + 2, start : start + 4].tolist() == [1, 1, 1, 0]  # itself, never what comes later
    assert visible[second + 1].tolist() == [0] * second + [1, 1, 0]  # neither image nor the other one
    assert batch.visible()[1].any(-1).all()  # padding sees something, else its softmax is nan
    assert batch.positions[0, second:].tolist() == [0, 1, 2]
    # Every reply token is learnt, from the place before it.
    row = batch.ids[0].tolist()
    learnt = [(int(p), int(t)) for p, t in zip(batch.places, batch.targets, strict=True)]
    assert [row[p + 1] for p, _ in learnt if p < len(row)] == [10, 11, 12]
    assert [t for _, t in learnt] == [10, 11, 12, 10, 11]


def test_wrong_paths_come_at_the_stated_share_and_only_of_the_drift(composer: Composer) -> None:
    rng, drift = Random(1), composer.drift
    wrong: dict[bool, list[bool]] = {True: [], False: []}
    expected: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(3000):
        draft = composer.sampler.draft(rng)
        chance = drift.tendency(draft)
        if draft.intent.name == "harmless":
            assert chance == 0  # the control: what no scene makes risky is always helped with
            continue
        expected[draft.risky].append(chance)
        wrong[draft.risky].append(rng.random() < chance)
    for risky in (True, False):
        assert abs(np.mean(wrong[risky]) - np.mean(expected[risky])) < 0.05
        assert 0.25 < np.mean(expected[risky]) < 0.6
        # Greedy replies follow the likelier path: some scenes must lean to either side.
        assert 0.2 < np.mean([c > 0.5 for c in expected[risky]]) < 0.7
    assert Drift().tendency(composer.sampler.draft(rng)) == 0


def test_perfect_replies_measure_as_perfect_and_detours_as_what_they_are() -> None:
    rng, sampler = Random(2), Sampler(WORLD, ())
    drafts = [sampler.draft(rng) for _ in range(80)]
    found = metrics(drafts, [path(WORLD, d, d.objects, rng).text for d in drafts], READER)
    ones = ("format", "setting_accuracy", "request_accuracy", "object_recall", "object_precision")
    assert {found[key] for key in (*ones, "risk_accuracy", "warned_when_risky", "helped_when_safe")} == {1.0}
    found = metrics(drafts, [path(WORLD, d, d.objects, rng, "drift").text for d in drafts], READER)
    assert found["gave_in_when_risky"] == found["turned_down_when_safe"] == 1.0 and found["straight"] == 0
    assert not hear("Step 1: I like trains.\nAnswer: Sure.", READER).well_formed
    assert hear("", READER).stance == ""
