"""From a folder of rows to a static site: pages, downloads and feeds, the same bytes for the same rows.

No server, no network, nothing but relative links: it opens from a file and under any sub-path. Every row is
checked on the way, and a row that fails its check stops the build.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsbench import board_charts as charts
from rsbench import board_files as files
from rsbench.board_cache import NO_CACHE, Cache, read_pairs, write_pairs
from rsbench.board_gather import gather
from rsbench.board_pairs import pair_data
from rsbench.board_rows import HEADLINE, Entry
from rsbench.board_tables import COLUMNS, TITLES, Table, tables
from rsbench.board_trained import trained
from rsbench.metric_specs import METRICS
from rsbench.pages import Page, render_page
from rsbench.published import published
from rsbench.report import ARROWS
from rsbench.rows import rows_in
from rsbench.shelves import builtin
from rsbench.store import write_whole
from rsbench.types import UserError

INDEX = Page("board.html.jinja", ("page/page.css", "board.css"), ("board.js",))
COMPARE = Page("compare.html.jinja", ("page/page.css", "board.css"), ("pairs.js", "compare.js"))
VALUES = Page("values.html.jinja", (), ("values.js",))


@dataclass(frozen=True)
class Built:
    """What a build wrote."""

    index: Path
    rows: int
    tables: int
    checked: int  # rows that were checked now; the others were before, byte for byte the same


def build(rows: Path, out: Path, url: str | None, cache: Cache = NO_CACHE) -> Built:
    """Write the site to `out`. `url` is where it will be published: feeds need whole addresses.

    Rows that `cache` knows to be checked, by their content, are not checked again.

    Raises:
        UserError: `rows` is no folder, a row fails its check, or `out` can't be written.
    """
    if not rows.is_dir():
        raise UserError(f"{rows}: no such folder; rows are made by `rsbench leaderboard add RUN`")
    if out.exists() and any(out.iterdir()) and not (out / "index.html").is_file():
        raise UserError(f"--out {out}: holds files that are no leaderboard; give an empty folder")
    paths = rows_in(rows)
    entries, checked = gather(paths, out, cache)
    _withdraw(rows, out, entries)
    known = read_pairs(cache)
    before = len(known)
    found = tables(entries, known)
    index = _index(found, url, known)
    if len(known) > before:
        write_pairs(cache, known)
    cache.tidy()
    _write(out / "index.html", render_page(INDEX, index, {}))
    data, apart = pair_data(found)
    values = {"tables": found, "titles": TITLES}
    _write(out / "compare.html", render_page(COMPARE, values, data, frames="'self'"))
    for name, own in apart.items():
        _write(out / "rows" / f"{name}.values.html", render_page(VALUES, {"name": name}, own))
    _downloads(out, entries, url)
    return Built(out / "index.html", len(entries), len(found), checked)


def _withdraw(rows: Path, out: Path, entries: list[Entry]) -> None:
    """Take away what an earlier build wrote of rows that are gone, or sealed since: it would be published on.

    Nothing but files named as this program names them, in a site that it made, and never the rows themselves.
    """
    place, index = out / "rows", out / "index.html"
    ours = index.is_file() and b'name="generator" content="rsbench ' in index.read_bytes()
    if not ours or not place.is_dir() or place.resolve() == rows.resolve():
        return
    kept = {f"{entry.row.name}{ending}" for entry in entries for ending in (".html", ".json")}
    kept |= {name for entry in entries for name in (entry.row.labels.file, entry.row.replies.file) if name}
    for path in place.iterdir():
        if path.name not in kept and path.name.endswith((".html", ".json", ".jsonl")):
            path.unlink()


def _index(found: list[Table], url: str | None, known: dict[str, Any]) -> dict[str, Any]:
    """The template's variables."""
    rows = [entry.row for table in found for entry in table.entries]
    return {
        "parts": [
            {"id": part, "title": title, "about": about, "tables": [t for t in found if t.section == part]}
            for part, (title, about) in TITLES.items()
        ],
        "charts": {
            table.id: {
                "dots": charts.dots(table.entries),
                "heat": charts.heat(table.entries),
                "curves": charts.curves(table.entries),
                "more": max(len(table.lines) - charts.MOST, 0),
            }
            for table in found
        },
        "frame": {
            "width": charts.WIDTH,
            "height": charts.HEIGHT,
            "across": [(n, charts.across(n / 4)) for n in range(5)],
            "up": [(n, charts.up(n / 4)) for n in range(5)],
            "along": [(n, charts.along(n)) for n in range(1, charts.POSITIONS + 1)],
        },
        "headline": METRICS[HEADLINE],
        "columns": [METRICS[key] for key in COLUMNS],
        "arrows": ARROWS,
        "trained": trained(found, known),
        "published": published(builtin("baselines") / "results"),
        "rows": len(rows),
        "models": len({row.model.name for row in rows}),
        "feeds": url is not None,
        "choices": {
            "task": sorted({row.task.name for row in rows}),
            "judge": sorted({row.judge.name for row in rows}),
            "weights": sorted({row.model.weights for row in rows}),
            "chain": sorted({row.model.chain_visibility for row in rows}),
            "standing": sorted({row.standing for row in rows}),
        },
    }


def _downloads(out: Path, entries: list[Entry], url: str | None) -> None:
    made: dict[str, bytes] = {
        "rows.csv": files.as_csv(entries),
        "rows.json": files.as_json(entries),
    }
    if entries:
        made["rows.parquet"] = files.as_parquet(entries)
    if url is not None:
        base = url.rstrip("/")
        made |= {"feed.json": files.json_feed(entries, base), "feed.xml": files.rss_feed(entries, base)}
    for name, content in made.items():
        write_whole(out / name, content, sync=False)


def _write(path: Path, html: str) -> None:
    write_whole(path, html.encode("utf-8"), sync=False)
