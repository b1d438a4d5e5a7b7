"""Reference paths as tokens: a prefix ends where a step ends, and is a beginning of the whole path."""

import pytest

from rsbench.steps import segment
from rsbench.types import AuthoredPath, PathStep, Reply, UserError
from srpo_train.paths import branch_steps, branch_text, path_text, token_path

pytest.importorskip("transformers")
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402 - after importorskip
from transformers import PreTrainedTokenizerFast  # noqa: E402

PATH = AuthoredPath((PathStep("perception", "A pool."), PathStep("request", "Two\n lines.")), " Swim! ")


def words(*joined: str) -> PreTrainedTokenizerFast:
    """A tokenizer of single characters, and of what is given."""
    alphabet = sorted(set("".join(joined)) | set(path_text(PATH)[0]) | {"?"})
    vocabulary = {piece: n for n, piece in enumerate([*alphabet, *(j for j in joined if len(j) > 1)])}
    merges = [(joined[0][:-1], joined[0][-1])] if joined else []
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split(pattern="~", behavior="isolated")
    made.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def test_a_path_reads_as_the_segmenter_cuts_it() -> None:
    text, starts = path_text(PATH)
    assert text == "Step 1: A pool.\nStep 2: Two lines.\nAnswer: Swim!"
    assert [text[start:][:4] for start in starts] == ["Step", "Step", "Answ"]
    reply = Reply("ok", text)
    found = segment(reply)
    assert [s.of(reply) for s in found.steps] == ["Step 1: A pool.", "Step 2: Two lines."]
    assert found.answer.of(reply) == "Swim!"


def test_cuts_fall_behind_each_step() -> None:
    tokenizer = words()
    path = token_path(PATH, tokenizer, "item 'a'")
    assert path.cuts == (0, 16, 35) and path.n_steps == 2 and len(path.ids) == len(path.text)
    # A token that ends with the step is no trouble.
    assert token_path(PATH, words(".\n"), "item 'a'").cuts == (0, 15, 33)


def test_a_token_across_the_end_of_a_step_is_refused() -> None:
    with pytest.raises(UserError, match="item 'a'.*end of a step"):
        token_path(PATH, words("\nS"), "item 'a'")


def test_the_steps_of_a_branch_end_where_its_next_begins() -> None:
    tokenizer = words(".\n")
    text = "Step 2: Two lines.\nStep 1: A pool.\nAnswer: A pool."
    ids = tokenizer(text)["input_ids"]
    found = branch_steps(tokenizer, (), ids, text)
    assert [text[: cut.chars] for cut in found] == [
        "Step 2: Two lines.\n",
        "Step 2: Two lines.\nStep 1: A pool.\n",
    ]
    assert [branch_text(tokenizer, (), ids[: cut.tokens]) for cut in found] == [
        text[: cut.chars] for cut in found
    ]
    assert branch_steps(tokenizer, (), tokenizer("Answer: A pool.")["input_ids"], "Answer: A pool.") == []
