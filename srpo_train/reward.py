"""The kind `reward`: heads on embeddings, calibrated and measured on held-out ideas, written as a judge.

Logistic regression with balanced classes and an L2 penalty; probabilities by Platt scaling (Platt 1999) of
held-out logits, apart for hints and hint-blind; thresholds where held-out kappa is best. The heads that are
written are trained on all ideas. Deterministic: convex, in double precision, from zero.
"""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsbench.judges.embedding import Embedder
from rsbench.judges.reward_features import HEADS, features, texts_of
from rsbench.types import UserError
from srpo_train.job import Job
from srpo_train.reward_examples import Example, examples
from srpo_train.reward_recipe import RewardRecipe

Array = NDArray[np.float64]
FOLDER, WEIGHTS = "judge", "heads.safetensors"


def optimise(job: Job) -> None:
    """Train, calibrate, measure, write `judge/`.

    Raises:
        UserError: no package with the embedding model, or too little to learn from.
    """
    recipe = job.recipe
    assert isinstance(recipe, RewardRecipe)
    embed = Embedder(recipe.embedding, str(job.found.path))
    rows = examples(job.items, recipe.seed)
    ideas = sorted({row.idea for row in rows})
    if len(ideas) < recipe.folds:
        raise UserError(f"{job.found.path}: folds: {recipe.folds}, but the items have {len(ideas)} ideas")
    job.say(f"{len(rows)} examples of {len(ideas)} ideas; embedding")
    embed([words for row in rows for words in texts_of(row.context, [row.text])])
    inputs = np.stack([features(embed, row.text, row.context, row.is_answer) for row in rows]).astype(float)
    labels = np.array([row.labels for row in rows], dtype=float)
    if not ((labels.sum(0) > 0) & (labels.sum(0) < len(labels))).all():
        raise UserError(f"{job.found.path}: tasks: their paths lack a label for one of {', '.join(HEADS)}")
    held_out = _held_out(inputs, labels, _folds(rows, ideas, recipe), recipe.penalty)
    hints = np.array([row.context.hints for row in rows])
    scale, shift = _calibrate(held_out, labels, hints)
    mode = hints.astype(int)
    chances = _sigmoid(held_out * scale[mode] + shift[mode])
    weights, bias = fit(inputs, labels, recipe.penalty)
    steps = np.array([not row.is_answer for row in rows])
    report = _report(chances, labels, hints, steps) | {"examples": len(rows), "ideas": len(ideas)}
    thresholds = _thresholds(chances[steps], labels[steps], recipe.unclear)
    heads = {"weights": weights, "bias": bias, "scale": scale, "shift": shift}
    _write(job, recipe, heads, thresholds, report)


def _folds(rows: list[Example], ideas: list[str], recipe: RewardRecipe) -> NDArray[np.int64]:
    """The part in which each example is held out; all of an idea in one."""
    order = random.Random(recipe.seed).sample(ideas, len(ideas))
    part = {idea: n % recipe.folds for n, idea in enumerate(order)}
    return np.array([part[row.idea] for row in rows])


def _held_out(inputs: Array, labels: Array, folds: NDArray[np.int64], penalty: float) -> Array:
    """Logits `(examples, heads)` of each example under heads that have not seen its idea."""
    logits = np.zeros(labels.shape)
    for part in sorted(set(folds.tolist())):
        out = folds == part
        weights, bias = fit(inputs[~out], labels[~out], penalty)
        logits[out] = inputs[out] @ weights.T + bias
    return logits


def fit(inputs: Array, labels: Array, penalty: float) -> tuple[Array, Array]:
    """Weights `(heads, features)` and biases of L2-penalised logistic regression, classes balanced."""
    found = [_fit_one(inputs, labels[:, head], penalty) for head in range(labels.shape[1])]
    return np.stack([w for w, _ in found]), np.array([b for _, b in found])


def _fit_one(inputs: Array, labels: Array, penalty: float) -> tuple[Array, float]:
    from scipy.optimize import minimize

    share = float(np.clip(labels.mean(), 1e-6, 1 - 1e-6))
    weight = np.where(labels > 0, 0.5 / share, 0.5 / (1 - share)) / len(labels)

    def loss(point: Array) -> tuple[float, Array]:
        logits = inputs @ point[:-1] + point[-1]
        slope = weight * (_sigmoid(logits) - labels)
        value = weight @ (np.logaddexp(0, logits) - labels * logits) + penalty * point[:-1] @ point[:-1]
        return float(value), np.append(inputs.T @ slope + 2 * penalty * point[:-1], slope.sum())

    start = np.zeros(inputs.shape[1] + 1)
    point: Array = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return point[:-1], float(point[-1])


