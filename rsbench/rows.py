"""Leaderboard rows: a run, exported with the labels its numbers come from, so that anyone can recompute them.

A row is `NAME.json`; `NAME.labels.jsonl`, one line a sample with labels and status, no text; and, if its
transcripts are open, `NAME.transcripts.jsonl`. Owns the shape and the making; `row_check` trusts none of it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from rsbench.cards import Strict, validated
from rsbench.publishable import check_publishable
from rsbench.records import digest
from rsbench.row_labels import label_lines
from rsbench.row_texts import as_text, chain_visibility, text_lines
from rsbench.score import compute, outcomes, pick_judge, slug
from rsbench.store import RunFolder
from rsbench.types import UserError

SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Numbers = dict[str, Any]
Standing = Literal["recomputed", "re-judged", "self-reported"]
Weights = Literal["open", "closed", "unknown"]
# Weights that the way to a model tells; a compatible server may serve anything.
_WEIGHTS: dict[str, Weights] = {"hf": "open", "tiny": "open", "anthropic": "closed"}
# What `score_outcomes` computes and a row repeats.
RECOMPUTED = ("estimands", "categories", "breaks", "counts")


class Task(Strict):
    """The task card that was run, and its data."""

    name: str
    version: str
    sha256: SHA256
    data: SHA256  # over the hashes of all items, images included
    prompt: str
    prompt_sha256: SHA256
    condition: str
    segmenter: str
    closed_world: bool = False  # a table of their own: never ranked beside rows about the open world
    split: str | None = None  # of a task with splits; never one that trains
    trains: Literal[False] = False
    official: Literal["siuo", "siuo-mcqa", "mssbench"] | None = None  # rule whose numbers stand beside ours


class Judged(Strict):
    """The judge, and how well it is known to agree with labels."""

    name: str
    identity: dict[str, str]
    same_family: bool
    validation: Numbers | None  # None: unvalidated; the site says so and ranks no such row


class Model(Strict):
    """What was measured."""

    name: str
    family: str | None
    identity: dict[str, str]
    parameters: Numbers
    weights: Weights
    chain_visibility: Literal["full", "summary", "none"]


class Training(Strict):
    """For a model trained with a recipe: what it came from."""

    recipe: str
    base: str
    seed: int
    recipe_digest: SHA256 | None = None  # of what the recipe says, its seeds left out; None: not known


class Labels(Strict):
    """The file of labels beside the row."""

    file: str
    sha256: SHA256
    samples: int


class Replies(Strict):
    """The transcripts: a file beside an open row; of a sealed one, the hash of the file that stays away."""

    file: str | None
    sha256: SHA256


class Row(Strict):
    """One line of the leaderboard."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    made: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")  # the day its run began
    standing: Standing
    transcripts: Literal["open", "sealed"]
    model: Model
    task: Task
    judge: Judged
    training: Training | None
    labels: Labels
    replies: Replies
    estimands: dict[Literal["system", "model"], Numbers]
    categories: Numbers
    breaks: Numbers
    counts: dict[str, int]
    official: Numbers | None = None  # numbers by the task's `official` rule, from the same labels
    versions: dict[str, str | None]
    digest: SHA256


ROW: TypeAdapter[Row] = TypeAdapter(Row)


def json_schema() -> dict[str, Any]:
    """The row's JSON Schema, as committed in `leaderboard/row.schema.json`."""
    return ROW.json_schema(by_alias=True)


@dataclass(frozen=True)
class Claims:
    """What a run's records can't say of its row: by choice of, or known to, who submits it."""

    sealed: bool = False
    rejudged: bool = False
    weights: Weights | None = None  # None: as the provider tells
    training: Training | None = None


def claims_from(
    sealed: bool, rejudged: bool, weights: str | None, recipe: str | None, base: str | None, seed: int | None
) -> Claims:
    """What was given on the command line.

    Raises:
        UserError: an unknown word, or a part of a training.
    """
    found: Weights | None = next((word for word in get_args(Weights) if word == weights), None)
    if weights is not None and found is None:
        raise UserError(f"--weights {weights!r}: allowed are {', '.join(get_args(Weights))}")
    if recipe is None and base is None and seed is None:
        return Claims(sealed, rejudged, found)
    if not recipe or not base or seed is None:
        raise UserError(
            "--recipe, --base and --training-seed go together: a trained model stands beside the one it came "
            "from, and rows of one recipe are told apart by their seeds"
        )
    return Claims(sealed, rejudged, found, Training(recipe=recipe, base=base, seed=seed))


