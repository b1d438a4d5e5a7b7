"""The kind `words`: a multinomial model of words and word pairs, written as a judge.

For each head softmax regression with an L2 penalty on the features of `rsbench.judges.words_features`;
convex, in double precision, from zero. Weights are rounded to hundredths, so that another BLAS gives the same
bytes. Items of a scene that a benchmark has in any split are left out.
"""

import hashlib
import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsbench import cards
from rsbench.data import Dataset
from rsbench.judges.words_features import Known, features, tokens
from rsbench.judges.words_model import HEADS, SCALE, Model, likeliest
from rsbench.types import Item, UserError
from srpo_train.job import Job
from srpo_train.words_examples import Example, examples
from srpo_train.words_recipe import WordsRecipe

Array = NDArray[np.float64]
FOLDER, WEIGHTS = "judge", "weights.json"
LEAST = 3  # examples that a feature needs


def optimise(job: Job) -> None:
    """Train, measure on held-out ideas, write `judge/`.

    Raises:
        UserError: too little to learn from.
    """
    recipe = job.recipe
    assert isinstance(recipe, WordsRecipe)
    items, repeated = _apart(job)
    rows = examples(items, recipe.seed)
    ideas = sorted({row.idea for row in rows})
    if len(ideas) < recipe.folds:
        raise UserError(f"{job.found.path}: folds: {recipe.folds}, but the items have {len(ideas)} ideas")
    job.say(f"{len(rows)} examples of {len(items)} items and {len(ideas)} ideas")
    order = random.Random(recipe.seed).sample(ideas, len(ideas))
    part = {idea: n % recipe.folds for n, idea in enumerate(order)}
    report: dict[str, Any] = _held_out(rows, [part[row.idea] for row in rows], recipe)
    report |= {"examples": len(rows), "ideas": len(ideas), "items": len(items), "left_out": repeated}
    _write(job, recipe, fit(rows, recipe.penalty), report)


def _apart(job: Job) -> tuple[list[Item], list[str]]:
    """The items to learn from, and the pairs left out for a scene that is one of the benchmark's."""
    taken = set()
    for task in job.recipe.run.tasks:
        card, found = cards.load_task(task, list(job.shelves))
        for split in card.splits or [None]:
            taken |= {_scene(item) for item in Dataset(card, found.folder, split=split)}
    repeated = sorted({item.pair for item in job.items if _scene(item) in taken - {None}})
    return [item for item in job.items if item.pair not in repeated], repeated


def _scene(item: Item) -> tuple[str, ...] | None:
    """What is shown and wanted."""
    scene = item.scene
    return (*sorted(scene.objects), scene.setting, scene.intent) if scene else None


def fit(rows: list[Example], penalty: float) -> Model:
    """The model of some examples."""
    known = _known(rows)
    inputs, names = _matrix([features(row.text, row.context, row.is_answer, known) for row in rows])
    columns = [_fit_head(inputs, _labels(rows, head), len(labels), penalty) for head, labels in HEADS.items()]
    table = np.rint(np.concatenate(columns, axis=1) * SCALE).astype(np.int64)
    return Model(known, {name: row for row, name in enumerate(names)}, table[:-1], table[-1])


def _known(rows: list[Example]) -> Known:
    """Words of captions, of notes, and of the texts that are told of their own item."""
    captions = frozenset[str]().union(*(row.context.shown for row in rows))
    notes = frozenset[str]().union(*(row.context.noted for row in rows))
    places = Known(frozenset(), captions, notes)
    said = {token for row in rows if row.own for token in tokens(row.text, row.context, places)}
    return replace(places, words=frozenset(token for token in said if not token.startswith("<")))


