"""What is compared: the file plan.yaml, checked, and the runs that follow from it, in their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Strict, read_yaml, validated

PLAN = Path(__file__).with_name("plan.yaml")


class Beside(Strict):
    """Another task that trained models are measured on, for some of the seeds."""

    task: str
    judge: str
    seeds: list[int]


class Block(Strict):
    """Recipes, each run with every seed."""

    seeds: Annotated[list[int], Field(min_length=2)]
    recipes: list[str]


class Tuning(Strict):
    """Trials that set the learning rates."""

    seed: int
    split: str
    learning_rates: list[float]
    recipes: list[str]


class Plan(Strict):
    """The whole comparison."""

    schema_: Literal[1] = Field(alias="schema")
    base: str
    task: str
    judge: str
    max_tokens: int
    beside: Beside
    banks: dict[str, list[str]]
    main: Block
    ablations: Block
    tuning: Tuning

    def bank_of(self, recipe: str) -> str | None:
        """The exploration that a recipe shares; None if it explores nothing."""
        return next((name for name, users in self.banks.items() if recipe in users), None)

    def runs(self) -> Iterator["Run"]:
        """Every training with its seed: the main table first, seed by seed, so that it can be cut short."""
        for block in (self.main, self.ablations):
            for seed in block.seeds:
                yield from (Run(recipe, seed) for recipe in block.recipes)

    def trials(self) -> Iterator["Run"]:
        """Every trial of the tuning."""
        for recipe in self.tuning.recipes:
            yield from (Run(recipe, self.tuning.seed, rate) for rate in self.tuning.learning_rates)


@dataclass(frozen=True)
class Run:
    """One training."""

    recipe: str
    seed: int
    rate: float | None = None  # of a trial; otherwise the recipe's own

    @property
    def name(self) -> str:
        """As folders and rows are called."""
        return f"{self.recipe}-seed-{self.seed}" + (f"-lr-{self.rate:g}" if self.rate is not None else "")


def read_plan(path: Path = PLAN) -> Plan:
    """The plan.

    Raises:
        UserError: not there, or not one.
    """
    return validated(TypeAdapter(Plan), read_yaml(path), str(path))