def make_row(folder: RunFolder, judge: str | None, out: Path, claims: Claims = Claims()) -> Path:
    """Export a run as a row; returns the row's file.

    Raises:
        UserError: the run may not be a row (`check_publishable`), or one of that name has other content.
    """
    manifest = folder.manifest()
    name = pick_judge(manifest, judge)
    result = compute(folder, name)
    check_publishable(str(folder.path), manifest, result)
    identity, used = manifest["identity"], manifest["judges"][name]
    training = claims.training.model_dump(exclude_none=True) if claims.training else manifest.get("training")
    called = _called(identity, training)
    stem = "-".join(slug(part) for part in _name_parts(identity, called, name))
    labels = as_text(label_lines(outcomes(folder, name)))
    texts = as_text(text_lines(folder))
    files = {f"{stem}.labels.jsonl": labels}
    if not claims.sealed:
        files[f"{stem}.transcripts.jsonl"] = texts
    row: dict[str, Any] = {
        "schema": 1,
        "name": stem,
        "made": manifest["created"][:10],
        "standing": standing(claims),
        "transcripts": "sealed" if claims.sealed else "open",
        "model": _model(folder, identity, called, claims),
        "task": _task(identity),
        "judge": {
            "name": name,
            "identity": used["identity"],
            "same_family": used["same_family"],
            "validation": used["validation"],
        },
        "training": training,
        "labels": {
            "file": f"{stem}.labels.jsonl",
            "sha256": hashlib.sha256(labels).hexdigest(),
            "samples": result["counts"]["planned"],
        },
        "replies": {
            "file": None if claims.sealed else f"{stem}.transcripts.jsonl",
            "sha256": hashlib.sha256(texts).hexdigest(),
        },
        **{key: result[key] for key in (*RECOMPUTED, "official") if key in result},
        "versions": {"rsbench": manifest["rsbench"]["version"], "commit": manifest["rsbench"]["commit"]},
    }
    row["digest"] = digest(row)
    validated(ROW, row, stem)
    return _write(out, stem, row, files)


def standing(claims: Claims) -> Standing:
    """How far a stranger can vouch for the labels."""
    return "re-judged" if claims.rejudged else "self-reported" if claims.sealed else "recomputed"


def _model(folder: RunFolder, identity: dict[str, Any], called: str, claims: Claims) -> dict[str, Any]:
    known = {key: value for key, value in identity["model"].items() if key != "name"}
    if called != identity["model"]["name"]:
        known["model"] = called  # the revision, a hash of the weights, says which one it is
    return {
        "name": called,
        "family": identity["family"],
        "identity": known,
        "parameters": identity["parameters"],
        "weights": claims.weights or _WEIGHTS.get(known.get("provider", ""), "unknown"),
        "chain_visibility": chain_visibility(folder),
    }


def _task(identity: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = identity["task"] | {
        "data": identity["data"],
        "prompt": identity["prompt"]["variant"],
        "prompt_sha256": identity["prompt"]["sha256"],
        "condition": identity["condition"],
        "segmenter": identity["segmenter"],
    }
    return task


def _called(identity: dict[str, Any], training: dict[str, Any] | None) -> str:
    """The model's name; one trained here is a folder on somebody's disk, which says nothing to a reader."""
    if training is None or identity["model"].get("provider") != "hf":
        return str(identity["model"]["name"])
    return f"{training['base']} + {training['recipe']}, seed {training['seed']}"


def _name_parts(identity: dict[str, Any], model: str, judge: str) -> Iterator[str]:
    """What tells rows apart; the default prompt and the condition `both` go without saying."""
    yield from (model, identity["task"]["name"])
    yield from (identity["task"][key] for key in ("split",) if key in identity["task"])
    yield from (identity[key] for key in ("condition",) if identity[key] != "both")
    yield from (identity["prompt"][key] for key in ("variant",) if identity["prompt"][key] != "default")
    yield judge


def _write(out: Path, stem: str, row: dict[str, Any], files: dict[str, bytes]) -> Path:
    path = out / f"{stem}.json"
    text = json.dumps(row, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(f"{path}: there is another row of this name; move it away first")
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content)
    path.write_text(text, encoding="utf-8")
    return path


def rows_in(folder: Path) -> Sequence[Path]:
    """The row files of a folder."""
    return sorted(path for path in folder.glob("*.json") if not path.name.endswith(".schema.json"))
