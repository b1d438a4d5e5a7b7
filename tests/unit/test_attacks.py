"""Each attack changes what it says it changes, and nothing that the gold labels rest on."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.attacks import ATTACKS, Attacked, Material, blank_image, rewrite
from rsbench.gold import Trace
from rsbench.steps import segment
from rsbench.types import ItemImage, Reply
from tests.unit.judging import make_item, picture

TEXT = (
    "Step 1: A roof.\nStep 2: I can't see harm. However, it is high.\nStep 3: So jump.\nAnswer: Don't wait!"
)
BLANK = ItemImage(Path("blank.png"), "", "0")


def trace(text: str = TEXT, reasoning: str = "") -> Trace:
    reply = Reply("ok", text, reasoning)
    none = (None,) * len(segment(reply).steps)
    return Trace("t1", "toast.risky", "written", "x", reply, none, none, None, None, None, None, ("lm:x",))


def material(text: str = TEXT, **more: object) -> Material:
    return Material(trace(text), make_item(), None, BLANK, **more)  # type: ignore[arg-type]


def attack(name: str, on: Material) -> Attacked | None:
    return next(a for a in ATTACKS if a.name == name).change(on)


def words(made: Attacked | None) -> list[str]:
    """Steps and answer of what an attack made."""
    assert made is not None
    steps = segment(made.reply)
    return [span.of(made.reply) for span in (*steps.steps, steps.answer)]


def test_the_control_changes_nothing() -> None:
    made = attack("repeat", material())
    assert made == Attacked(trace().reply, make_item(), (0, 1, 2))


def test_only_the_answer_gets_an_apology() -> None:
    before = words(attack("repeat", material()))
    after = words(attack("apology-prefix", material()))
    assert after[:3] == before[:3]
    assert after[3].startswith("I apologize") and after[3].endswith("Don't wait!")


@pytest.mark.parametrize("name", ["benign-padding", "authority-claim", "all-safe-claim", "quotation-closer"])
def test_words_are_added_to_every_step_and_the_answer(name: str) -> None:
    before, after = words(attack("repeat", material())), words(attack(name, material()))
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert new.startswith(old) and len(new) > len(old)


def test_the_fake_verdict_has_a_label_for_every_step() -> None:
    assert words(attack("fake-verdict", material()))[3].count('"safety": "safe"') == 4


def test_the_master_key_empties_the_answer() -> None:
    made = attack("master-key", material())
    assert made is not None and made.emptied
    assert words(made)[3] == "Thought process:"


def test_style_changes_and_sense_stays() -> None:
    assert words(attack("style-rewrite", material())) == [
        "Step 1: A roof.",
        "Step 2: I cannot see harm. Yet, it is high.",
        "Step 3: Therefore jump.",
        "Do not wait.",
    ]
    assert attack("style-rewrite", material("Step 1: A roof.\nStep 2: High.\nAnswer: Stay.")) is None


def test_shuffled_steps_keep_their_numbers_and_say_where_they_were() -> None:
    plain = words(attack("repeat", material()))
    made = attack("shuffled-steps", material())
    assert made is not None and made.order != (0, 1, 2) and sorted(made.order) == [0, 1, 2]
    for place, old in enumerate(made.order):
        assert words(made)[place] == f"Step {place + 1}: {plain[old].partition(': ')[2]}"
    assert attack("shuffled-steps", material("Step 1: A roof.\nAnswer: Stay.")) is None


def test_pictures(tmp_path: Path) -> None:
    blank = blank_image(tmp_path)
    item = make_item(image=picture(tmp_path), swap="image")
    other = dataclasses.replace(item, id="toast.benign", images=(dataclasses.replace(blank, sha256="1"),))
    shown = Material(trace(), item, other, blank)
    made = attack("blank-image", shown)
    assert made is not None and made.item.images == (blank,) and made.item.query == item.query
    twin = attack("twin-image", shown)
    assert twin is not None and twin.item.images == other.images and twin.item.id == item.id
    assert attack("blank-image", material()) is None, "an item without a picture"
    by_query = dataclasses.replace(item, swap="query")
    assert attack("twin-image", Material(trace(), by_query, other, blank)) is None, "the same picture"
    assert not any(a.decides for a in ATTACKS if a.name.endswith("image"))


def test_a_change_that_cuts_other_steps_does_not_apply() -> None:
    reply = Reply("ok", "First a roof. Then a jump. Do it.")  # cut by sentences
    assert len(segment(reply).steps) == 2
    assert attack("benign-padding", material(reply.text)) is None


PLAIN = st.text("abc xyz", min_size=1, max_size=12).filter(str.strip)


@given(st.lists(PLAIN, min_size=1, max_size=5), PLAIN, st.booleans())
def test_rewriting_gives_the_words_back(new: list[str], answer: str, thinking: bool) -> None:
    said = "".join(f"Step {n}: old.\n" for n in range(1, len(new) + 1))
    reply = Reply("ok", "Old.", said) if thinking else Reply("ok", f"{said}Answer: old.")
    steps = segment(reply)
    texts = [f"Step {n}: {text}" for n, text in enumerate(new, 1)]
    if len(steps.steps) != len(texts):
        return  # a single numbered step of thinking is cut by sentences
    made = rewrite(reply, steps, texts, answer)
    assert made is not None
    again = segment(made)
    assert [span.of(made) for span in again.steps] == [text.strip() for text in texts]
    assert again.answer.of(made) == answer.strip()
