"""`rsbench list`, `check` and `new`: look at the shelves, check what lies there, add to them."""

import json
import re
import shutil
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.table import Table

from rsbench import cards, judge_cards, leakage, shelves
from rsbench.data import Dataset
from rsbench.gold import FILE as GOLD
from rsbench.gold import read_gold
from rsbench.judges.guard import read_turns
from rsbench.judges.llm import read_rubrics
from rsbench.judges.registry import check_panel
from rsbench.model_check import check_model
from rsbench.prompts import check_shows_query, read_template, render
from rsbench.row_check import check_row
from rsbench.terminal import err, number, out, plain
from rsbench.types import Item, UserError
from rsbench.validation import MODES_OF_RUNS

LISTED_OVERLAPS = 20
LISTED = ("tasks", "judges", "models", "baselines")
TEMPLATES = Path(__file__).parent / "templates"  # what `rsbench new` copies


def show_list(what: str, extra: list[Path]) -> None:
    """Print one shelf, or the model providers.

    Raises:
        UserError: no such shelf.
    """
    if what not in LISTED:
        raise UserError(f"rsbench list {what}: allowed are {', '.join(LISTED)}")
    table = Table(box=None, pad_edge=False)
    rows = _models() if what == "models" else _shelf(what, extra)
    for row in rows:
        table.add_row(*row)
    out().print(table)
    if not table.rows:
        out().print(f"The shelf '{what}' is empty.")


def _models() -> list[tuple[str, str]]:
    from rsbench.models.registry import PROVIDERS

    return [(name, text) for name, (_, text) in PROVIDERS.items()] + _packaged("models")


def _packaged(what: str) -> list[tuple[str, str]]:
    """What installed packages add by entry points."""
    return [(e.name, f"from {e.value}") for e in entry_points(group=f"rsbench.{what}")]


def _shelf(what: str, extra: list[Path]) -> list[tuple[str, str, str]]:
    rows = []
    for name, path, origin in shelves.entries(what, extra):
        data = cards.read_yaml(path)
        text = data.get("description", "") if isinstance(data, dict) else ""
        if what == "judges" and data.get("kind") != "oracle":  # a closed-world oracle says what it is
            text += _measured(path.parent)
        if what == "tasks" and isinstance(data, dict):
            text += _terms(data)
        rows.append((name, plain(str(text)), "" if origin == "builtin" else origin))
    return rows + [(name, text, "") for name, text in _packaged(what)]


def _terms(card: dict[str, Any]) -> str:
    """Of a task: its licence, and whether its data has to be fetched."""
    data = card.get("data")
    owner = data.get("publisher") if isinstance(data, dict) else None
    needed = f" Needs --data: {owner['url']}" if isinstance(owner, dict) and "url" in owner else ""
    return f" Licence: {card.get('license', '?')}.{needed}"


def _measured(folder: Path) -> str:
    path = folder / "validation.json"
    if not path.is_file():
        return " Unvalidated."
    measurements = json.loads(path.read_text(encoding="utf-8"))["measurements"]
    kappas = [
        f"{number(m['labels']['safety']['kappa'], False)} ({m['mode']}, on {m['task']})"
        for m in measurements
        if m["mode"] in MODES_OF_RUNS
    ]
    return f" Step-safety kappa {', '.join(kappas)}."


def check_card(
    what: str,
    name: str,
    extra: list[Path],
    data: Path | None,
    base_url: str | None,
    api_key_env: str | None,
    against: list[str],
) -> None:
    """Check one task, judge or model and say what was found.

    Raises:
        UserError: what is wrong, and where.
    """
    if what == "task":
        _check_task(name, extra, data)
        for other in against:
            _check_against(name, other, extra, data)
    elif what == "judge":
        card, found = judge_cards.load_judge(name, extra)
        if isinstance(card, judge_cards.LlmJudge):
            read_rubrics(card, found.folder)
        if isinstance(card, judge_cards.GuardJudge):
            read_turns(card, found.folder)
        if isinstance(card, judge_cards.PanelJudge):
            check_panel(card, found, extra)
        out().print(f"ok: judge {card.name} (kind {card.kind}) at {found.path}", markup=False, soft_wrap=True)
    elif what == "model":
        check_model(name, base_url, api_key_env)
    elif what == "row":
        row = check_row(Path(name))
        text = f"ok: {row.name} ({row.standing}), recomputed from {row.labels.samples} samples"
        out().print(text, markup=False, soft_wrap=True)
    else:
        raise UserError(f"rsbench check {what}: allowed are task, judge, model, row")


