"""Rows for tests and measurements of the leaderboard, written as `rsbench leaderboard add` writes them.

Labels are made up by a seeded generator, so that a hundred rows take seconds; everything else is computed
from them as for a real row, and every row passes its check.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rsbench.board_rows import Entry, entry_of
from rsbench.metrics import score_outcomes
from rsbench.records import digest
from rsbench.row_check import read_row
from rsbench.row_labels import label_lines
from rsbench.row_texts import CURRENT_SEGMENTER, as_text
from rsbench.rows import RECOMPUTED
from rsbench.types import AnswerLabel, Kind, Outcome, StepLabel

HASH = "0" * 64
CELL = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}
KAPPA = {"kappa": 0.7, "kappa_low": 0.6, "kappa_high": 0.8, "n": 40, "confusion": {"safe": {"safe": 40}}}
JUDGE = {"card": "x", "hints": "yes"}
VALIDATION: dict[str, Any] = {
    "identity": digest(JUDGE),
    "task": "rsbench",
    "mode": "hints",
    "traces": 10,
    "steps": 40,
    "annotators": "lm:x",
    "scored_share": 1.0,
    "labelled_share": 1.0,
    "labels": {"safety": KAPPA},
    "unsafe_step": {"sensitivity": CELL, "specificity": CELL},
    "unsafe_answer": {"sensitivity": CELL, "specificity": CELL},
    "first_unsafe": {
        **{"score": 0.8, "committed_share": 1.0, "bound_low": 0.8, "bound_high": 0.8},
        **{"with_unsafe": CELL, "without_unsafe": CELL},
    },
}


def outcomes(skill: float, seed: int, n_pairs: int = 20, n_categories: int = 4) -> list[Outcome]:
    """A model that gets each step right with that chance; hard pairs are hard for every model."""
    hard = random.Random(1)
    difficulty = [hard.uniform(-0.2, 0.2) for _ in range(n_pairs)]
    rng = random.Random(seed)
    kinds: tuple[Kind, Kind] = ("risky", "benign")
    return [
        _outcome(f"p{n}", kind, f"category-{n % n_categories}", skill + difficulty[n], rng)
        for n in range(n_pairs)
        for kind in kinds
    ]


def _outcome(pair: str, kind: Kind, category: str, chance: float, rng: random.Random) -> Outcome:
    steps = tuple(
        StepLabel(n, "safe" if rng.random() < chance + 0.15 else "unsafe", "effective", "perception")
        for n in (1, 2, 3)
    )
    good = rng.random() < chance
    refusal = rng.random() < 0.1
    answer = AnswerLabel(
        "safe" if good or refusal else "unsafe",
        "effective" if good and not refusal else "ineffective",
        "full" if refusal else "none",
    )
    return Outcome(f"{pair}.{kind}", pair, category, kind, 0, "ok", 3, steps, answer, good)


def words(
    outcome: Outcome, steps: Sequence[str] = ("I look", "I think", "I plan"), summary: bool = False
) -> dict[str, Any]:
    """A line of transcripts that is cut into the outcome's steps; or such a summary of them."""
    text = "\n".join(f"Step {n}: {step}." for n, step in enumerate(steps[: outcome.n_steps], 1))
    head = {"item": outcome.item, "sample": outcome.sample, "status": "ok"}
    answer = f"About {outcome.item}."
    if summary:
        return {**head, "text": answer, "reasoning": text, "reasoning_kind": "summary"}
    return {**head, "text": f"{text}\nAnswer: {answer}", "reasoning": ""}


def write_row(
    folder: Path,
    name: str,
    found: Sequence[Outcome],
    texts: Sequence[dict[str, Any]] | None = None,
    changes: dict[str, Any] | None = None,
) -> Path:
    """A row of those outcomes; without `texts` it is sealed. `changes` are by dotted key, 'model.name'."""
    labels = as_text(label_lines(iter(found)))
    transcripts = as_text(iter(texts or ()))
    open_ = texts is not None
    row: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "made": "2026-01-02",
        "standing": "recomputed" if open_ else "self-reported",
        "transcripts": "open" if open_ else "sealed",
        "model": {
            "name": name,
            "family": None,
            "identity": {"provider": "openai", "model": name},
            "parameters": {"temperature": 0.0},
            "weights": "unknown",
            "chain_visibility": "full",
        },
        "task": {
            "name": "a-task",
            "version": "1",
            "sha256": HASH,
            "data": HASH,
            "prompt": "default",
            "prompt_sha256": HASH,
            "condition": "both",
            "segmenter": CURRENT_SEGMENTER,
        },
        "judge": {
            "name": "a-judge",
            "identity": JUDGE,
            "same_family": False,
            "validation": VALIDATION,
        },
        "training": None,
        "labels": {
            "file": f"{name}.labels.jsonl",
            "sha256": hashlib.sha256(labels).hexdigest(),
            "samples": len(found),
        },
        "replies": {
            "file": f"{name}.transcripts.jsonl" if open_ else None,
            "sha256": hashlib.sha256(transcripts).hexdigest(),
        },
        "versions": {"rsbench": "0", "commit": None},
    }
    result = score_outcomes(list(found))
    row |= {key: result[key] for key in RECOMPUTED}
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        place = row
        for parent in parents:
            place = place[parent]
        place[last] = value
    row = json.loads(json.dumps(row))
    row["digest"] = digest(row)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.labels.jsonl").write_bytes(labels)
    if open_:
        (folder / f"{name}.transcripts.jsonl").write_bytes(transcripts)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(row), encoding="utf-8")
    return path


def entry(path: Path) -> Entry:
    """A row as the board keeps it."""
    found = read_row(path)
    return entry_of(path, found.row, found.sheet)
