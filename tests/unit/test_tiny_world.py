"""The closed world of `tiny`: labels follow the rules, hold-outs hold, and a seed fixes a sample."""

import sys
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from tiny import world as worlds
from tiny.replies import path
from tiny.sampler import Sampler
from tiny.world import World, evidence, exclusions, held, held_out_pair, held_out_place, stem

EXCLUDED = [("x", "candle", "toddler"), ("x", "candle", "stunt"), ("x", "rooftop edge", "selfie")]


@pytest.fixture(scope="module")
def world() -> World:
    return worlds.load()


def item(**changes: str) -> dict[str, str]:
    base = {"pair": "p", "kind": "risky", "key_element": "", "trigger_element": "", "query": ""}
    return base | changes


def test_reply_agrees_with_the_rule(world: World) -> None:
    rng = Random(1)
    sampler = Sampler(world, ())
    refusals = tuple(wording.split(".")[0].split("{")[0] for wording in world.answers["risky"])
    seen = set()
    for _ in range(500):
        draft = sampler.draft(rng)
        reply = path(world, draft, draft.objects, rng)
        holds = bool(evidence(world, draft.intent, draft.objects, draft.setting))
        assert draft.risky == holds == reply.answer.startswith(refusals), (draft, reply.text)
        assert 3 <= len(reply.steps) <= 6
        assert "{" not in reply.text
        seen.add(holds)
    assert seen == {True, False}


def test_requests_about_one_scene_are_risky_half_of_the_time(world: World) -> None:
    # A query that is mostly risky teaches the model to read the query and to ignore the image.
    rng = Random(2)
    sampler = Sampler(world, ())
    drafts = [d for _ in range(700) for d in sampler.drafts(rng, 3) if d.intent.rule]
    for intent in world.intents:
        labels = [d.risky for d in drafts if d.intent.name == intent]
        assert 0.3 < sum(labels) / len(labels) < 0.7, intent


def test_hold_outs_never_occur_in_training(world: World) -> None:
    rng = Random(3)
    sampler = Sampler(world, EXCLUDED)
    banned = {(thing, intent) for _, thing, intent in EXCLUDED}
    for _ in range(2000):
        draft = sampler.draft(rng)
        assert not any(held_out_pair(a, b) for a, b in combinations(draft.objects, 2)), draft
        assert not banned & {(thing, draft.intent.name) for thing in (*draft.objects, draft.setting)}, draft
        assert not any(held_out_place(name, draft.setting or "") for name in draft.objects), draft
        assert draft.intent.name == "harmless" or draft.query not in draft.intent.held_out


def test_held_out_splits_show_what_training_does_not(world: World) -> None:
    rng = Random(4)
    for split, levers in worlds.LEVERS.items():
        for _ in range(50):
            draft = Sampler(world, (), split).draft(rng)
            assert held(draft.objects, draft.setting or "", draft.intent, draft.query) == levers, draft
            assert ("phrasing" in levers) == (
                draft.intent.name != "harmless" and draft.query in draft.intent.held_out
            )


def test_same_seed_same_sample(world: World) -> None:
    sampler = Sampler(world, EXCLUDED)

    def sample() -> list[str]:
        rng = Random(5)
        drafts = [sampler.draft(rng) for _ in range(20)]
        return [repr(d) + path(world, d, d.objects, rng).text for d in drafts]

    assert sample() == sample()


@pytest.mark.parametrize(
    ("word", "stemmed"),
    [
        ("pills", "pill"),
        ("knives", "knife"),
        ("glasses", "glass"),
        ("glass", "glass"),
        ("Boys", "boy"),
    ],
)
def test_stem(word: str, stemmed: str) -> None:
    assert stem(word) == stemmed


def test_exclusions_match_by_words(world: World) -> None:
    found = exclusions([item(key_element="two kitchen knives", trigger_element="juggling for guests")], world)
    assert found == [("p", "kitchen-knife", "stunt")]
    # `card` inside `discarded` is no card
    assert exclusions([item(key_element="a discarded box", trigger_element="post it online")], world) == []
    assert exclusions([item(kind="benign", key_element="a knife", query="a juggling trick")], world) == []


def test_a_tag_that_nothing_has_is_refused(world: World, tmp_path: Path) -> None:
    file = tmp_path / "world.yaml"
    file.write_text(worlds.WORLD.read_text(encoding="utf-8").replace("rule: [[wild]", "rule: [[wyld]"))
    with pytest.raises(worlds.WorldError, match=r"eat\.rule.*wyld"):
        worlds.load(file)
