"""The tree layout scores every branch as if it stood alone; and each part of it matters."""

import dataclasses
from collections.abc import Callable

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

import torch  # noqa: E402
from questions import question  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from vlms import build, picture  # noqa: E402

from rsbench.models.hf_loading import Loaded  # noqa: E402
from rsbench.types import UserError  # noqa: E402
from srpo_train.layouts import collator_for  # noqa: E402
from srpo_train.objectives import Objective, evaluate, sum_scores  # noqa: E402
from srpo_train.questions import ChosenPair, Continuation, Question  # noqa: E402
from srpo_train.rows import padded_rows, tree_row  # noqa: E402
from srpo_train.trainer import CPU_TILE, add_scoring, log_probs  # noqa: E402

KINDS = ("llava", "idefics3", "qwen3_vl", "text")
SCORES = frozenset({"own", "whole", "reference"})
Batch = dict[str, object]


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest) -> Loaded:
    built = build(request.param)
    add_scoring(built.model)
    return built


def batch_of(loaded: Loaded, layout: str, questions: list[Question]) -> dict[str, object]:
    return collator_for(loaded.model, loaded.tokenizer.pad_token_id, layout, SCORES)(questions)


def means(loaded: Loaded, batch: dict[str, object]) -> torch.Tensor:
    found = log_probs(loaded.model, batch)
    return torch.cat([sum_scores(found, batch, score).mean for score in sorted(SCORES)])


def two(loaded: Loaded) -> list[Question]:
    return [question(loaded, 0, picture(0), 8), question(loaded, 1, picture(1), 4)]


def test_tree_equals_padded(loaded: Loaded) -> None:
    questions = two(loaded)
    tree, padded = (means(loaded, batch_of(loaded, layout, questions)) for layout in ("tree", "padded"))
    assert tree.std() > 0.05  # scores that are all alike would agree whatever the mask
    torch.testing.assert_close(tree, padded, rtol=0, atol=3e-5)


def test_gradients_agree_too(loaded: Loaded) -> None:
    questions, gradients = two(loaded), []
    for layout in ("tree", "padded"):
        loaded.model.zero_grad()
        batch = batch_of(loaded, layout, questions)
        evaluate(log_probs(loaded.model, batch), batch, Objective(lam=0.5))[0].backward()
        gradients.append(
            {n: p.grad.clone() for n, p in loaded.model.named_parameters() if p.grad is not None}
        )
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-4, msg=name)


def shift_positions(loaded: Loaded, batch: dict[str, object], questions: list[Question]) -> None:
    trunk = tree_row(questions[0], True).trunk
    batch["model"]["position_ids"][..., 0, trunk:] += 1  # type: ignore[index]


def show_siblings(loaded: Loaded, batch: dict[str, object], questions: list[Question]) -> None:
    mask = batch["model"]["attention_mask"]  # type: ignore[index]
    batch["model"]["attention_mask"] = torch.ones_like(mask).tril()  # type: ignore[index]


def swap_pictures(loaded: Loaded, batch: dict[str, object], questions: list[Question]) -> None:
    other = [question(loaded, 0, picture(5), 8), question(loaded, 1, picture(6), 4)]
    changed = batch_of(loaded, "tree", other)
    batch["model"] |= {k: changed["model"][k] for k in questions[0].media}  # type: ignore[index,operator]


def hide_the_repeated_token(loaded: Loaded, batch: dict[str, object], questions: list[Question]) -> None:
    first = tree_row(questions[0], True).segments[0].start
    batch["model"]["input_ids"][0, first] = loaded.tokenizer.pad_token_id  # type: ignore[index]


@pytest.mark.parametrize("harm", [shift_positions, show_siblings, swap_pictures, hide_the_repeated_token])
def test_a_wrong_tree_is_seen(
    loaded: Loaded, harm: Callable[[Loaded, dict[str, object], list[Question]], None]
) -> None:
    # Without these, "tree equals padded" could hold because the models look at nothing.
    if harm is swap_pictures and not loaded.sees:
        pytest.skip("reads text only")
    questions = two(loaded)
    right = means(loaded, batch_of(loaded, "tree", questions))
    batch = batch_of(loaded, "tree", questions)
    harm(loaded, batch, questions)
    assert (means(loaded, batch) - right).abs().max() > 1e-3


def test_batches_are_the_same_each_time(loaded: Loaded) -> None:
    once, again = (batch_of(loaded, "tree", two(loaded))["model"] for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)  # type: ignore[index,attr-defined]


