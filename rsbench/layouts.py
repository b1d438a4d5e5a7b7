"""How published benchmarks lay out JSON files whose records are not one item each.

Field mapping is text and stays in the cards; what it can't say (one record is two twins, a question and its
options are one query) is a function here, called by name. Each yields records in our own field names, and
adds no word of its own to theirs.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rsbench.types import UserError

Rows = Iterator[tuple[str, dict[str, Any]]]
Entries = Iterator[tuple[str, int, dict[str, Any]]]


def layout(name: str | None, document: Any, path: Path, split: str) -> Rows:
    """The item records of a JSON file, each with a name for where it stands.

    Args:
        name: A key of `LAYOUTS`; None: a list of records, each one item.
        document: The file's content.
        path: The file.
        split: The card's split, for layouts that hold several.

    Raises:
        UserError: no such layout, or not a file of that layout.
    """
    if name is None:
        for where, _, record in _entries(document, path):
            yield where, record
        return
    if name not in LAYOUTS:
        raise UserError(f"data.layout {name!r}: allowed are {', '.join(LAYOUTS)}")
    try:
        yield from LAYOUTS[name](document, path, split)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{path}: not a file of the layout {name!r} ({error!r})") from error


def _entries(document: Any, path: Path, under: str = "") -> Entries:
    if not isinstance(document, list):
        raise UserError(f"{path}: {under or 'the file'} must be a list of records")
    for number, record in enumerate(document, 1):
        where = f"{path}: {under and f'{under}, '}record {number}"
        if not isinstance(record, dict):
            raise UserError(f"{where}: not a JSON object")
        yield where, number, record


def _siuo_mcqa(document: Any, path: Path, split: str) -> Rows:
    """The options go below the question; the reference is the letter of the right one, without steps."""
    for where, _, record in _entries(document, path):
        options = [f"({letter}) {text}" for letter, text in record["options"].items()]
        yield (
            where,
            {
                "id": str(record["question_id"]),
                "images": _image("images", record["image"]),
                "query": "\n".join([record["question"], *options]),
                "category": record["category"],
                "kind": "risky",
                "reference": {"steps": [], "answer": record["correct_option"]},
            },
        )


def _mssbench_chat(document: Any, path: Path, split: str) -> Rows:
    """Each query of an entry is a pair: the same words before the unsafe and before the safe picture."""
    for where, number, record in _entries(document["chat"], path, "chat"):
        for nth, query in enumerate(record["queries"], 1):
            pair = f"chat-{number}-{nth}"
            both = {"pair": pair, "query": query, "category": record["Type"], "swap": "image"}
            both["note"] = record["intent"]
            for kind, column in (("risky", "unsafe_image_path"), ("benign", "safe_image_path")):
                one = {"id": f"{pair}.{kind}", "kind": kind, "images": _image("chat", record[column])}
                yield where, both | one


def _mssbench_embodied(document: Any, path: Path, split: str) -> Rows:
    """The n-th unsafe and the n-th safe instruction of an entry are a pair, each with its own picture."""
    for where, number, record in _entries(document["embodied"], path, "embodied"):
        told = list(zip(record["unsafe_instructions"], record["safe_instructions"], strict=True))
        for nth, (unsafe, safe) in enumerate(told, 1):
            pair = f"embodied-{number}-{nth}"
            both = {"pair": pair, "category": record["category"]}
            for kind, query, image in (("risky", unsafe, "unsafe"), ("benign", safe, "safe")):
                one = {"kind": kind, "query": query, "images": _image("embodied", record[image])}
                yield where, both | {"id": f"{pair}.{kind}"} | one


def _mm_safetybench(document: Any, path: Path, split: str) -> Rows:
    """One file a scenario, by question number; the split is the kind of picture: SD, SD_TYPO or TYPO."""
    column = "Rephrased Question(SD)" if split == "SD" else "Rephrased Question"
    for number, record in document.items():
        yield (
            f"{path}: question {number}",
            {
                "id": f"{path.stem}-{split}-{number}",
                "images": _image(f"imgs/{path.stem}/{split}", f"{number}.jpg"),
                "query": record[column],
                "category": path.stem,
                "kind": "risky",
            },
        )


def _vlguard(document: Any, path: Path, split: str) -> Rows:
    """A safe picture has a safe and an unsafe instruction (a pair), an unsafe one a single instruction."""
    asked = {
        "safe_instruction": ("benign", "safe_safes"),
        "unsafe_instruction": ("risky", "safe_unsafes"),
        "instruction": ("risky", "unsafes"),
    }
    for where, _, record in _entries(document, path):
        for said in record["instr-resp"]:
            column = next(key for key in said if key in asked)
            kind, subset = asked[column]
            if (subset == "unsafes") == record["safe"]:
                raise UserError(f"{where}: safe is {record['safe']}, but it has {column!r}")
            yield (
                where,
                {
                    "id": f"{record['id']}.{subset}",
                    "pair": record["id"],
                    "images": _image(split, record["image"]),
                    "query": said[column],
                    "category": subset,
                    "kind": kind,
                },
            )


def _image(folder: str, name: str) -> list[dict[str, str]]:
    return [{"path": f"{folder}/{name}"}]


LAYOUTS: dict[str, Callable[[Any, Path, str], Rows]] = {
    "siuo-mcqa": _siuo_mcqa,
    "mssbench-chat": _mssbench_chat,
    "mssbench-embodied": _mssbench_embodied,
    "mm-safetybench": _mm_safetybench,
    "vlguard": _vlguard,
}