def _check_task(name: str, extra: list[Path], data: Path | None) -> None:
    card, found = cards.load_task(name, extra)
    if card.judge is not None:
        judge_cards.load_judge(card.judge, extra)
    templates = {v: shelves.inside(found.folder, file) for v, file in card.prompts.items()}
    texts = {variant: read_template(path) for variant, path in templates.items()}
    for variant, text in texts.items():
        check_shows_query(text, str(templates[variant]))
    dataset = Dataset(card, found.folder, data)
    splits = _splits(card, found.folder, data)
    for item in (item for split in splits for item in split):
        for variant, text in texts.items():
            render(text, str(templates[variant]), query=item.query)
    _check_splits(splits)
    if (found.folder / GOLD).is_file():
        read_gold(found.folder / GOLD, frozenset(entry.id for entry in dataset.index))
    for subset in card.subsets:
        Dataset(card, found.folder, data).select(subset)
    console = out()
    console.print(f"ok: task {card.name} {card.version} at {found.path}", markup=False, soft_wrap=True)
    for split in splits:
        kinds = Counter(entry.kind for entry in split.index)
        pairs = len({entry.pair for entry in split.index})
        head = f"split {split.split}{' (trains)' if split.trains else ''}: " if split.split else ""
        text = f"{head}{len(split)} items in {pairs} pairs: {dict(kinds)}; prompts: {', '.join(texts)}"
        console.print(text, markup=False)
        for category, count in sorted(Counter(entry.category for entry in split.index).items()):
            console.print(f"  {count:>5}  {plain(category)}", markup=False)


def _splits(card: cards.TaskCard, folder: Path, data: Path | None) -> list[Dataset]:
    """Every split of a task; a task without splits is one."""
    return [Dataset(card, folder, data, split) for split in (card.splits or [None])]


def _check_splits(splits: list[Dataset]) -> None:
    """Twins must be twins in every split, and no item or pair may stand in two.

    Raises:
        UserError: the pair, and what is wrong with it.
    """
    seen: dict[str, str | None] = {}
    for split in splits:
        _check_twins(split)
        for name in {name for entry in split.index for name in (entry.id, entry.pair)}:
            if name in seen:
                raise UserError(f"{split.folder}: {name!r} is in the splits {seen[name]} and {split.split}")
        seen |= {name: split.split for entry in split.index for name in (entry.id, entry.pair)}


def _check_against(name: str, other: str, extra: list[Path], data: Path | None) -> None:
    """No item of a task may repeat an item of another.

    Raises:
        UserError: which items do, and in what.
    """
    ours, theirs = (
        [item for split in _splits(card, found.folder, folder) for item in split]
        for (card, found), folder in (
            (cards.load_task(name, extra), data),
            (cards.load_task(other, extra), None),
        )
    )
    overlaps = leakage.find(ours, theirs)
    if overlaps:
        listed = "\n  ".join([str(overlap) for overlap in overlaps[:LISTED_OVERLAPS]])
        raise UserError(
            f"{name} repeats {other} in {len(overlaps)} places:\n  {listed}\n{leakage.THRESHOLDS}"
        )
    text = f"ok: none of {len(ours)} items repeats one of the {len(theirs)} of {other} ({leakage.THRESHOLDS})"
    out().print(text, markup=False, soft_wrap=True)


def _check_twins(dataset: Dataset) -> None:
    """Twins must differ in the modality that `swap` names, and in no other.

    Raises:
        UserError: the pair, and what its items differ in.
    """
    first: dict[str, Item] = {}
    for item in dataset:
        twin = first.setdefault(item.pair, item)
        if twin is item or item.swap is None:
            continue
        other_image = [image.sha256 for image in item.images] != [image.sha256 for image in twin.images]
        differ = {
            name for name, does in (("image", other_image), ("query", item.query != twin.query)) if does
        }
        if differ != {item.swap} or twin.swap != item.swap:
            found = " and ".join(sorted(differ)) or "nothing"
            where = f"{dataset.folder}: pair {item.pair!r}"
            raise UserError(f"{where} says swap: {item.swap}, but its items differ in {found}")


def make_new(what: str, name: str, into: Path) -> None:
    """Copy a small working task or judge to `into/tasks/NAME` or `into/judges/NAME`.

    Raises:
        UserError: bad name, or the folder exists.
    """
    if what not in ("task", "judge"):
        raise UserError(f"rsbench new {what}: allowed are task and judge")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise UserError(f"{name!r} is no name for a {what}: use lower case letters, digits, '-', '_' and '.'")
    target = into / f"{what}s" / name
    if target.exists():
        raise UserError(f"{target} exists already")
    shutil.copytree(TEMPLATES / what, target)
    card = target / f"{what}.yaml"
    card.write_text(card.read_text(encoding="utf-8").replace("NAME", name), encoding="utf-8")
    console = out()
    console.print(f"made {target}", markup=False, soft_wrap=True)
    for line in _next(what, name, target):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if not target.resolve().is_relative_to(Path.cwd().resolve()):
        err().print("(the folder is outside the current one)")


def _next(what: str, name: str, target: Path) -> list[str]:
    place = str(target) if str(target).startswith(("/", ".")) else f"./{target}"
    if what == "task":
        return [f"rsbench check task {place}", f"rsbench run --model mock --task {place}"]
    return [
        f"rsbench check judge {place}",
        f"rsbench run --model openai/… --judge {place} --judge-model openai/…",
    ]