def test_eager_attention_gives_the_same_tree(loaded: Loaded) -> None:
    # It adds its mask: one of bool would be numbers 0 and 1 there.
    questions = two(loaded)
    usual = means(loaded, batch_of(loaded, "tree", questions))
    chosen = loaded.model.config.get_text_config()
    chosen._attn_implementation = "eager"
    try:
        eager = means(loaded, batch_of(loaded, "tree", questions))
    finally:
        chosen._attn_implementation = "sdpa"
    torch.testing.assert_close(eager, usual, rtol=0, atol=3e-5)


SMALL = Question(
    "q",
    (1, 2, 3),
    (4, 5, 6, 9),
    (
        Continuation((), (7, 9), True),
        Continuation((4, 5), (8, 9), False),
        Continuation((4, 8), (7,), True),  # leaves the reference path after its first token
    ),
    (ChosenPair(0, 1),),
)


def test_a_tree_row_by_hand() -> None:
    row = tree_row(SMALL, with_reference=False)
    #                prompt   path  | rep branch 0 | rep branch 1 | rep stem | rep branch 2
    assert row.ids == [1, 2, 3, 4, 5, 3, 7, 9, 5, 8, 9, 4, 8, 8, 7]
    assert (row.prompt, row.trunk) == (3, 5)  # path tokens 6 and 9 are seen by no branch
    assert row.own == {0: [6, 7], 1: [9, 10], 2: [14]}
    assert row.whole == {0: [6, 7], 1: [3, 4, 9, 10], 2: [3, 12, 14]}
    assert [s.visible for s in row.segments] == [(0, 1), (0, 1, 2, 3), (0, 1, 2), (0, 1, 2, 3)]
    assert [s.repeats for s in row.segments] == [2, 4, 3, 12]


def test_padded_rows_by_hand() -> None:
    rows = padded_rows(SMALL, with_reference=True)
    assert [r.ids for r in rows] == [
        [1, 2, 3, 7, 9],
        [1, 2, 3, 4, 5, 8, 9],
        [1, 2, 3, 4, 8, 7],
        [1, 2, 3, 4, 5, 6, 9],
    ]
    assert rows[1].own == {1: [5, 6]} and rows[1].whole == {1: [3, 4, 5, 6]}
    assert rows[3].reference == [3, 4, 5, 6]


def test_only_scored_tokens_are_labelled() -> None:
    # Masked losses: what no score asks for must not be learned, nor cost the output layer anything.
    loaded = build("text")
    collate = collator_for(loaded.model, 0, "tree", frozenset({"own"}))
    labels = collate([SMALL])["model"]["labels"][0].tolist()
    assert labels == [-100] * 6 + [7, 9, -100, 8, 9, -100, -100, -100, 7]


def test_an_attention_without_such_masks_is_refused() -> None:
    loaded = build("text")
    loaded.model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UserError, match="layout: padded"):
        collator_for(loaded.model, 0, "tree", frozenset({"own"}))


def test_a_question_weighs_the_same_whatever_its_pairs() -> None:
    loaded = build("text")
    add_scoring(loaded.model)
    one, many = question(loaded, 0, None, 2), question(loaded, 1, None, 8)

    def loss(questions: list[Question]) -> float:
        batch = collator_for(loaded.model, 0, "tree", Objective().scores)(questions)
        return evaluate(log_probs(loaded.model, batch), batch, Objective())[0].item()

    assert loss([one, many]) == pytest.approx((loss([one]) + loss([many])) / 2, rel=1e-5)
    heavier = dataclasses.replace(
        many, pairs=tuple(ChosenPair(p.favourable, p.unfavourable, 9.0) for p in many.pairs)
    )
    assert loss([heavier]) != pytest.approx(loss([many]), rel=1e-4)  # weights within a question do count


class Shapes(TorchDispatchMode):
    """Notes the shape of whatever is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and "empty" not in str(func):  # memory that nobody writes is free
            self.seen.add(tuple(made.shape))
        return made


def test_a_long_row_costs_no_logits_of_its_length_and_one_mask() -> None:
    loaded = build("text")
    add_scoring(loaded.model)
    branches = tuple(Continuation((4, 5), (n + 6, *range(6, 16)), n % 2 == 0) for n in range(20))
    batch = collator_for(loaded.model, 0, "tree", Objective().scores)(
        [dataclasses.replace(SMALL, branches=branches)]
    )
    length = batch["model"]["input_ids"].shape[1]
    assert length > 1.5 * CPU_TILE
    kept: set[int] = set()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape[-2:] == (length, length):
            kept.add(tensor.data_ptr())
        return tensor

    with Shapes() as shapes, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        evaluate(log_probs(loaded.model, batch), batch, Objective())[0].backward()
    words = loaded.model.config.vocab_size
    rows = {shape[0] for shape in shapes.seen if len(shape) == 2 and shape[1] == words}
    assert CPU_TILE in rows and max(rows) <= CPU_TILE, rows
    assert len(kept) == 1  # sdpa keeps one a layer when it has to make it from bool
