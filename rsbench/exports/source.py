"""What every export is made of: one run, read once with one judge's labels, and what may be said of it.

A format never reads the run folder itself, so that sealing, missing labels and the checks before publishing
are the same in all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rsbench import score
from rsbench.conditions import WITHHELD
from rsbench.report_items import Sample, samples, task_items
from rsbench.store import RunFolder
from rsbench.types import Item, Reply, UserError


@dataclass(frozen=True)
class Planned:
    """One planned sample with the keys that name it."""

    sample: Sample
    reply_key: str
    item_hash: str


@dataclass(frozen=True)
class Source:
    """A run as exports see it. `items`: query as the model saw it, and the item; empty without the task."""

    path: Path
    manifest: dict[str, Any]
    result: dict[str, Any]
    samples: tuple[Planned, ...]
    items: dict[str, tuple[str, Item]]
    sealed: bool
    made_at: datetime

    @property
    def judge(self) -> str:
        """Whose labels these are."""
        return str(self.result["meta"]["judge"]["name"])

    @property
    def withheld(self) -> bool:
        """Whether image or query was: then what presupposes both is blank, as in the scores."""
        return self.result["meta"]["condition"] in WITHHELD


@dataclass(frozen=True)
class Options:
    """What a format may be told."""

    images: bool = False
    benchmark: str | None = None  # id of the benchmark's data set on the Hugging Face hub
    benchmark_task: str | None = None
    model_id: str | None = None  # DEVELOPER/MODEL, where others look for it
    organization: str | None = None  # who publishes


Files = dict[str, bytes]  # name below the output folder → content


def read_source(
    path: Path, judge: str | None, sealed: bool, made_at: datetime, warn: Callable[[str], None]
) -> Source:
    """Read a run.

    Raises:
        UserError: no run, no such judge, or damaged records.
    """
    folder = RunFolder(path)
    manifest = folder.manifest()
    result = score.compute(folder, judge)
    found = samples(folder, result["meta"]["judge"]["name"])
    planned = tuple(
        Planned(sample, row["key"], row["item_hash"])
        for row, sample in zip(folder.plan(), found, strict=True)
    )
    items: dict[str, tuple[str, Item]] = {}
    try:
        items = task_items(folder)
    except UserError as error:
        warn(f"the export goes without queries: {error}")
    return Source(path, manifest, result, planned, items, sealed, made_at)


def latency(reply: Reply) -> float | None:
    """Seconds that the call took; None where nobody measured it, as of imported replies."""
    return reply.latency_s or None


def clean(text: str) -> str:
    """A model's text as UTF-8 can hold it: half a surrogate pair becomes its backslash form."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