def _matrix(has: list[list[str]]) -> tuple[Any, list[str]]:
    """A sparse matrix (examples, features + 1), its last column 1, and the features that enough have."""
    from scipy.sparse import csr_matrix

    count: dict[str, int] = {}
    for names in has:
        for name in names:
            count[name] = count.get(name, 0) + 1
    kept = sorted(name for name, n in count.items() if n >= LEAST)
    place = {name: n for n, name in enumerate(kept)}
    at = [(n, place[name]) for n, names in enumerate(has) for name in names if name in place]
    at += [(n, len(kept)) for n in range(len(has))]
    row, column = zip(*at, strict=True)
    return csr_matrix((np.ones(len(at)), (row, column)), shape=(len(has), len(kept) + 1)), kept


def _labels(rows: list[Example], head: str) -> NDArray[np.int64]:
    """The number of each example's label; -1: not known."""
    values = ["yes" if v is True else "no" if v is False else v for v in (getattr(r, head) for r in rows)]
    return np.array([HEADS[head].index(value) if value else -1 for value in values])


def _fit_head(inputs: Any, labels: NDArray[np.int64], classes: int, penalty: float) -> Array:
    """Weights `(features + 1, classes)` of softmax regression; the last row, the bias, is not penalised."""
    from scipy.optimize import minimize

    inputs, labels = inputs[labels >= 0], labels[labels >= 0]
    target = np.eye(classes)[labels]
    shape = inputs.shape[1], classes

    def loss(point: Array) -> tuple[float, Array]:
        weights = point.reshape(shape)
        logits = inputs @ weights
        logits -= logits.max(1, keepdims=True)
        total = np.exp(logits).sum(1, keepdims=True)
        slope = inputs.T @ ((np.exp(logits) / total - target) / len(labels))
        slope[:-1] += 2 * penalty * weights[:-1]
        value = float((np.log(total[:, 0]) - (logits * target).sum(1)).mean())
        return value + penalty * float((weights[:-1] ** 2).sum()), slope.ravel()

    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7}
    point: Array = minimize(
        loss, np.zeros(shape[0] * classes), jac=True, method="L-BFGS-B", options=options
    ).x
    return point.reshape(shape)


def _held_out(rows: list[Example], folds: list[int], recipe: WordsRecipe) -> dict[str, Any]:
    """Of each head the share told right of held-out ideas, and the share of the commonest label."""
    right: dict[str, list[bool]] = {head: [] for head in HEADS}
    truth: dict[str, list[int]] = {head: [] for head in HEADS}
    for part in sorted(set(folds)):
        model = fit([row for row, fold in zip(rows, folds, strict=True) if fold != part], recipe.penalty)
        out = [row for row, fold in zip(rows, folds, strict=True) if fold == part]
        told = [model.chances(row.text, row.context, row.is_answer) for row in out]
        for head, labels in HEADS.items():
            for real, chances in zip(_labels(out, head).tolist(), told, strict=True):
                if real >= 0:
                    right[head].append(labels[real] == likeliest(chances, head))
                    truth[head].append(real)
    return {
        head: {
            "right": round(float(np.mean(right[head])), 4),
            "commonest": round(float(np.bincount(truth[head]).max() / len(truth[head])), 4),
            "examples": len(truth[head]),
        }
        for head in HEADS
    }


def _write(job: Job, recipe: WordsRecipe, model: Model, report: dict[str, Any]) -> None:
    """The judge's folder: weights, card, and what was measured on held-out ideas."""
    import yaml

    data = model.dump()
    folder = job.out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "schema": 1,
        "kind": "words",
        "name": recipe.name,
        "description": recipe.description,
        "weights": WEIGHTS,
        "sha256": hashlib.sha256(data).hexdigest(),
        "safe_below": recipe.safe_below,
        "unsafe_from": recipe.unsafe_from,
        "unknown_above": recipe.unknown_above,
    }
    (folder / WEIGHTS).write_bytes(data)
    (folder / "judge.yaml").write_text(yaml.safe_dump(card, sort_keys=False, width=200), encoding="utf-8")
    facts = {"held_out": report, "identity": job.identity(), "leakage": job.check_leakage()}
    (folder / "training.json").write_text(
        json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    job.say("right on held-out ideas: " + ", ".join(f"{h} {report[h]['right']:.3f}" for h in HEADS))
    job.say(f"trained: {folder}")
