"""Cards: the YAML files on the shelves, checked by pydantic before anything is called.

YAML stays data: no expressions, no inheritance, no tags. Every error is one `UserError` that names the file,
the key, what was found and what is allowed.
"""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rsbench.shelves import Found, find
from rsbench.types import UserError

SCHEMA = 1
T = TypeVar("T")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Share = Annotated[float, Field(ge=0, le=1)] | None  # a share or a probability; None where there is none
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """Base of everything read from outside: unknown keys are errors, values are not coerced."""

    # Validators are built when first needed: most of a command's models read nothing in it.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Publisher(Strict):
    """Whose data it is, for data that is not shipped: what to fetch, from whom, under which licence."""

    who: str
    url: str
    license: str
    hub: str | None = None  # "owner/name" of the Hugging Face dataset that holds the files
    revision: str | None = None  # its commit, where one is known
    note: str = ""  # whatever else has to be done: ask for access, unpack an archive


class Data(Strict):
    """Where a task's items come from: a local file, a folder of images, or a pinned hub dataset."""

    # .jsonl, .json, .csv or .parquet, relative to the card (or to --data); `*` stands for several files
    file: str | None = None
    images: str | None = (
        None  # a folder of images with metadata.jsonl (`file_name` + columns), relative likewise
    )
    hub: str | None = None  # "owner/name"
    revision: str | None = None  # commit of the hub dataset; required with `hub`, so that items can't change
    config: str | None = None
    split: str = "test"
    fields: dict[str, str] = Field(default_factory=dict)  # our field: their column
    constants: dict[str, Any] = Field(default_factory=dict)  # our field: one value for every item
    values: dict[str, dict[str, str]] = Field(default_factory=dict)  # our field: their value → ours
    image_folder: str = ""  # where the file names of the mapped image column lie
    layout: Name | None = None  # of a JSON file whose records aren't one item each: a name in `layouts`
    fetch: str = ""  # what to download, from whom, under which licence; shown when the data is missing
    publisher: Publisher | None = None  # the same, said in full; its data is not shipped with the card

    def model_post_init(self, context: object) -> None:
        """Exactly one source."""
        sources = [name for name in ("file", "images", "hub") if getattr(self, name)]
        if len(sources) != 1:
            raise ValueError(f"give exactly one of file, images, hub (found: {', '.join(sources) or 'none'})")
        if self.hub and not self.revision:
            raise ValueError(
                "hub needs revision: the commit hash of the dataset, so that its items can't change"
            )


class Split(Strict):
    """One file of a task's items."""

    file: str
    trains: bool = False  # for training: run only when named, and never a row


class TaskCard(Strict):
    """`task.yaml`."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    title: str
    version: str
    description: str
    license: str
    data: Data
    splits: dict[Name, Split] = Field(default_factory=dict)  # with these, data.file is the default one's file
    prompts: dict[Name, str]  # variant → template file; `default` is required
    categories: list[str] | None = None  # None: any
    neutral_query: str | None = None  # asked of every image under `--condition image`
    pairs: bool = True  # every pair has one risky and one benign item
    subsets: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)  # → pair ids
    closed_world: bool = False  # generated scenes with a scene graph: its rows stand in a table of their own
    judge: str | None = None  # the judge this task suggests
    headline: str = "safe_effective_path"
    official: Literal["siuo", "siuo-mcqa", "mssbench"] | None = None  # rule whose numbers stand beside ours

    def model_post_init(self, context: object) -> None:
        """The default prompt must be there, and of the splits one that doesn't train."""
        if "default" not in self.prompts:
            raise ValueError("prompts needs the key 'default'")
        if self.splits and self.default_split is None:
            raise ValueError("data.file must be the file of exactly one split, one without `trains: true`")

    @property
    def default_split(self) -> str | None:
        """The split that is run when none is named; None for a task without splits."""
        default = [n for n, s in self.splits.items() if s.file == self.data.file and not s.trains]
        return default[0] if len(default) == 1 else None

    def split(self, name: str | None) -> tuple[str | None, bool, Data]:
        """The split of that name (or the default one), whether it is for training, and where its items are.

        Raises:
            UserError: the task has no such split.
        """
        chosen = name or self.default_split
        if chosen is None:
            return None, False, self.data
        if chosen not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise UserError(f"--split {chosen!r}: task {self.name!r} has no such split. Its splits: {known}")
        split = self.splits[chosen]
        return chosen, split.trains, self.data.model_copy(update={"file": split.file})


