"""What a batch's scores are worth: each training objective as one function of branch log-probabilities.

Every objective averages within a question, then over questions. A mean over pairs would let a question with
many pairs drown the others, and would make two processes disagree with one.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from srpo_train import losses
from srpo_train.layouts import Score

Contrast = Literal["odds_ratio", "margin", "preference", "advantage", "none"]
METRICS = ("loss", "nll", "contrast", "favourable_logp", "unfavourable_logp", "pair_accuracy", "margin")


@dataclass(frozen=True)
class Objective:
    """nll · (negative mean log-probability) + lam · contrast.

    contrast: odds_ratio (SRPO, RPO, ORPO), margin (SimPO), preference (DPO, `step-dpo`), advantage (GRPO on
    stored branches), none. nll_on: the favourable branch with its prefix, as RPO's code has it, or the
    reference path.
    """

    contrast: Contrast = "odds_ratio"
    lam: float = 0.1
    nll: float = 1.0
    nll_on: Literal["favourable", "reference"] = "favourable"
    beta: float = 0.1  # of margin and preference
    margin: float = 0.0  # of margin
    clip: float = 0.2  # of advantage

    @property
    def scores(self) -> frozenset[Score]:
        """Which scores a batch must bring."""
        wanted: set[Score] = {"own"}
        if self.nll:
            wanted.add("whole" if self.nll_on == "favourable" else "reference")
        return frozenset(wanted)

    @property
    def needs_before(self) -> bool:
        """Whether it compares with the model that training started from."""
        return self.contrast in ("preference", "advantage")


@dataclass(frozen=True)
class Sums:
    """Summed log-probabilities and token counts of one kind of score, (targets,) each."""

    total: torch.Tensor
    count: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """Mean log-probability of a token."""
        return self.total / self.count.clamp(min=1)


def sum_scores(log_probs: torch.Tensor, batch: dict[str, Any], score: Score) -> Sums:
    """Add up `log_probs` (rows, seq − 1) by target."""
    n_branches, n_questions = len(batch["branch_question"]), int(batch["n_questions"])
    targets = batch[f"{score}_target"]
    taken = log_probs.float().flatten()[batch[f"{score}_token"]]
    total = taken.new_zeros(n_questions if score == "reference" else n_branches)
    count = torch.zeros_like(total).index_add(0, targets, torch.ones_like(taken))
    return Sums(total.index_add(0, targets, taken), count)


def evaluate(
    log_probs: torch.Tensor, batch: dict[str, Any], objective: Objective
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, a scalar, and what it is made of: (questions, METRICS), detached."""
    questions = int(batch["n_questions"])
    own = sum_scores(log_probs, batch, "own")
    of_pair, favourable, unfavourable = batch["pairs"].T
    weights = losses.question_weights(of_pair, questions, batch["pair_weights"])
    nll = _nll(log_probs, batch, objective, weights)
    contrast = _contrast(own, batch, objective, weights)
    per_question = objective.nll * nll + objective.lam * contrast
    with torch.no_grad():
        f, u = own.mean[favourable], own.mean[unfavourable]
        pairwise = [f, u, (f > u).float(), losses.log_odds(f) - losses.log_odds(u)]
        columns = [_by_question(weights * values, of_pair, questions) for values in pairwise]
        table = torch.stack([per_question, nll, contrast, *columns], dim=1)
    return per_question.mean(), table.detach()


def _by_question(weighted: torch.Tensor, question: torch.Tensor, n_questions: int) -> torch.Tensor:
    """Means within each question of values weighted by `question_weights`: (entries,) → (questions,)."""
    zero = weighted.new_zeros(n_questions)
    return zero.index_add(0, question, weighted) * n_questions


def _nll(
    log_probs: torch.Tensor, batch: dict[str, Any], objective: Objective, weights: torch.Tensor
) -> torch.Tensor:
    questions = int(batch["n_questions"])
    if not objective.nll:
        return log_probs.new_zeros(questions, dtype=torch.float32)
    if objective.nll_on == "reference":
        return -sum_scores(log_probs, batch, "reference").mean
    of_pair, favourable, _ = batch["pairs"].T
    whole = sum_scores(log_probs, batch, "whole").mean
    return _by_question(weights * -whole[favourable], of_pair, questions)


def _contrast(own: Sums, batch: dict[str, Any], objective: Objective, weights: torch.Tensor) -> torch.Tensor:
    questions = int(batch["n_questions"])
    if objective.contrast == "none":
        return own.total.new_zeros(questions)
    if objective.contrast == "advantage":
        of_branch, groups = batch["branch_question"], batch["branch_group"]
        advantages = losses.group_advantages(batch["branch_favourable"], groups, len(groups))
        before = (batch["branch_before"] / own.count.double().clamp(min=1)).float()
        each = losses.advantage_loss(own.mean, before, advantages, objective.clip)
        return _by_question(losses.question_weights(of_branch, questions) * each, of_branch, questions)
    of_pair, favourable, unfavourable = batch["pairs"].T
    return _by_question(
        weights * _pairwise(own, batch, objective, favourable, unfavourable), of_pair, questions
    )


def _pairwise(
    own: Sums,
    batch: dict[str, Any],
    objective: Objective,
    favourable: torch.Tensor,
    unfavourable: torch.Tensor,
) -> torch.Tensor:
    mean = own.mean
    if objective.contrast == "odds_ratio":
        return losses.odds_ratio_loss(mean[favourable], mean[unfavourable])
    if objective.contrast == "margin":
        return losses.margin_loss(mean[favourable], mean[unfavourable], objective.beta, objective.margin)
    before = batch["branch_before"]
    return losses.preference_loss(
        own.total[favourable],
        own.total[unfavourable],
        before[favourable],
        before[unfavourable],
        objective.beta,
    )
