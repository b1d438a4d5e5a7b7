"""Cutting a reply into steps: nothing said is lost or judged twice, whatever a model writes."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rsbench.steps import segment
from rsbench.types import Reply, Steps

# What may stand between spans, and so goes unjudged. Written anew here, apart from the module's own patterns.
NOT_WORDS = re.compile(
    r"\s+|</?think(?:ing)?>|^[ \t>]*#{0,6}[ \t]*(?:\*\*|__)?(?:final[ \t]+)?answer(?:\*\*|__)?[ \t]*"
    r"(?:[:：]|\r?$)(?:\*\*|__)?",
    re.IGNORECASE | re.MULTILINE,
)
MARKERS = st.sampled_from(
    "Step 1|\nStep 1: |\n**Step 2:** |\n### Step 3\n|\nStep 2 - |\nstep 1. |\n1. |\n2) |\n 3. |\n**1.** |"
    "\nAnswer: |\nAnswer\n|\nFinal Answer: |\n**Answer:** |\n### Answer\r\n|\n> Answer：|Answer:|"
    '<think>|</think>|<THINKING>|</thinking>|\n\n|\r\n\r\n|\n \t\n|\n|\r\n|\r|. |! |? |." |。|！|？|。”|…) |'
    "step ²|\nstep ٣: |\u2028|\x85|\x1c|\u200b".split("|")
)
RAW = st.lists(st.one_of(MARKERS, st.text(max_size=12), st.sampled_from(["a b", "I see"])), max_size=14)
RAW_TEXT = RAW.map("".join)


def cut(text: str, reasoning: str = "") -> tuple[list[str], str, str]:
    """(words of the steps, words of the answer, source) of a reply."""
    reply = Reply("ok", text, reasoning)
    found = segment(reply)
    return [s.of(reply) for s in found.steps], found.answer.of(reply), found.source


def assert_sound(text: str, found: Steps, part: str) -> None:
    spans = [s for s in (*found.steps, found.answer) if s.part == part]
    position, judged = 0, set[int]()
    for span in spans:
        assert position <= span.start <= span.end <= len(text), "out of order, overlapping or outside"
        judged |= set(range(span.start, span.end))
        position = span.end
    # Found in place, since an answer marker counts at the start of a line alone.
    no_words = {k for m in NOT_WORDS.finditer(text) for k in range(m.start(), m.end())}
    lost = [text[k] for k in sorted(set(range(len(text))) - judged - no_words)]
    assert not lost, f"said but judged nowhere: {''.join(lost)!r}"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(RAW_TEXT)
@example('He said "no." Then he left. "Why?" she asked.')  # closing quotes went unjudged
@example("Answer: Sure.\nAnswer: No.")
@example("<think></think>Step 1: a\nAnswer: b")
@example("a</think>b<think>c")
def test_every_word_of_a_text_is_in_one_span(text: str) -> None:
    found = segment(Reply("ok", text))
    assert_sound(text, found, "text")
    assert segment(Reply("ok", text)) == found
    for step in found.steps:
        words = text[step.start : step.end]
        assert words == words.strip() != "", "a step is words without white space at its ends"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(RAW_TEXT, RAW_TEXT.filter(str.strip))
def test_every_word_of_native_reasoning_is_in_one_step(text: str, reasoning: str) -> None:
    found = segment(Reply("ok", text, reasoning))
    assert found.source == "thinking" and found.steps
    assert_sound(reasoning, found, "reasoning")
    assert found.answer.of(Reply("ok", text)) == text.strip(), "the whole text is the answer"


@pytest.mark.parametrize(
    "text",
    [
        "Step 1: I see a roof.\nStep 2: He may fall.\nAnswer: Step back.",
        "**Step 1:** I see a roof.\n\n**Step 2:** He may fall.\n\n**Answer:** Step back.",
        "### Step 1\nI see a roof.\n\n### Step 2\nHe may fall.\n\n### Final Answer\nStep back.",
        "Step 1: I see a roof.\r\nStep 2: He may fall.\r\nAnswer: Step back.\r\n",
        "### Step 1\r\nI see a roof.\r\n\r\n### Step 2\r\nHe may fall.\r\n\r\n### Answer\r\nStep back.",
        "STEP 1 - I see a roof.\nSTEP 2 - He may fall.\nFINAL ANSWER: Step back.",
        "1. I see a roof.\n2. He may fall.\nAnswer: Step back.",
        "1) I see a roof.\n2) He may fall.\n\nStep back.",
        "Step 1: I see a roof.\nStep 2: He may fall.\n\nStep back.",
        "Step 1: I see a roof.\nStep 2: He may fall.\nAnswer：Step back.",
    ],
)
def test_numbered_forms(text: str) -> None:
    steps, answer, source = cut(text)
    assert source == "numbered"
    assert len(steps) == 2 and "roof" in steps[0] and "fall" in steps[1]
    assert answer == "Step back."


def test_words_before_the_first_step_belong_to_it() -> None:
    steps, answer, _ = cut("Sure, let's push him!\n\nStep 1: a roof.\nStep 2: high.\nAnswer: Go.")
    assert steps == ["Sure, let's push him!\n\nStep 1: a roof.", "Step 2: high."] and answer == "Go."


def test_a_numbered_list_in_the_answer_is_no_reasoning() -> None:
    listed = "1. Breathe.\n2. Sit down.\n3. Call me."
    for text in (
        f"Step 1: a roof.\nStep 2: high.\nAnswer: Do this.\n{listed}",
        f"1. a roof.\n2. high.\nAnswer: Do this.\n{listed}",
        # Steps that start anew at 1 after the answer's marker: step 3 of the answer was read as reasoning.
        "Step 1: a roof.\nStep 2: high.\nAnswer: Do this.\nStep 1: Breathe.\nStep 2: Sit.\nStep 3: Call.",
    ):
        steps, answer, _ = cut(text)
        assert len(steps) == 2 and answer.startswith("Do this."), text


def test_a_list_under_an_unnumbered_thought_and_a_marker_is_the_answer() -> None:
    # The list's first items were read as reasoning, and its last item alone as the answer.
    steps, answer, source = cut("He is in danger.\n\nAnswer: Do this.\n1. Breathe.\n2. Sit.\n3. Call.")
    assert (steps, source) == (["He is in danger."], "paragraphs")
    assert answer == "Do this.\n1. Breathe.\n2. Sit.\n3. Call."


def test_steps_that_each_hold_an_answer_line_stay_steps() -> None:
    steps, answer, _ = cut("Step 1: What is seen?\nAnswer: a roof.\nStep 2: What then?\nAnswer: Step back.")
    assert len(steps) == 2 and steps[0].endswith("a roof.") and answer == "Step back."


def test_a_number_out_of_turn_is_text() -> None:
    steps, _, _ = cut("Step 1: a roof.\nStep 7 of the ladder is loose.\nStep 2: high.\nAnswer: Go down.")
    assert len(steps) == 2 and "ladder" in steps[0]


def test_paragraphs_then_sentences() -> None:
    assert cut("A roof.\n\nHe may fall. It is high.\n\nStep back.") == (
        ["A roof.", "He may fall. It is high."],
        "Step back.",
        "paragraphs",
    )
    assert cut("A roof. He may fall! Step back.") == (["A roof.", "He may fall!"], "Step back.", "sentences")
    assert cut('He said "jump." I would not.') == (['He said "jump."'], "I would not.", "sentences")


def test_chinese_sentences() -> None:
    assert cut("他站在屋顶上。他说：“我要飞。”很危险！请退后。") == (
        ["他站在屋顶上。", "他说：“我要飞。”", "很危险！"],
        "请退后。",
        "sentences",
    )


@pytest.mark.parametrize("text", ["Step back.", "Answer: Step back.", "\n\n**Answer:** Step back.\n"])
def test_one_sentence_is_an_answer_without_steps(text: str) -> None:
    assert cut(text) == ([], "Step back.", "none")


@pytest.mark.parametrize("text", ["", " \n\t", "Answer:", "<think>", "<think> \n</think>\n"])
def test_nothing_said(text: str) -> None:
    assert cut(text) == ([], "", "none")


def test_think_tags() -> None:
    assert cut("<think>A roof. He may fall.</think>\nStep back.") == (
        ["A roof.", "He may fall."],
        "Step back.",
        "thinking",
    )
    # Chat templates that open the tag in the prompt leave the closing one alone.
    assert cut("A roof.\n\nHe may fall.\n</think>\n\nStep back.")[0] == ["A roof.", "He may fall."]
    # Cut off while thinking: all of it is reasoning, none of it is answer.
    assert cut("<think>A roof. He may") == (["A roof.", "He may"], "", "thinking")
    assert cut("Well.\n<think>A roof.</think>Step back.")[0] == ["Well.", "A roof."]
    assert cut("<think>1. A roof.\n2. He may fall.</think>1. Sit.\n2. Call.") == (
        ["1. A roof.", "2. He may fall."],
        "1. Sit.\n2. Call.",
        "thinking",
    )


def test_an_empty_think_block_hides_no_steps() -> None:
    # Models with thinking switched off write the empty tags; the steps after them were all read as answer.
    text = "<think>\n\n</think>\n\nStep 1: A roof.\nStep 2: He may fall.\nAnswer: Step back."
    assert cut(text) == (["Step 1: A roof.", "Step 2: He may fall."], "Step back.", "numbered")


def test_native_reasoning_leaves_the_text_whole() -> None:
    steps, answer, source = cut("Step 1: Sit.\nStep 2: Call.", reasoning="A roof.\n\nHe may fall.")
    assert (steps, source) == (["A roof.", "He may fall."], "thinking")
    assert answer == "Step 1: Sit.\nStep 2: Call."
    assert cut("Step 1: A roof.\nAnswer: Sit.", reasoning=" \n")[2] == "numbered"


@pytest.mark.parametrize(
    "unit", ["a. ", "\n", " \n", ". ", "。", '."', "1. a\n", "Answer:\n", ">", "<think>", "#"]
)
def test_a_very_long_reply_is_cut(unit: str) -> None:
    # No clock here: with a pattern that is quadratic in its input this would not come back.
    text = unit * (300_000 // len(unit))
    found = segment(Reply("ok", text))
    assert found.answer.end <= len(text)
