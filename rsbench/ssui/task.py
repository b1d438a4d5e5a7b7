"""From decisions to a task folder: card, items, pictures, and a data card that says how they came to be.

Only what a person accepted goes in, unless `--unreviewed` is given; then every item says so in `source`.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from rsbench.cards import load_task
from rsbench.data import Dataset
from rsbench.score import slug
from rsbench.shelves import inside
from rsbench.sources import json_lines
from rsbench.ssui.candidates import Outcome
from rsbench.ssui.decisions import Decisions
from rsbench.ssui.state import read_build, read_candidates
from rsbench.store import RunFolder
from rsbench.types import UserError

TASK = "task"  # below the build's folder


def write_task(
    out: Path, name: str | None, license_: str, unreviewed: bool, may_be_empty: bool = False
) -> tuple[Path, int] | None:
    """Write `OUT/task` anew and read it back; returns its folder and the number of pairs.

    None if there is no pair and that is no error (`may_be_empty`); then a task written earlier is taken away.

    Raises:
        UserError: no build, nothing accepted, or a picture that can't be copied.
    """
    built = read_build(out)
    outcomes = list(read_candidates(out))
    chosen = list(_chosen(out, outcomes, unreviewed))
    if not chosen and may_be_empty:
        _clear(out / TASK)  # else rejected pairs would live on in it
        return None
    if not chosen:
        hint = (
            "" if unreviewed else f" `rsbench ssui review {out}` decides; --unreviewed takes all that passed."
        )
        raise UserError(f"{out}: no pair to write.{hint}")
    folder = RunFolder(out / TASK)
    _clear(folder.path)
    items = [{**item, "license": license_} for _, pair in chosen for item in pair]
    for outcome, pair in chosen:
        target = folder.path / pair[0]["images"][0]["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(out / outcome.image, target)
        except OSError as error:
            raise UserError(f"{out / outcome.image}: can't copy the picture ({error.strerror})") from error
    lines = [json.dumps(item, ensure_ascii=False) for item in items]
    folder.write_text("items.jsonl", "".join(f"{line}\n" for line in lines))
    prompts = files("rsbench") / "templates" / "task" / "prompts" / "default.jinja"
    folder.write_text("prompts/default.jinja", prompts.read_text(encoding="utf-8"))
    title = name or slug(out.resolve().name).lower()
    folder.write_text("task.yaml", _card(title, license_, built, reviewed=not unreviewed))
    folder.write_text("README.md", _data_card(title, built, outcomes, len(chosen), unreviewed))
    card, found = load_task(str(folder.path.resolve()))
    list(Dataset(card, found.folder))  # what was written can be read
    return folder.path, len(chosen)


def _clear(task: Path) -> None:
    """Take away the items of an earlier writing and their pictures, and nothing else that lies there."""
    listed = task / "items.jsonl"
    if listed.is_file():
        for _, item in json_lines(listed):
            for image in item.get("images", []):
                inside(task, image["path"]).unlink(missing_ok=True)
        listed.unlink()


def _chosen(
    out: Path, outcomes: Iterable[Outcome], unreviewed: bool
) -> Iterator[tuple[Outcome, tuple[dict[str, Any], ...]]]:
    decisions = Decisions(out).open(writable=False)
    for outcome in outcomes:
        decision = decisions.of(outcome) if outcome.fate == "passed" else None
        if decision is None and outcome.fate == "passed" and unreviewed:
            yield outcome, _from(outcome.items, "not reviewed by a person")
        elif decision is not None and decision.what != "rejected":
            yield outcome, _from(decision.items, f"{decision.what} by {decision.by}")


def _from(items: Iterable[dict[str, Any]], how: str) -> tuple[dict[str, Any], ...]:
    return tuple({**item, "source": f"{item['source']}; {how}"} for item in items)


def _card(name: str, license_: str, built: dict[str, Any], reviewed: bool) -> str:
    people = "reviewed by a person" if reviewed else "not all reviewed by a person"
    author = built["identity"]["model"]["name"]
    card = {
        "schema": 1,
        "name": name,
        "title": name,
        "version": "1",
        "description": f"Twin pairs written by {author} with rsbench ssui build, {people}.",
        "license": license_,
        "data": {"file": "items.jsonl"},
        "prompts": {"default": "prompts/default.jinja"},
        "pairs": True,
        "judge": "overlap",
    }
    return json.dumps(card, ensure_ascii=False, indent=1) + "\n"  # JSON is YAML, and needs no quoting rules


def _data_card(
    name: str, built: dict[str, Any], outcomes: list[Outcome], pairs: int, unreviewed: bool
) -> str:
    identity = built["identity"]
    stages = Counter(outcome.stage for outcome in outcomes if outcome.fate == "dropped")
    fates = Counter(outcome.fate for outcome in outcomes)
    rows = [f"| {stage} | {count} |" for stage, count in sorted(stages.items())]
    return "\n".join(
        [
            f"# {name}",
            "",
            "Made by `rsbench ssui build`; the twins differ in the query.",
            "",
            f"- Written by `{identity['model']['name']}`, checked by `{identity['checks']['name']}`"
            + (" (scripted: no real data)" if identity["mock"] else ""),
            f"- {len(outcomes)} candidates: {fates['passed']} passed the checks, {fates['dropped']} dropped, "
            f"{fates['unfinished']} unfinished; {pairs} pairs here"
            + (", some not reviewed by a person" if unreviewed else ", each accepted by a person"),
            "- Human-labelled: 0. The labels of the paths are the models', as far as nobody edited them.",
            "",
            "| dropped at | candidates |",
            "|---|---|",
            *rows,
            "",
        ]
    )
