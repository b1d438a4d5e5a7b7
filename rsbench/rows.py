"""Leaderboard rows: a run, exported with the labels its numbers come from, so that anyone can recompute them.

A row is two files: `NAME.json`, checked by the same model here, in CI and by the site, and
`NAME.labels.jsonl`, one line a sample with labels and status, no text. Numbers in a row are never trusted:
they are recomputed from the labels, and a row whose numbers differ is refused.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Strict, validated
from rsbench.conditions import WITHHELD
from rsbench.metrics import score_outcomes
from rsbench.records import digest, read_reply
from rsbench.row_labels import label_lines, read_labels
from rsbench.score import SEED, compute, outcomes, pick_judge, slug
from rsbench.steps import segment
from rsbench.store import RunFolder
from rsbench.types import FINAL_REPLY, ReasoningKind, UserError

SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Numbers = dict[str, Any]
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
    chain_visibility: Literal["full", "summary", "none"]


class Training(Strict):
    """For a model trained with a recipe: what it came from."""

    recipe: str
    base: str
    seed: int


class Labels(Strict):
    """The file of labels beside the row."""

    file: str
    sha256: SHA256
    samples: int


class Row(Strict):
    """One line of the leaderboard."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    standing: Literal["recomputed", "re-judged", "self-reported"]
    transcripts: Literal["open", "sealed"]
    model: Model
    task: Task
    judge: Judged
    training: Training | None
    labels: Labels
    estimands: dict[Literal["system", "model"], Numbers]
    categories: Numbers
    breaks: Numbers
    counts: dict[str, int]
    versions: dict[str, str | None]
    digest: SHA256


_ROW: TypeAdapter[Row] = TypeAdapter(Row)


def json_schema() -> dict[str, Any]:
    """The row's JSON Schema, as committed in `leaderboard/row.schema.json`."""
    return _ROW.json_schema(by_alias=True)


def make_row(folder: RunFolder, judge: str | None, out: Path, sealed: bool = False) -> Path:
    """Export a run as a row; returns the row's file.

    Raises:
        UserError: the run is incomplete, scripted, or a row of that name exists with other content.
    """
    manifest = folder.manifest()
    if (task := manifest["identity"]["task"]).get("trains"):
        raise UserError(f"{folder.path}: split {task['split']!r} is for training, so its runs make no row")
    name = pick_judge(manifest, judge)
    result = compute(folder, name)
    if result["meta"]["mock"]:
        raise UserError(f"{folder.path}: scripted model or judge (mock); that is no measurement and no row")
    if not result["complete"]:
        lost = f"{result['mendable_share']:.1%} of its samples ended as error, unparsed or missing"
        raise UserError(f"{folder.path}: the run is incomplete ({lost}); resume it first")
    identity, used = manifest["identity"], manifest["judges"][name]
    check_whole(str(folder.path), identity["condition"])
    stem = "-".join(slug(part) for part in _name_parts(identity, name))
    labels = "".join(
        json.dumps(line, ensure_ascii=False) + "\n" for line in label_lines(outcomes(folder, name))
    )
    task = identity["task"] | {
        "data": identity["data"],
        "prompt": identity["prompt"]["variant"],
        "prompt_sha256": identity["prompt"]["sha256"],
        "condition": identity["condition"],
        "segmenter": identity["segmenter"],
    }
    row: dict[str, Any] = {
        "schema": 1,
        "name": stem,
        "standing": "self-reported" if sealed else "recomputed",
        "transcripts": "sealed" if sealed else "open",
        "model": {
            "name": identity["model"]["name"],
            "family": identity["family"],
            "identity": {key: value for key, value in identity["model"].items() if key != "name"},
            "parameters": identity["parameters"],
            "chain_visibility": chain_visibility(folder),
        },
        "task": task,
        "judge": {
            "name": name,
            "identity": used["identity"],
            "same_family": used["same_family"],
            "validation": used["validation"],
        },
        "training": None,
        "labels": {
            "file": f"{stem}.labels.jsonl",
            "sha256": hashlib.sha256(labels.encode()).hexdigest(),
            "samples": result["counts"]["planned"],
        },
        **{key: result[key] for key in RECOMPUTED},
        "versions": {"rsbench": manifest["rsbench"]["version"], "commit": manifest["rsbench"]["commit"]},
    }
    row["digest"] = digest(row)
    validated(_ROW, row, stem)
    return _write(out, stem, row, labels)


