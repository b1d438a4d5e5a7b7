"""From a run folder to its HTML report: one file, or above 1,000 items a folder with pictures beside it.

Reads the records and, where it still lies, the task; writes the report and nothing else. A task that is gone
costs the pictures and queries, never the numbers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rsbench import report, score
from rsbench.conditions import WITHHELD
from rsbench.images import EncodedImage, small_picture
from rsbench.pages import HIDDEN, Page, render_page
from rsbench.report_items import Sample, item_entry, refusals, reply_entry, samples, task_items
from rsbench.sheets import Sheet
from rsbench.spending import spending_lines
from rsbench.store import RunFolder, write_whole
from rsbench.types import Item, UserError

ONE_FILE = 1000  # items
SIDES = {True: 640, False: 360}  # longest side of a picture in one file, and of a thumbnail in a folder
PAGE = Page(
    "report/report.html.jinja",
    ("page/page.css", "page/browser.css", "report/report.css"),
    ("page/browser.js", "report/report.js"),
)
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


def write_report(
    folder: Path,
    judge: str | None,
    out: Path | None,
    warn: Callable[[str], None],
    one_file: int = ONE_FILE,
) -> Path:
    """Write the report of a run; returns the HTML file. Up to `one_file` items go into that file alone.

    Raises:
        UserError: no run, no such judge, `out` can't be written, or is a file where a folder is needed.
    """
    run = RunFolder(folder)
    result = score.compute(run, judge)
    whole = result["counts"]["items"] <= one_file
    page = _place(folder, out, whole, f"{result['counts']['items']:,} items")
    withheld = result["meta"]["condition"] in WITHHELD
    known = _task_items(run, warn)
    pictures, images = _pictures((item for _, item in known.values()), whole)
    found = list(samples(run, result["meta"]["judge"]["name"]))
    items = {name: item_entry(query, item, pictures) for name, (query, item) in known.items()}
    data = {
        "items": items,
        "replies": [reply_entry(sample, withheld) for sample in found],
        "withheld": withheld,
        "images": {name: image.data_url if whole else f"images/{name}" for name, image in images.items()},
        "hidden": HIDDEN,
    }
    html = render_page(PAGE, view(result, run.manifest(), found, len(items)), data, _policy(whole))
    if not whole:
        for name, image in images.items():
            write_whole(page.parent / "images" / name, image.data, sync=False)
    write_whole(page, html.encode("utf-8"))
    return page


def view(result: dict[str, Any], manifest: dict[str, Any], found: list[Sample], known: int) -> dict[str, Any]:
    """The template's variables. `known` counts the items whose query and pictures are there."""
    system = result["estimands"]["system"]
    judge = manifest["judges"][result["meta"]["judge"]["name"]]
    return {
        "meta": result["meta"],
        "result": result,
        "headline": report.line(report.HEADLINE, system[report.HEADLINE]),
        "estimands": {name: report.groups(numbers) for name, numbers in result["estimands"].items()},
        "over_refusal": report.line("over_refusal", system["over_refusal"]),
        "refusals": report.refusal_rows(refusals(Sheet.of(sample.outcome for sample in found))),
        "categories": report.categories(result),
        "breaks": report.breaks(result),
        "validation": report.validation(result),
        "oracle": (result["judge_validation"] or {}).get("closed_world_oracle"),
        "same_family": judge["same_family"],
        "statuses": report.statuses(result),
        "provenance": _provenance(result, manifest),
        "spending": spending_lines(manifest),
        "withheld": result["meta"]["condition"] in WITHHELD,
        "unknown_items": result["counts"]["items"] - known,
    }


def _place(folder: Path, out: Path | None, whole: bool, items: str) -> Path:
    """The HTML file to write."""
    if whole:
        page = out or folder / "report.html"
        if page.is_dir():
            raise UserError(f"--out {page}: is a folder; give the name of the HTML file to write")
        return page
    place = out or folder / "report"
    if place.suffix.lower() in (".html", ".htm") or place.is_file():
        raise UserError(f"--out {place}: {items} are too many for one file; give the name of a folder")
    return place / "index.html"


def _task_items(run: RunFolder, warn: Callable[[str], None]) -> dict[str, tuple[str, Item]]:
    try:
        return task_items(run)
    except UserError as error:
        warn(f"the report goes without pictures, queries and reference paths: {error}")
        return {}


def _pictures(items: Any, whole: bool) -> tuple[dict[Path, str], dict[str, EncodedImage]]:
    """Each picture once: file → name, and name → picture."""
    names: dict[Path, str] = {}
    images: dict[str, EncodedImage] = {}
    for item in items:
        for image in item.images:
            if image.path not in names:
                picture = small_picture(image.path, SIDES[whole])
                name = f"{image.sha256[:20]}.{_ENDINGS[picture.media_type]}"
                names[image.path] = name
                images[name] = picture
    return names, images


def _policy(whole: bool) -> str:
    """Where pictures may come from: the file itself, or the folder it lies in."""
    return "data:" if whole else "data: 'self'"


def _provenance(result: dict[str, Any], manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """What was run with what. No file paths: a report travels."""
    meta, identity = result["meta"], manifest["identity"]
    versions = {"rsbench": manifest["rsbench"]["version"], **manifest["libraries"]}
    commit = manifest["rsbench"]["commit"]
    return [
        ("Model", _words(meta["model"])),
        ("Parameters", _words({k: v for k, v in meta["parameters"].items() if v is not None}) or "defaults"),
        ("Samples an item", str(identity["samples"])),
        ("Task", _words(meta["task"])),
        ("Data", meta["data"]),
        ("Prompt", _words(meta["prompt"])),
        ("Condition", meta["condition"]),
        ("Segmenter", meta["segmenter"]),
        ("Judge", _words(meta["judge"])),
        ("Begun", manifest["created"]),
        ("Versions", _words(versions) + (f" · commit {commit}" if commit else "")),
    ]


def _words(known: dict[str, Any]) -> str:
    return " · ".join(f"{name} {value}" for name, value in known.items())
