"""The page of one row: the report's page, filled from the row, its labels and, where open, its words.

No reference paths and no judge's words: a public page shows what a model did, and is kept small.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsbench import report
from rsbench.board_rows import Entry, section, settings
from rsbench.conditions import check_condition, show
from rsbench.images import small_picture
from rsbench.pages import HIDDEN
from rsbench.report_items import Sample, item_entry, refusals, reply_entry
from rsbench.row_check import Checked
from rsbench.row_items import known_items
from rsbench.row_labels import read_sheet
from rsbench.row_texts import read_texts
from rsbench.rows import ROW, Row
from rsbench.sheets import Sheet
from rsbench.store import write_whole
from rsbench.types import Item, Outcome, Reply, Verdict

MOST = 1000  # replies on one page
SIDE = 360  # longest side of a picture
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


@dataclass(frozen=True)
class Items:
    """One task's items as rows ran them."""

    task: str
    split: str | None
    data: str
    condition: str


Shown = dict[Items, dict[str, dict[str, Any]]]  # → item id → what pages show of it


@dataclass(frozen=True)
class Pictures:
    """Queries and pictures of tasks; pictures are written once for all pages."""

    folder: Path

    def shown(self, rows: Sequence[Path]) -> Shown:
        """What pages show of the items of these rows; nothing where a task is gone or is not what was run.

        Rows whose pages have no browser of items need none of it.
        """
        found: Shown = {}
        for path in rows:
            row = peek(path)
            if row is not None and browsed(row) and items_of(row) not in found:
                found[items_of(row)] = self._read(
                    items_of(row), _ids(path.with_name(f"{path.stem}.labels.jsonl"))
                )
        return found

    def _read(self, own: Items, ids: frozenset[str]) -> dict[str, dict[str, Any]]:
        known = known_items(own.task, own.split, own.data, ids)
        if known is None:
            return {}  # the page says that neither query nor picture is shown
        condition, neutral = check_condition(own.condition), known.card.neutral_query
        return {item.id: self._item(show(item, condition, neutral).query, item) for item in known.items}

    def _item(self, query: str, item: Item) -> dict[str, Any]:
        names = {}
        for image in item.images:
            picture = small_picture(image.path, SIDE)
            names[image.path] = f"{image.sha256[:20]}.{_ENDINGS[picture.media_type]}"
            write_whole(self.folder / names[image.path], picture.data, sync=False)
        return item_entry(query, replace(item, reference=None, note=""), names)


def items_of(row: Row) -> Items:
    """Which items a row is about."""
    return Items(row.task.name, row.task.split, row.task.data, row.task.condition)


def browsed(row: Row) -> bool:
    """Whether a row's page shows its items: its words are open, and they are not too many."""
    return row.transcripts == "open" and row.counts.get("planned", 0) <= MOST


def peek(path: Path) -> Row | None:
    """A row that nobody has checked yet; None if it is not even of that shape."""
    try:
        return ROW.validate_json(path.read_bytes())
    except ValueError:
        return None  # its check is yet to come, and says what is wrong


def _ids(labels: Path) -> frozenset[str]:
    """The items of a file of labels."""
    if not labels.is_file():
        return frozenset()
    return frozenset(read_sheet(labels, labels.read_bytes()).layout.ids)


def page_values(entry: Entry, sheet: Sheet, shown_items: int) -> dict[str, Any]:
    """The template's variables: those of a run's report, and what a row adds."""
    row = entry.row
    result: dict[str, Any] = {
        "estimands": row.estimands,
        "categories": row.categories,
        "breaks": row.breaks,
        "counts": row.counts,
        "complete": True,
        "judge_validation": row.judge.validation,
    }
    system = row.estimands["system"]
    return {
        "row": row,
        "section": section(row),
        "browsed": browsed(row),
        "most": MOST,
        "meta": {
            "model": {"name": row.model.name},
            "task": {"name": row.task.name, "version": row.task.version},
            "judge": {"name": row.judge.name},
            "prompt": {"variant": row.task.prompt},
            "condition": row.task.condition,
            "hints": row.judge.identity.get("hints", "yes"),
            "mock": False,
        },
        "result": result,
        "headline": report.line(report.HEADLINE, system[report.HEADLINE]),
        "estimands": {name: report.groups(numbers) for name, numbers in row.estimands.items()},
        "over_refusal": report.line("over_refusal", system["over_refusal"]),
        "refusals": report.refusal_rows(refusals(sheet)),
        "categories": report.categories(result),
        "breaks": report.breaks(result),
        "validation": report.validation(result),
        "oracle": (row.judge.validation or {}).get("closed_world_oracle"),
        "same_family": row.judge.same_family,
        "statuses": report.statuses(result),
        "provenance": _provenance(entry),
        "spending": [],
        "withheld": False,
        "unknown_items": max(row.counts["items"] - shown_items, 0) if browsed(row) else 0,
    }


def _provenance(entry: Entry) -> list[tuple[str, str]]:
    row = entry.row
    training = row.training
    return [
        ("Row", f"{row.name} · made {row.made} · digest {row.digest}"),
        ("Model", _words({"name": row.model.name, "weights": row.model.weights, **row.model.identity})),
        *([("Trained", f"{training.recipe} on {training.base}, seed {training.seed}")] if training else []),
        ("Parameters", _words(settings(row))),
        ("Task", f"{row.task.name} {row.task.version} · card {row.task.sha256}"),
        ("Data", row.task.data),
        ("Prompt", f"{row.task.prompt} · {row.task.prompt_sha256}"),
        ("Condition", row.task.condition),
        ("Segmenter", row.task.segmenter),
        ("Judge", _words({"name": row.judge.name, **row.judge.identity})),
        ("Labels", row.labels.sha256),
        ("Transcripts", f"{row.transcripts} · {row.replies.sha256}"),
        ("Versions", _words({name: value for name, value in row.versions.items() if value})),
    ]


def _words(known: dict[str, Any]) -> str:
    return " · ".join(f"{name} {value}" for name, value in known.items())


def page_data(entry: Entry, found: Checked, items: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The browser's data; None for a sealed row, and for one with more replies than a page holds."""
    row = entry.row
    if row.replies.file is None or not browsed(row):
        return None
    texts = read_texts(entry.path.with_name(row.replies.file))
    pictures = {image["picture"] for item in items.values() for image in item["images"]}
    return {
        "items": items,
        "replies": [reply_entry(_sample(outcome, texts)) for outcome in found.outcomes()],
        "withheld": False,
        "images": {name: f"../images/{name}" for name in sorted(pictures)},
        "hidden": HIDDEN,
    }


def _sample(outcome: Outcome, texts: dict[tuple[str, int], Reply]) -> Sample:
    """A reply with the labels that were published of it."""
    reply = texts.get((outcome.item, outcome.sample))
    verdict = None
    if outcome.answer is not None or outcome.steps:
        verdict = Verdict("ok", outcome.steps, outcome.answer, outcome.risk_identified)
    elif outcome.status == "unparsed":
        verdict = Verdict("unparsed", error="its words could not be read as labels")
    return Sample(outcome, reply, verdict)
