"""What a trained model says of itself: README.md for people, training.json for programs.

`training.json` is written last: a folder that has it holds a finished model. It is no part of the folder's
hash, by which `rsbench run` names the model.
"""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from rsbench import __version__
from rsbench.store import RunFolder
from srpo_train.branches import FILE
from srpo_train.explored import read_explored
from srpo_train.job import Job, world_size

TRAINING = "training.json"
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")


def write_card(job: Job, folder: Path, report: dict[str, Any]) -> None:
    """Write both files beside the weights."""
    writer = RunFolder(folder)
    leak = job.check_leakage()
    branches = job.explored / FILE
    explores = hasattr(job.recipe, "explore") and branches.exists()
    facts = {
        "schema": 1,
        "rsbench": __version__,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "identity": job.identity(),
        "recipe_sha256": job.found.sha256,
        "branches_sha256": _sha256(branches) if explores else None,
        "explored": read_explored(job.explored) if explores else None,
        "leakage": leak,
        "processes": world_size(),
        "report": report,
    }
    writer.write_text("README.md", _text(job, facts))
    writer.write(TRAINING, facts)


def is_finished(folder: Path) -> bool:
    """Whether a model was trained to its end there."""
    return (folder / TRAINING).is_file()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(job: Job, facts: dict[str, Any]) -> str:
    recipe, report = job.recipe, facts["report"]
    licences = [
        f"- `{plan.dataset.card.name}` {plan.dataset.card.version}, split `{plan.dataset.split or 'all'}`: "
        f"{plan.dataset.card.license}, data `{facts['identity']['data'][plan.dataset.card.name][:16]}`"
        for plan in job.plans
    ]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    base = facts["identity"]["model"]
    lines = [
        f"# {recipe.name} on {job.model}",
        "",
        recipe.description,
        "",
        "## Made from",
        "",
        f"- base model `{base['model']}`, revision `{base['revision'][:16]}`",
        f"- recipe `{recipe.name}` (kind `{recipe.kind}`), sha256 `{job.found.sha256[:16]}`",  # type: ignore[attr-defined]
        *_branches(facts),
        f"- rsbench {facts['rsbench']}, {versions}",
        "",
        "## Training data and licences",
        "",
        *licences,
        "",
        "The licence of the base model goes on to hold for these weights; so may those of the data above.",
        "",
        f"Overlap with the benchmark: {facts['leakage']}.",
        "",
        "## What was measured while training",
        "",
        f"{report.get('steps', 0)} optimiser steps, {report.get('questions', 0)} questions.",
        *_held_out(report.get("held_out", {})),
        "",
        "Pair accuracy says how well the training goal was met. Whether the model is safer, and at what "
        "price in refused harmless requests, only `rsbench run` says.",
        "",
        "## Limits",
        "",
        "Trained to reason more safely on the kind of items above; not tested beyond what its runs list. It "
        "can still give unsafe, wrong or needlessly refusing answers. Its branches hold unsafe text by "
        "design, as what to avoid: do not publish them as examples to follow.",
        "",
    ]
    return "\n".join(lines)


def _branches(facts: dict[str, Any]) -> list[str]:
    if facts["explored"] is None:
        return []
    made, judge = facts["explored"]["settings"], facts["explored"]["judge"]
    return [
        f"- branches, sha256 `{facts['branches_sha256'][:16]}`: sampler {made['sampler']}, k {made['k']}, "
        f"seed {made['seed']}, labelled by `{judge['name']}` ({made['branch_label']})"
    ]


def _held_out(found: dict[str, dict[str, float]]) -> list[str]:
    rows = []
    for name in ("pair_accuracy", "margin", "loss"):
        values = [found.get(when, {}).get(f"eval_{name}") for when in ("before", "after")]
        if values[1] is not None:
            start = "not measured" if values[0] is None else f"{values[0]:.3f}"
            rows.append(f"| {name.replace('_', ' ')} | {start} | {values[1]:.3f} |")
    return ["", "| held-out pairs | before | after |", "|---|---|---|", *rows] if rows else []
