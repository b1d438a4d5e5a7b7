"""The plan of a run: which samples of which items will be asked for, under which keys. Calls nobody."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsbench import cards
from rsbench.conditions import Condition, check_condition, show
from rsbench.data import Dataset
from rsbench.images import load_image
from rsbench.models.base import GenParams, Message, Request
from rsbench.prompts import check_shows_query, read_template, render
from rsbench.records import reply_key
from rsbench.settings import Settings
from rsbench.shelves import Found, inside
from rsbench.types import Item, ItemImage, UserError


@dataclass(frozen=True)
class Plan:
    """What will be asked of whom: decided, checked and hashed before the first call."""

    dataset: Dataset
    template: str
    template_path: Path
    model_identity: dict[str, str]
    params: GenParams
    samples: int = 1
    condition: Condition = "both"

    def __iter__(self) -> Iterator["Sample"]:
        for item in self.dataset:
            shown = show(item, self.condition, self.dataset.card.neutral_query)
            prompt = render(self.template, str(self.template_path), query=shown.query)
            for number in range(self.samples):
                key = reply_key(item, prompt, self.model_identity, self.params, number, self.condition)
                yield Sample(shown.judged, number, prompt, key, shown.images)

    def __len__(self) -> int:
        return len(self.dataset) * self.samples


@dataclass(frozen=True)
class Sample:
    """One planned call: the n-th reply to an item; `images` are those that the model is shown."""

    item: Item
    number: int
    prompt: str
    key: str
    images: tuple[ItemImage, ...]

    def request(self, params: GenParams) -> Request:
        """The call; reads the item's images."""
        images = tuple(load_image(image.path) for image in self.images)
        return Request((Message("user", self.prompt, images),), params, self.key, None, self.item)


def make_plan(card: cards.TaskCard, found: Found, settings: Settings, model: dict[str, str]) -> Plan:
    """Load the data and the prompt.

    Raises:
        UserError: bad data, unknown prompt variant, subset or condition.
    """
    if settings.prompt not in card.prompts:
        raise UserError(f"--prompt {settings.prompt!r}: task {card.name} has {', '.join(card.prompts)}")
    template_path = inside(found.folder, card.prompts[settings.prompt])
    template = read_template(template_path)
    check_shows_query(template, str(template_path))
    dataset = Dataset(card, found.folder, settings.data, settings.split)
    dataset.select(settings.subset, settings.limit, settings.seed)
    condition = check_condition(settings.condition)
    plan = Plan(dataset, template, template_path, model, settings.params, settings.samples, condition)
    for _ in plan:  # damaged images and items without such a condition are found before anything is asked
        pass
    return plan


def plan_lines(plan: Plan) -> str:
    """The plan as `plan.jsonl` holds it."""
    lines = []
    for sample in plan:
        item = sample.item
        row = {"item": item.id, "sample": sample.number, "key": sample.key, "pair": item.pair}
        row |= {"kind": item.kind, "category": item.category, "item_hash": item.hash}
        lines.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(lines) + "\n"
