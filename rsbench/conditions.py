"""Conditions: what of an item the model under test is shown, and what the judge may then look at.

`both` is the benchmark. `text` and `image` withhold one modality: there is no risk to be seen then, so the
judge sees what the model saw, without note and reference, and the numbers that presuppose the risk are blank.
`caption` puts the images' captions into words for a model that reads text only; nothing is withheld, and the
judge sees the images themselves. One run has one condition.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from rsbench.types import Item, ItemImage, UserError

Condition = Literal["both", "text", "image", "caption"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
WITHHELD: frozenset[str] = frozenset({"text", "image"})


@dataclass(frozen=True)
class Shown:
    """What the model is shown of an item, and the item as its judge may know it."""

    query: str
    images: tuple[ItemImage, ...]
    judged: Item


def check_condition(condition: str) -> Condition:
    """The word, checked.

    Raises:
        UserError: it is none of the four.
    """
    for known in CONDITIONS:
        if condition == known:
            return known
    raise UserError(f"--condition {condition!r}: allowed are {', '.join(CONDITIONS)}")


def show(item: Item, condition: Condition, neutral_query: str | None) -> Shown:
    """Withhold, or put into words, what the condition says.

    Args:
        item: The whole item.
        condition: One of `CONDITIONS`.
        neutral_query: The task's one query for images shown alone.

    Raises:
        UserError: the item has no image or no caption, or the task no neutral query.
    """
    if condition == "both":
        return Shown(item.query, item.images, item)
    if not item.images:
        raise UserError(f"--condition {condition}: item {item.id!r} has no image; only `both` fits it")
    if condition == "caption":
        return Shown(f"{_captions(item)}\n\n{item.query}", (), item)
    if condition == "text":
        return Shown(item.query, (), _bare(replace(item, images=())))
    if neutral_query is None:
        raise UserError(
            "--condition image: the task's card has no neutral_query, the one query asked of every image"
        )
    return Shown(neutral_query, item.images, _bare(replace(item, query=neutral_query)))


def _captions(item: Item) -> str:
    bare = next((image for image in item.images if not image.caption.strip()), None)
    if bare is not None:
        raise UserError(f"--condition caption: item {item.id!r} has no caption for {bare.path.name}")
    if len(item.images) == 1:
        return f"[Image: {item.images[0].caption}]"
    return "\n".join(f"[Image {n}: {image.caption}]" for n, image in enumerate(item.images, 1))


def _bare(item: Item) -> Item:
    """Without what was authored for image and query together."""
    bare = replace(item, note="", reference=None, contrast=None, scene=None)
    return replace(bare, key_element="", trigger_element="")
