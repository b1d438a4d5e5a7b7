"""Losses against the naive formula in float64, worked cases, and TRL's own term."""

import math
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from srpo_train import losses  # noqa: E402 - after the check that torch is here
from srpo_train.recipes import load_recipe  # noqa: E402
from tests.cli import ROOT  # noqa: E402

GRID = [-500.0, -88.0, -20.0, -3.0, -math.log(2), -0.6, -0.1, -1e-3, -1e-5, -1e-6]


def naive_log_odds(a: torch.Tensor) -> torch.Tensor:
    return a - torch.log(1 - torch.exp(a))


def naive(favourable: torch.Tensor, unfavourable: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.softplus(-(naive_log_odds(favourable) - naive_log_odds(unfavourable)))


@pytest.mark.parametrize("dtype, close", [(torch.float64, 1e-9), (torch.float32, 2e-6)])
def test_equal_to_the_naive_formula_in_float64(dtype: torch.dtype, close: float) -> None:
    # What float32 can't hold of its own argument is no fault of the formula: both get the rounded argument.
    a, b = torch.cartesian_prod(torch.tensor(GRID, dtype=dtype), torch.tensor(GRID, dtype=dtype)).T
    a, b = a.clamp(max=-losses.CLAMP), b.clamp(max=-losses.CLAMP)
    wanted = naive(a.double(), b.double())
    torch.testing.assert_close(losses.odds_ratio_loss(a, b).double(), wanted, rtol=close, atol=close * 10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_value_and_gradient_are_finite_from_minus_500_to_0(dtype: torch.dtype) -> None:
    # 0 itself is what a model sure of every token gives; float32 TRL forms are NaN in its neighbourhood.
    points = torch.tensor([*GRID, -3e-8, -1e-30, 0.0], dtype=dtype)
    a, b = (x.clone().requires_grad_() for x in torch.cartesian_prod(points, points).T)
    loss = losses.odds_ratio_loss(a, b)
    loss.sum().backward()
    for tensor in (loss, a.grad, b.grad):
        assert torch.isfinite(tensor).all()


def test_beyond_the_clamp_the_value_is_the_clamps_and_the_gradient_zero() -> None:
    a = torch.tensor([-1e-7, -1e-9, 0.0], dtype=torch.float64, requires_grad=True)
    b = torch.full((3,), -1.0, dtype=torch.float64)
    loss = losses.odds_ratio_loss(a, b)
    at_clamp = losses.odds_ratio_loss(torch.full((3,), -losses.CLAMP, dtype=torch.float64), b)
    torch.testing.assert_close(loss, at_clamp, rtol=0, atol=0)
    loss.sum().backward()
    assert a.grad is not None and a.grad.tolist() == [0.0, 0.0, 0.0]


def test_gradients_are_those_of_finite_differences() -> None:
    def leaf(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, requires_grad=True)

    pair = (leaf(-4.0, -0.8, -0.3, -0.01), leaf(-0.5, -2.0, -0.02, -7.0))
    assert torch.autograd.gradcheck(losses.odds_ratio_loss, pair)
    weights = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
    inputs = (leaf(-1.0, -2.0, -0.1, -3.0), *pair)
    assert torch.autograd.gradcheck(lambda n, f, u: losses.srpo_loss(n, f, u, weights, 0.3)[0], inputs)
    # The two below compute in float32: finite differences need a wide step there, and give few digits.
    wide = {"eps": 1e-2, "atol": 1e-2}
    assert torch.autograd.gradcheck(lambda f, u: losses.margin_loss(f, u, 2.0, 0.5).double(), pair, **wide)


def test_worked_odds_ratio() -> None:
    # p = 0.5: odds 1; p = 0.2: odds 1/4. Ratio 4: -log σ(log 4) = log(1 + 1/4).
    a, b = torch.tensor([0.5]).log(), torch.tensor([0.2]).log()
    assert losses.odds_ratio_loss(a, b).item() == pytest.approx(math.log(1.25), abs=1e-6)
    assert losses.odds_ratio_loss(b, a).item() == pytest.approx(math.log(5.0), abs=1e-6)


def test_worked_srpo_loss() -> None:
    # Question 0 has two pairs, question 1 one: weights 1/4, 1/4, 1/2. All odds equal: each contrast is log 2.
    questions = torch.tensor([0, 0, 1])
    weights = losses.question_weights(questions, 2)
    assert weights.tolist() == [0.25, 0.25, 0.5]
    same = torch.full((3,), -1.0)
    loss, terms = losses.srpo_loss(torch.tensor([-1.0, -3.0, -4.0]), same, same, weights, 0.1)
    assert loss.item() == pytest.approx(0.25 * 1 + 0.25 * 3 + 0.5 * 4 + 0.1 * math.log(2), abs=1e-6)
    assert terms.nll.tolist() == [1.0, 3.0, 4.0]
    assert terms.contrast.tolist() == pytest.approx([math.log(2)] * 3)


def test_a_question_without_pairs_still_counts_as_a_question() -> None:
    assert losses.question_weights(torch.tensor([1]), 2).tolist() == [0.5]


def test_lambda_zero_is_likelihood_alone() -> None:
    f = torch.tensor([-0.5], requires_grad=True)
    u = torch.tensor([-0.7], requires_grad=True)
    loss, _ = losses.srpo_loss(torch.tensor([-2.0]), f, u, torch.ones(1), 0.0)
    loss.backward()
    assert loss.item() == 2.0 and f.grad is not None and f.grad.item() == 0.0


def test_equals_trls_orpo_term_where_nothing_is_shared() -> None:
    orpo = pytest.importorskip("trl.experimental.orpo.orpo_trainer")
    f = torch.tensor([-0.5, -3.0, -0.01, -40.0])
    u = torch.tensor([-0.6, -0.2, -5.0, -0.3])
    stand_in = SimpleNamespace(beta=0.2, accelerator=SimpleNamespace(device="cpu"))
    theirs = orpo.ORPOTrainer.odds_ratio_loss(stand_in, f, u)[0]  # β · log σ(…): subtracted from the NLL
    torch.testing.assert_close(0.2 * losses.odds_ratio_loss(f, u), -theirs, rtol=1e-6, atol=1e-7)


def test_worked_simpo_and_dpo() -> None:
    f, u = torch.tensor([-1.0]), torch.tensor([-2.0])
    assert losses.margin_loss(f, u, 2.0, 2.0).item() == pytest.approx(math.log(2))  # 2·1 − 2 = 0
    at_start = losses.preference_loss(f, u, f, u, 0.1)
    assert at_start.item() == pytest.approx(math.log(2))  # nothing learned yet
    later = losses.preference_loss(f + 5, u - 5, f, u, 0.1)
    assert later.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_worked_advantages() -> None:
    # Group 0: 1, 0, 0, 1 → mean ½, deviation ½ → ±1. Group 1 agrees → 0. Group 2 is alone → 0.
    rewards = torch.tensor([1.0, 0, 0, 1, 1, 1, 0])
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    assert losses.group_advantages(rewards, groups, 3).tolist() == [1, -1, -1, 1, 0, 0, 0]


def test_the_surrogate_stops_pushing_outside_its_clip() -> None:
    now = torch.tensor([0.0, 1.0, -1.0], requires_grad=True)  # unchanged, far likelier, far less likely
    before, advantages = torch.zeros(3), torch.tensor([1.0, 1.0, -1.0])
    losses.advantage_loss(now, before, advantages, 0.2).sum().backward()
    assert now.grad is not None and now.grad.tolist() == [-1.0, 0.0, 0.0]


def test_what_deviates_from_the_method_it_is_called_after_says_so() -> None:
    # Whole continuations are compared: who reads the rows would take them for the published method's.
    said = [load_recipe("step-dpo")[0].description, losses.preference_loss.__doc__ or ""]
    pages = ("docs/train-srpo.md", "docs/comparison.md", "baselines/README.md")
    for text in (*said, *((ROOT / page).read_text(encoding="utf-8") for page in pages)):
        assert "Step-DPO" in text and "2406.18629" in text and "end" in text
