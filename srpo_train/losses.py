"""The losses of SRPO and of the optimisers it is compared with: pure functions of log-probabilities.

Nothing here knows a model, a batch layout or a process. Deviations from the published methods are listed at
each function. SRPO's printed loss is not available: ours is reconstructed from its parent method, Reasoning
Paths Optimization (RPO, arXiv 2410.10858).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody reads

CLAMP = 1e-6  # mean log-probabilities above −CLAMP count as −CLAMP: log(1 − e^a) has no finite slope at 0
_LN2 = math.log(2.0)


def log1mexp(x: torch.Tensor) -> torch.Tensor:
    """log(1 − e^x) for x ≤ −CLAMP, elementwise, in float32 or better.

    Two forms, each where it is exact (Mächler 2012): log(−expm1 x) near 0, log1p(−e^x) far from it. The
    argument of the form that is not taken is replaced before it is computed: `where` alone would still carry
    the other form's inf into the gradient as NaN.
    """
    near = x > -_LN2
    near_x = torch.where(near, x, torch.full_like(x, -_LN2))
    far_x = torch.where(near, torch.full_like(x, -_LN2), x)
    return torch.where(near, torch.log(-torch.expm1(near_x)), torch.log1p(-torch.exp(far_x)))


def log_odds(mean_logps: torch.Tensor) -> torch.Tensor:
    """log(p / (1 − p)) of p = e^mean_logps, any shape; constant, with gradient 0, above −CLAMP."""
    at_least_float32 = torch.promote_types(mean_logps.dtype, torch.float32)
    x = mean_logps.to(at_least_float32).clamp(max=-CLAMP)
    return x - log1mexp(x)


def odds_ratio_loss(favourable_logps: torch.Tensor, unfavourable_logps: torch.Tensor) -> torch.Tensor:
    """−log σ(log odds of the favourable − log odds of the unfavourable branch), (pairs,) → (pairs,).

    Takes mean log-probabilities of the tokens after the shared prefix (RPO, equation 5; ORPO's term,
    arXiv 2403.07691, where nothing is shared). Deviates from both by the clamp.
    """
    return -F.logsigmoid(log_odds(favourable_logps) - log_odds(unfavourable_logps))


def margin_loss(
    favourable_logps: torch.Tensor, unfavourable_logps: torch.Tensor, beta: float, margin: float
) -> torch.Tensor:
    """SimPO (arXiv 2405.14734, equation 6): −log σ(β·(favourable − unfavourable) − margin), (pairs,).

    Takes mean log-probabilities, as `odds_ratio_loss` does.
    """
    return -F.logsigmoid(beta * (favourable_logps - unfavourable_logps).float() - margin)


def preference_loss(
    favourable_logps: torch.Tensor,
    unfavourable_logps: torch.Tensor,
    favourable_before: torch.Tensor,
    unfavourable_before: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """DPO (arXiv 2305.18290, equation 7), of *summed* log-probabilities, (pairs,) → (pairs,).

    `…_before` are those of the model that training started from. With branches from a shared prefix only what
    follows the prefix is compared, as in Step-DPO. Deviates from it (arXiv 2406.18629): it compares one
    next step with another; here everything to the end of both branches counts.
    """
    now = favourable_logps.float() - unfavourable_logps.float()
    before = favourable_before.float() - unfavourable_before.float()
    return -F.logsigmoid(beta * (now - before))


def advantage_loss(
    mean_logps: torch.Tensor, mean_before: torch.Tensor, advantages: torch.Tensor, clip: float
) -> torch.Tensor:
    """GRPO's clipped surrogate (arXiv 2402.03300, equation 3), (branches,) → (branches,).

    Deviates from it in two ways: the ratio is that of a branch's mean log-probability (one ratio a branch, as
    in GSPO, arXiv 2507.18071), and there is no KL term, because the branches were sampled once, before.
    """
    ratio = torch.exp(mean_logps.float() - mean_before.float())
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages, bounded * advantages)


@dataclass(frozen=True)
class Terms:
    """The parts of one batch's loss before weighting, each (pairs,) and detached."""

    nll: torch.Tensor
    contrast: torch.Tensor


def srpo_loss(
    nll_logps: torch.Tensor,
    favourable_logps: torch.Tensor,
    unfavourable_logps: torch.Tensor,
    weights: torch.Tensor,
    lam: float,
) -> tuple[torch.Tensor, Terms]:
    """L = Σ weights · (−nll_logps + λ · odds-ratio loss), a scalar, with its terms; all inputs are (pairs,).

    `nll_logps`: mean log-probability of prefix + favourable branch (RPO, equation 4), or of the whole
    reference path. Deviates from RPO by `weights`: a question weighs the same whatever its number of pairs.
    """
    contrast = odds_ratio_loss(favourable_logps, unfavourable_logps)
    nll = -nll_logps.to(contrast.dtype)
    loss = (weights.to(contrast.dtype) * (nll + lam * contrast)).sum()
    return loss, Terms(nll.detach(), contrast.detach())


def question_weights(
    questions: torch.Tensor, n_questions: int, pair_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Weights that average within a question, then over questions: (pairs,) of question index → (pairs,).

    `pair_weights` (pairs,): how much each counts within its question; alike if not given. Σ weights = the
    share of questions that have a pair: `n_questions` counts those without pairs too, so that ranks with the
    same number of questions average to the same loss as one process.
    """
    own = torch.ones_like(questions, dtype=torch.float32) if pair_weights is None else pair_weights.float()
    totals = torch.zeros(n_questions, dtype=own.dtype, device=own.device).index_add(0, questions, own)
    return own / (totals[questions] * n_questions)


def group_advantages(rewards: torch.Tensor, groups: torch.Tensor, n_groups: int) -> torch.Tensor:
    """(reward − mean of its group) / standard deviation of its group; 0 where a group agrees. (branches,).

    GRPO's outcome form (arXiv 2402.03300, section 4.1.2), with the population standard deviation.
    """
    rewards = rewards.float()
    count = torch.bincount(groups, minlength=n_groups).clamp(min=1).to(rewards)
    mean = torch.zeros_like(count).index_add(0, groups, rewards) / count
    centred = rewards - mean[groups]
    variance = torch.zeros_like(count).index_add(0, groups, centred**2) / count
    spread = variance.sqrt()[groups]
    return torch.where(spread > 1e-6, centred / spread.clamp(min=1e-6), torch.zeros_like(centred))