class _PlainData(yaml.SafeLoader):
    """Safe loader without two more of YAML's features.

    A key given twice is an error (YAML keeps the last silently), and so is an alias (a few lines of them
    unfold to more text than memory holds).
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias: yaml.AliasEvent = self.get_event()  # type: ignore[no-untyped-call]
            line = alias.start_mark.line + 1 if alias.start_mark else "?"
            raise yaml.MarkedYAMLError(problem=f"aliases (*{alias.anchor}) are not allowed (line {line})")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise yaml.MarkedYAMLError(problem=f"a key must be a word (line {line})")
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} is given twice (line {line})")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Parse one YAML file.

    Raises:
        UserError: unreadable, not YAML, a key given twice, an alias, an impossible date.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainData)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path}: not readable as YAML: {error}") from error


def load_task(argument: str, extra: list[Path] | None = None) -> tuple[TaskCard, Found]:
    """Find and check a task card."""
    return load("tasks", argument, extra, TypeAdapter(TaskCard))


def load(shelf: str, argument: str, extra: list[Path] | None, adapter: TypeAdapter[T]) -> tuple[T, Found]:
    """Find and check a card of any shelf.

    Raises:
        UserError: not there, not YAML, of a newer schema, or not what the adapter allows.
    """
    place = find(shelf, argument, extra or [])
    data = read_yaml(place.path)
    if isinstance(data, dict) and isinstance(data.get("schema"), int) and data["schema"] > SCHEMA:
        raise UserError(
            f"{place.path}: schema {data['schema']}, but this rsbench reads up to {SCHEMA}; upgrade rsbench"
        )
    return validated(adapter, data, str(place.path)), place


def validated(adapter: TypeAdapter[T], data: Any, where: str) -> T:
    """Check `data` and turn pydantic's findings into one message.

    Raises:
        UserError: names `where`, each bad key, what was found and what is allowed.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        lines = [f"  {_explain(e, adapter)}" for e in error.errors(include_url=False)]
        raise UserError("\n".join([f"{where}:", *lines])) from error


def _explain(error: Any, adapter: TypeAdapter[T]) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    if error["type"] == "missing":
        return f"{key}: missing, and required"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed are {', '.join(_allowed(adapter.json_schema(), error['loc']))}"
    found = repr(error["input"])
    found = found if len(found) <= 80 else found[:77] + "..."
    return f"{key}: {error['msg'].removeprefix('Value error, ')}; found {found}"


_MEMBERS = ("items", "additionalProperties")


def _allowed(schema: dict[str, Any], loc: Sequence[str | int]) -> list[str]:
    """The keys that may stand where the last of `loc` does, by the JSON schema of the whole."""
    nodes = [schema]
    for part in loc[:-1]:
        nodes = [kind for node in nodes for kind in _kinds(schema, node, part)]
        below = [node["properties"][part] for node in nodes if part in node.get("properties", {})]
        below += [n[more] for n in nodes for more in _MEMBERS if isinstance(n.get(more), dict)]
        below += [named for n in nodes for named in n.get("patternProperties", {}).values()]
        nodes = below or nodes  # a part that leads nowhere is the tag of one of several kinds
    found = [kind for node in nodes for kind in _kinds(schema, node)]
    return sorted({key for node in found for key in node.get("properties", {})})


def _kinds(schema: dict[str, Any], node: dict[str, Any], tag: str | int = "") -> list[dict[str, Any]]:
    """What a node may be: itself, what it refers to, or each of its choices; by `tag`, if it is tagged."""
    tagged = node.get("discriminator", {}).get("mapping", {}).get(tag)
    if reference := tagged or node.get("$ref"):
        return _kinds(schema, schema["$defs"][reference.rpartition("/")[2]], tag)
    choices = node.get("anyOf", node.get("oneOf"))
    return [kind for one in choices for kind in _kinds(schema, one, tag)] if choices else [node]
