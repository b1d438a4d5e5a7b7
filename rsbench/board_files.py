"""What programs read of the board: all rows as CSV, Parquet and JSON, and feeds of new rows.

A cell that a spreadsheet would take for a formula gets a quote in front: names are a stranger's words.
"""

import io
import json
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from rsbench.board_rows import Entry, section, settings
from rsbench.exports.flat import csv_text
from rsbench.pages import shown
from rsbench.records import digest
from rsbench.terminal import number
from rsbench.validation import was_measured

TITLE = "rsbench leaderboard"
_PARTS = ("value", "low", "high", "n", "scored_share")


def flat(entry: Entry, asked: Sequence[str] = ()) -> dict[str, str | float | int | None]:
    """One row as one line of a table: what was measured, then every number of the "system" estimand.

    `asked`: the settings that have a column each; None in it where this row was asked without.
    """
    row, own = entry.row, settings(entry.row)
    line: dict[str, str | float | int | None] = {
        "name": row.name,
        "made": row.made,
        "section": section(row),
        "standing": row.standing,
        "transcripts": row.transcripts,
        "model": row.model.name,
        "weights": row.model.weights,
        "chain_visibility": row.model.chain_visibility,
        "task": row.task.name,
        "task_version": row.task.version,
        "split": row.task.split,
        "data": row.task.data,
        "prompt": row.task.prompt,
        "condition": row.task.condition,
        "segmenter": row.task.segmenter,
        **{f"parameter.{name}": own.get(name) for name in asked},
        "judge": row.judge.name,
        "judge_validated": "yes" if was_measured(row.judge.validation) else "no",
        "judge_identity": digest(row.judge.identity),
        "hints": row.judge.identity.get("hints", "yes"),
        "items": row.counts["items"],
        "planned": row.counts["planned"],
    }
    for key, estimate in entry.system.items():
        line |= {f"{key}.{part}": estimate[part] for part in _PARTS}
    return line


def table(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """All rows with the same columns: one that a row lacks is None."""
    # Sorted, so that the order of columns does not hang on which row comes first.
    asked = sorted({name for entry in entries for name in settings(entry.row)})
    lines = [flat(entry, asked) for entry in entries]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    return [{name: line.get(name) for name in columns} for line in lines]


def as_csv(entries: Sequence[Entry]) -> bytes:
    """Comma-separated, with a head."""
    lines = table(entries)
    head = lines[:1]  # its keys
    return csv_text([*head, *(line.values() for line in lines)]).encode("utf-8", "backslashreplace")


def as_parquet(entries: Sequence[Entry]) -> bytes:
    """The same table for data frames."""
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table(entries)), out)
    return out.getvalue()


def as_json(entries: Sequence[Entry]) -> bytes:
    """The rows themselves, whole."""
    rows = [entry.row.model_dump(by_alias=True, mode="json") for entry in entries]
    return (json.dumps(rows, ensure_ascii=False, sort_keys=True) + "\n").encode("utf-8", "backslashreplace")


def _news(entries: Sequence[Entry], url: str) -> list[dict[str, str]]:
    """Newest first."""
    newest = sorted(entries, key=lambda entry: (entry.row.made, entry.row.name), reverse=True)
    return [
        {
            "id": entry.row.digest,
            "url": f"{url}/rows/{quote(entry.row.name)}.html",
            "title": shown(f"{entry.row.model.name} on {entry.row.task.name}"),
            "text": f"SafeEffectivePath {number(entry.value, True)}, "
            f"judge {shown(entry.row.judge.name)}, {entry.row.standing}",
            "made": f"{entry.row.made}T00:00:00Z",
        }
        for entry in newest[:50]
    ]


def json_feed(entries: Sequence[Entry], url: str) -> bytes:
    """JSON Feed 1.1."""
    items = [
        {
            "id": new["id"],
            "url": new["url"],
            "title": new["title"],
            "content_text": new["text"],
            "date_published": new["made"],
        }
        for new in _news(entries, url)
    ]
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": TITLE,
        "home_page_url": f"{url}/index.html",
        "feed_url": f"{url}/feed.json",
        "items": items,
    }
    return (json.dumps(feed, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "backslashreplace")


def rss_feed(entries: Sequence[Entry], url: str) -> bytes:
    """RSS 2.0."""
    items = "".join(
        f"<item><title>{escape(new['title'])}</title><link>{escape(new['url'])}</link>"
        f'<guid isPermaLink="false">{new["id"]}</guid><pubDate>{_rfc822(new["made"])}</pubDate>'
        f"<description>{escape(new['text'])}</description></item>"
        for new in _news(entries, url)
    )
    head = f"<title>{TITLE}</title><link>{escape(url)}/index.html</link><description>New rows</description>"
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel>{head}{items}</channel></rss>\n'
    )
    return text.encode("utf-8", "backslashreplace")


def _rfc822(made: str) -> str:
    return format_datetime(datetime.fromisoformat(made.replace("Z", "+00:00")))
