"""Numbers that others published, each with its citation: `baselines/results/*.yaml`, apart and unranked.

They were measured with other data, prompts and judges, so nothing of them can be recomputed here.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Strict, read_yaml, validated

Web = Annotated[str, Field(pattern=r"^https://[^\s]+$")]


class Figure(Strict):
    """One number as its source prints it."""

    model: str
    metric: str
    value: str
    where: str  # table or page of the source


class Published(Strict):
    """One source and what is quoted from it."""

    schema_: Literal[1] = Field(alias="schema")
    benchmark: str
    citation: str
    url: Web
    note: str
    figures: Annotated[list[Figure], Field(min_length=1)]


def published(folder: Path) -> list[Published]:
    """All sources of a folder, by file name.

    Raises:
        UserError: a file is not of that shape; names file and key.
    """
    adapter = TypeAdapter(Published)
    return [validated(adapter, read_yaml(path), str(path)) for path in sorted(folder.glob("*.yaml"))]
