"""The nouns of a build: a spot (picture and number), what became of it, and the pair of items it ends as."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rsbench.images import FORMATS, check_image
from rsbench.ssui.schemas import BothPaths, ContrastOut, PathOut, QueryOut, SummaryOut
from rsbench.types import Kind, UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
Fate = Literal["passed", "dropped", "unfinished"]


@dataclass(frozen=True)
class Spot:
    """The n-th candidate on one picture, before anything is asked."""

    id: str
    image: Path
    sha256: str
    number: int
    category: str  # the one to prefer, so that a build spreads over all

    @property
    def image_name(self) -> str:
        """Its name in the task's folder."""
        return f"{self.id.rpartition('-')[0]}{self.image.suffix.lower()}"


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate; a dropped one keeps stage and reason, a passed one its two items."""

    id: str
    image: str
    fate: Fate
    stage: str = ""
    reason: str = ""
    items: tuple[dict[str, Any], ...] = ()


def spots(folder: Path, per_image: int, categories: tuple[str, ...]) -> list[Spot]:
    """Every candidate to make, in the order of file names.

    Raises:
        UserError: no such folder, no picture in it, one that can't be read, or two of one name.
    """
    if not folder.is_dir():
        raise UserError(f"--images {folder}: no such folder")
    found: list[Spot] = []
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"--images {folder}: no picture in it; formats: {', '.join(FORMATS)}")
    names: dict[str, Path] = {}
    for path in paths:
        name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "image"
        if name in names:
            raise UserError(f"{path} and {names[name]}: both would be named {name!r}; rename one")
        names[name] = path
        sha256 = check_image(path)
        for number in range(1, per_image + 1):
            # By the picture's bytes, not by its place: a picture that is added changes no other one's prompt.
            category = categories[(int(sha256[:8], 16) + number) % len(categories)]
            found.append(Spot(f"{name}-{number}", path, sha256, number, category))
    return found


def items_of(spot: Spot, asked: QueryOut, paths: SummaryOut, source: str) -> tuple[dict[str, Any], ...]:
    """The two twins as lines of `items.jsonl`."""
    risky = _item(spot, "risky", asked, asked.query, asked.trigger_element, asked.together, paths.risky)
    benign = _item(
        spot,
        "benign",
        asked,
        asked.twin_query,
        asked.twin_trigger_element,
        asked.twin_together,
        paths.benign,
    )
    return tuple({**item, "source": source} for item in (risky, benign))


def _item(
    spot: Spot, kind: Kind, asked: QueryOut, query: str, trigger: str, together: str, paths: BothPaths
) -> dict[str, Any]:
    note = f"In the image: {asked.key_element}. In the request: {trigger}. Together: {together}"
    return {
        "id": f"{spot.id}.{kind}",
        "images": [{"path": f"images/{spot.image_name}", "caption": asked.caption}],
        "query": query,
        "category": asked.category,
        "kind": kind,
        "pair": spot.id,
        "swap": "query",
        "key_element": asked.key_element,
        "trigger_element": trigger,
        "note": note,
        "reference": _reference(paths.reference),
        "contrast": _contrast(paths.contrast),
    }


def _reference(path: PathOut) -> dict[str, Any]:
    return {"steps": [{"role": s.role, "text": s.text} for s in path.steps], "answer": path.answer}


def _contrast(path: ContrastOut) -> dict[str, Any]:
    unsafe = (n for n, step in enumerate(path.steps, 1) if step.safety == "unsafe")
    return {
        **path.model_dump(),
        "first_unsafe": next(unsafe, None),
    }
