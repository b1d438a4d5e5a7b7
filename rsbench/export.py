"""`rsbench export`: a run in another tool's format. Picks the format, writes its files, nothing else.

A format is a function from a run to named bytes, so that all files are known before the first is written:
what would overwrite something, or lie outside the output folder, is refused with nothing written.
"""

import importlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rsbench.exports.source import Files, Options, Source, read_source
from rsbench.store import write_whole
from rsbench.types import UserError

FORMATS = {
    "csv": "rsbench.exports.flat:to_csv",
    "parquet": "rsbench.exports.flat:to_parquet",
    "hf": "rsbench.exports.hub:to_hub",
    "eee": "rsbench.exports.eee:to_eee",
    "inspect": "rsbench.exports.inspect_log:to_inspect",
}
# Which formats know an option.
OWN = {
    "images": ("hf",),
    "benchmark": ("hf",),
    "benchmark_task": ("hf",),
    "model_id": ("eee",),
    "organization": ("eee",),
}
HUB_ID = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
Format = Callable[[Source, Options], Files]


def export(
    run: Path,
    format_: str,
    out: Path | None,
    judge: str | None,
    sealed: bool,
    force: bool,
    options: Options,
    warn: Callable[[str], None],
) -> list[Path]:
    """Write a run in one format; returns the files.

    Raises:
        UserError: unknown format, an option that is not its own, no such run or judge, or a file in the way.
    """
    if format_ not in FORMATS:
        raise UserError(f"--format {format_!r} is unknown. Formats: {', '.join(FORMATS)}")
    check_options(format_, options)
    module, _, name = FORMATS[format_].partition(":")
    made: Format = getattr(importlib.import_module(module), name)
    files = made(read_source(run, judge, sealed, datetime.now(UTC), warn), options)
    folder = out or run / f"export-{format_}"
    paths = {_inside(folder, name): content for name, content in files.items()}
    taken = [path for path in paths if path.exists() or path.is_symlink()]
    if taken and not force:
        raise UserError(f"{taken[0]}: exists; give another --out, or --force to overwrite it")
    for path, content in paths.items():
        write_whole(path, content, sync=False)
    return list(paths)


def check_options(format_: str, options: Options) -> None:
    """Whether what was asked for is the format's own.

    Raises:
        UserError: an option of another format, or a value that is no DEVELOPER/MODEL.
    """
    for name, value in vars(options).items():
        shown = f"--{name.replace('_', '-')}"
        if value and format_ not in OWN[name]:
            raise UserError(f"{shown} is for --format {' or '.join(OWN[name])}, not {format_}")
        if name in ("model_id", "benchmark") and value and not re.fullmatch(HUB_ID, value):
            raise UserError(f"{shown} {value!r}: not of the form OWNER/NAME (letters, digits, . _ -)")


def _inside(folder: Path, name: str) -> Path:
    """A file below the output folder.

    Raises:
        UserError: it would lie elsewhere, or the folder is a file.
    """
    path = folder / name
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: is a file; give the name of a folder")
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path}: lies outside --out {folder} (a link?); give another folder")
    return path