def check_whole(where: str, condition: str) -> None:
    """A row is of whole items.

    Raises:
        UserError: image or query was withheld, so that there was no risk to meet.
    """
    if condition in WITHHELD:
        raise UserError(
            f"{where}: condition {condition!r} withholds one half of every item; such a run is half of a "
            "cross-modal gap (`rsbench compare`) and no row"
        )


def _name_parts(identity: dict[str, Any], judge: str) -> Iterator[str]:
    """What tells rows apart; the default prompt and the condition `both` go without saying."""
    yield from (identity["model"]["name"], identity["task"]["name"])
    yield from (identity["task"][key] for key in ("split",) if key in identity["task"])
    yield from (identity[key] for key in ("condition",) if identity[key] != "both")
    yield from (identity["prompt"][key] for key in ("variant",) if identity["prompt"][key] != "default")
    yield judge


def _write(out: Path, stem: str, row: dict[str, Any], labels: str) -> Path:
    path = out / f"{stem}.json"
    text = json.dumps(row, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(f"{path}: there is another row of this name; move it away first")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{stem}.labels.jsonl").write_text(labels, encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return path


def check_row(path: Path) -> Row:
    """Check a row against its schema, its digest and its labels.

    Raises:
        UserError: what is wrong with it: bad shape, edited, labels missing, numbers that are not theirs.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a row ({error})") from error
    row = validated(_ROW, data, str(path))
    if digest({key: value for key, value in data.items() if key != "digest"}) != row.digest:
        raise UserError(f"{path}: edited after it was made (digest differs); make it anew from its run")
    if row.name != path.stem or row.labels.file != f"{path.stem}.labels.jsonl":
        raise UserError(f"{path}: the row is named {row.name!r}; its files must bear that name")
    beside = path.with_name(row.labels.file)
    if not beside.is_file():
        raise UserError(f"{beside}: missing; a row ships the labels that its numbers come from")
    content = beside.read_bytes()
    if hashlib.sha256(content).hexdigest() != row.labels.sha256:
        raise UserError(f"{beside}: not the labels this row was made with (sha256 differs)")
    check_whole(str(path), row.task.condition)
    recomputed = score_outcomes(list(read_labels(beside, content)), SEED)
    plain = json.loads(json.dumps(recomputed))
    for key in RECOMPUTED:
        if plain[key] != data[key]:
            raise UserError(f"{path}: {key} is not what its labels give; the row was not made by rsbench")
    if not recomputed["complete"]:
        raise UserError(f"{path}: the run behind this row is incomplete")
    if row.model.identity.get("provider") == "mock" or re.fullmatch(r"mock(-.*)?", row.judge.name):
        raise UserError(f"{path}: scripted model or judge (mock); that is no measurement and no row")
    return row


def chain_visibility(folder: RunFolder) -> Literal["full", "summary", "none"]:
    """How much reasoning was to be seen: `summary` if a provider showed digests, `none` without steps."""
    kinds: Counter[ReasoningKind] = Counter()
    visible = 0
    replies = folder.replies(FINAL_REPLY).open(writable=False)
    for planned in folder.plan():
        record = replies.get(planned["key"])
        if record is None or record["status"] != "ok":
            continue
        reply = read_reply(record)
        kinds[reply.reasoning_kind] += 1
        visible += bool(segment(reply).steps)
    if kinds["summary"]:
        return "summary"
    return "full" if visible else "none"


def rows_in(folder: Path) -> Sequence[Path]:
    """The row files of a folder."""
    return sorted(path for path in folder.glob("*.json") if not path.name.endswith(".schema.json"))