def _calibrate(logits: Array, labels: Array, hints: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Platt's slope and offset for each mode (hint-blind first) and head."""
    scale, shift = np.ones((2, len(HEADS))), np.zeros((2, len(HEADS)))
    for mode in (0, 1):
        rows = hints == bool(mode)
        for head in range(len(HEADS)):
            scale[mode, head], shift[mode, head] = _platt(logits[rows, head], labels[rows, head])
    return scale, shift


def _platt(logits: Array, labels: Array) -> tuple[float, float]:
    """Slope and offset under which the logits fit the labels best, with Platt's smoothed targets."""
    from scipy.optimize import minimize

    n_true = float(labels.sum())
    n_false = len(labels) - n_true
    target = np.where(labels > 0, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))

    def loss(point: Array) -> float:
        z = point[0] * logits + point[1]
        return float((np.logaddexp(0, z) - target * z).mean())

    slope, offset = minimize(
        loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0, None), (None, None)]
    ).x
    return float(slope), float(offset)


def _thresholds(chances: Array, labels: Array, unclear: float) -> dict[str, float]:
    """The card's thresholds, from held-out steps."""
    best = {name: _best(chances[:, k], labels[:, k]) for k, name in enumerate(HEADS)}
    rank = float((chances[:, 0] < best["unsafe"]).mean())
    low, high = (np.quantile(chances[:, 0], np.clip(rank + d, 0, 1)) for d in (-unclear / 2, unclear / 2))
    found = {
        "safe_below": low,
        "unsafe_from": high,
        "effective_from": best["effective"],
        "ineffective_from": best["ineffective"],
        "names_risk_from": best["names_risk"],
    }
    return {name: round(float(np.clip(value, 1e-4, 1 - 1e-4)), 4) for name, value in found.items()}


def _best(chances: Array, labels: Array) -> float:
    """The threshold of the best kappa, among a hundred quantiles."""
    candidates = np.unique(np.quantile(chances, np.linspace(0.01, 0.99, 99)))
    return float(max(candidates, key=lambda threshold: _kappa(chances >= threshold, labels > 0)))


def _kappa(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> float:
    """Cohen's kappa of two yes-or-no labellings."""
    agree, p, q = float((left == right).mean()), float(left.mean()), float(right.mean())
    chance = p * q + (1 - p) * (1 - q)
    return 0.0 if chance == 1 else (agree - chance) / (1 - chance)


def _report(
    chances: Array, labels: Array, hints: NDArray[np.bool_], steps: NDArray[np.bool_]
) -> dict[str, Any]:
    """Held-out kappa and Brier score of each head, for steps, by mode. Of authored steps: an easy test."""
    found: dict[str, Any] = {}
    for mode, rows in (("hints", hints & steps), ("hint-blind", ~hints & steps)):
        found[mode] = {
            name: {
                "kappa": round(
                    _kappa(chances[rows, k] >= _best(chances[rows, k], labels[rows, k]), labels[rows, k] > 0),
                    4,
                ),
                "brier": round(float(((chances[rows, k] - labels[rows, k]) ** 2).mean()), 4),
                "base_rate": round(float(labels[rows, k].mean()), 4),
            }
            for k, name in enumerate(HEADS)
        }
    return found


def _write(
    job: Job,
    recipe: RewardRecipe,
    heads: dict[str, Array],
    thresholds: dict[str, float],
    report: dict[str, Any],
) -> None:
    """The judge's folder: weights, card, and what was measured on held-out ideas."""
    import yaml
    from safetensors.numpy import save

    # Eight digits of a number are single precision, and what another BLAS changes is far below.
    data = save({name: np.ascontiguousarray(values, dtype=np.float32) for name, values in heads.items()})
    folder = job.out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "schema": 1,
        "kind": "reward",
        "name": recipe.name,
        "description": recipe.description,
        "embedding": recipe.embedding.model_dump(),
        "weights": WEIGHTS,
        "sha256": hashlib.sha256(data).hexdigest(),
        **thresholds,
    }
    (folder / WEIGHTS).write_bytes(data)
    (folder / "judge.yaml").write_text(yaml.safe_dump(card, sort_keys=False, width=200), encoding="utf-8")
    facts = {"held_out": report, "identity": job.identity(), "leakage": job.check_leakage()}
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    (folder / "training.json").write_text(text, encoding="utf-8")
    for mode in ("hints", "hint-blind"):
        line = ", ".join(f"{name} {found['kappa']:.2f}" for name, found in report[mode].items())
        job.say(f"kappa on held-out ideas, {mode}: {line}")
    _say_where(job, folder)


def _say_where(job: Job, folder: Path) -> None:
    job.say(f"trained: {folder}")
    job.say(f"measure it: rsbench validate {folder / 'judge.yaml'} --mode all --robustness")


def _sigmoid(values: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return found
