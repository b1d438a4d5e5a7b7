"""Near-duplicates: of an earlier candidate of the same build, or of an item that models are measured on.

The measures and thresholds are those of `leakage`. Pictures are compared with other tasks' alone: candidates
of one picture share it by design.
"""

from collections.abc import Iterator, Mapping, Sequence

from rsbench.leakage import Overlap, find
from rsbench.ssui.candidates import Spot
from rsbench.ssui.schemas import QueryOut
from rsbench.types import Item, ItemImage, Kind


def repeats(
    proposals: Sequence[tuple[Spot, QueryOut]], others: Mapping[str, Sequence[Item]]
) -> dict[str, str]:
    """Why each candidate that repeats something is dropped; the first of several alike stays.

    Args:
        proposals: In the order of the build, so that it does not hang on who answered first.
        others: Items of other tasks, by the task's name.
    """
    found: dict[str, str] = {}
    proposed = [item for spot, asked in proposals for item in _items(spot, asked, pictures=True)]
    for name, items in others.items():
        for overlap in find(proposed, items):
            found.setdefault(overlap.train.rpartition(".")[0], f"repeats {name}: {_words(overlap)}")
    kept: list[Item] = []
    for spot, asked in proposals:
        if spot.id in found:
            continue
        mine = list(_items(spot, asked, pictures=False))
        overlaps = find(mine, kept)
        if overlaps:
            found[spot.id] = f"repeats an earlier candidate: {_words(overlaps[0])}"
        else:
            kept += mine
    return found


def _words(overlap: Overlap) -> str:
    return f"{overlap.benchmark}, {overlap.what} ({overlap.field}, {overlap.value:.2f})"


def _items(spot: Spot, asked: QueryOut, pictures: bool) -> Iterator[Item]:
    images = (ItemImage(spot.image, asked.caption, spot.sha256),) if pictures else ()
    twins: tuple[tuple[Kind, str, str], ...] = (
        ("risky", asked.query, asked.trigger_element),
        ("benign", asked.twin_query, asked.twin_trigger_element),
    )
    for kind, query, trigger in twins:
        yield Item(
            f"{spot.id}.{kind}",
            images,
            query,
            asked.category,
            kind,
            spot.id,
            "",
            key_element=asked.key_element,
            trigger_element=trigger,
        )
