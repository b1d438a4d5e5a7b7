"""From a card to items: every bad record is one message with its place; the same data are the same items."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rsbench.data import Dataset
from rsbench.types import Item, UserError
from tests.unit.tasks import complaint, dataset, item, make_task, pair, write_rows

STEPS = [
    {"role": "perception", "text": "A roof.", "safety": "safe", "effectiveness": "effective"},
    {"role": "strategy", "text": "Jump.", "safety": "unsafe", "effectiveness": "ineffective"},
]
CONTRAST = {
    "steps": STEPS,
    "answer": "Jump!",
    "answer_safety": "unsafe",
    "answer_effectiveness": "ineffective",
}


def risky(**more: Any) -> list[dict[str, Any]]:
    """A pair whose second line, the benign twin, is fine, and whose first has these fields."""
    return [item("p1", "risky") | more, item("p1", "benign")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (risky(images=[{"path": "images/b.png"}]), ["jsonl:1", "images/b.png", "No such file", "p1.risky"]),
        (risky(images=[{"path": "../a.png"}]), ["jsonl:1", "'../a.png' leads out of"]),
        (risky(images=[{"path": "images/../../a.png"}]), ["jsonl:1", "leads out of"]),
        (risky(images=[{"path": "/etc/hostname"}]), ["jsonl:1", "'/etc/hostname' leads out of"]),
        (risky(images=[{"path": "images/link.png"}]), ["jsonl:1", "leads out of"]),
        (risky(images=[{"path": "a\0b"}]), ["jsonl:1", "no file name"]),
        (risky(images=[{"path": "images/loop.png"}]), ["jsonl:1", "loop.png"]),
        (risky(images=[{"path": "images"}]), ["jsonl:1", "Is a directory"]),
        (risky(images=[{"path": "images/moving.gif"}]), ["jsonl:1", "animated", "moving.gif"]),
        (risky(images=["images/a.png"]), ["jsonl:1", "images.0", "found 'images/a.png'"]),
        (risky(category="fire"), ["jsonl:1", "'fire'", "Allowed: water, heights"]),
        (risky(kind="safe"), ["jsonl:1", "kind", "'risky' or 'benign'", "found 'safe'"]),
        (risky(query=""), ["jsonl:1", "query", "at least 1 character"]),
        (risky(query=7), ["jsonl:1", "query", "string", "found 7"]),
        (risky(query="half a \ud83d pair"), ["jsonl:1", "query", "string"]),
        (risky(qeury="x"), ["jsonl:1", "qeury: unknown key"]),
        (risky(contrast=CONTRAST | {"first_unsafe": 1}), ["jsonl:1", "first_unsafe is 1", "labels say 2"]),
        (risky(contrast=CONTRAST | {"first_unsafe": None}), ["jsonl:1", "first_unsafe is None"]),
        (risky(contrast=CONTRAST | {"first_unsafe": 5}), ["jsonl:1", "first_unsafe is 5"]),
        (risky(contrast=CONTRAST), ["jsonl:1", "contrast.first_unsafe: missing"]),
        (
            risky(reference={"steps": [STEPS[0] | {"role": "plot"}], "answer": "x"}),
            ["jsonl:1", "reference.steps.0.role", "'perception'", "found 'plot'"],
        ),
        ([*pair("p1"), item("p1", "benign")], ["jsonl:3", "'p1.benign' is already used at", "jsonl:2"]),
        ([item("p1", "risky"), *pair("p2")], ["jsonl:1", "pair 'p1' has risky", "one risky and one benign"]),
        (
            [*pair("p2"), item("p1", "risky"), item("p1", "risky", id="other")],
            ["jsonl:3", "pair 'p1' has risky, risky"],
        ),
        ([*pair("p1"), item("p1", "benign", id="third")], ["jsonl:1", "pair 'p1' has benign, benign, risky"]),
        ([item("p1", "risky") | {"pair": ""}], ["jsonl:1", "pair 'p1.risky' has risky"]),
        ([], ["no items"]),
    ],
)
def test_bad_items(tmp_path: Path, rows: list[dict[str, Any]], words: list[str]) -> None:
    folder = make_task(tmp_path / "task", rows)
    (tmp_path / "a.png").write_bytes((folder / "images" / "a.png").read_bytes())
    (folder / "images" / "link.png").symlink_to(tmp_path / "a.png")
    (folder / "images" / "loop.png").symlink_to(folder / "images" / "loop.png")
    still = Image.new("L", (4, 4))
    still.save(folder / "images" / "moving.gif", save_all=True, append_images=[Image.new("L", (4, 4), 255)])
    message = complaint(folder)
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{nope}", ["jsonl:5", "not JSON"]),
        (b"[1]", ["jsonl:5", "one JSON object"]),
        (b'{"id": "\xff"}', ["jsonl", "not UTF-8"]),
        (b'{"id": ' + b"9" * 5000 + b"}", ["jsonl:5"]),
        (b'{"id": ' + b"[" * 100_000, ["jsonl:5"]),
    ],
)
def test_bad_lines(tmp_path: Path, line: bytes, words: list[str]) -> None:
    folder = make_task(tmp_path)
    with (folder / "items.jsonl").open("ab") as file:
        file.write(line + b"\n")
    message = complaint(folder)
    assert [word for word in words if word not in message] == [], message[:500]


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    folder = make_task(tmp_path, card={"data": {"file": "x.jsonl", "fetch": "Download it from its owners."}})
    assert "x.jsonl: no such file. Download it from its owners." in complaint(folder)
    folder = make_task(tmp_path, card={"data": {"file": "../x.jsonl"}})
    assert "leads out of" in complaint(folder)


def test_items_hold_what_was_written(tmp_path: Path) -> None:
    rows = risky(contrast=CONTRAST | {"first_unsafe": 2}, swap="image", note="Together: a fall.")
    first, second = dataset(make_task(tmp_path, rows))
    assert (first.id, first.kind, first.pair, first.swap) == ("p1.risky", "risky", "p1", "image")
    assert first.contrast is not None and first.contrast.first_unsafe == 2
    assert first.images[0].sha256 == hashlib.sha256((tmp_path / "images/a.png").read_bytes()).hexdigest()
    assert first.images[0].caption == "A pool." and second.note == ""


def only_item(folder: Path) -> Item:
    return next(iter(dataset(folder)))


def repaint(folder: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(folder / "images" / "a.png")


def reword(key: str, value: object) -> Callable[[Path], None]:
    return lambda folder: write_rows(folder / "items.jsonl", risky(**{key: value}))


@pytest.mark.parametrize(
    "change",
    [
        repaint,
        reword("query", "Another"),
        reword("note", "Another"),
        reword("images", [{"path": "images/a.png", "caption": "Another."}]),
        reword("images", [{"path": "images/a.png", "caption": "A pool."}] * 2),
        reword("contrast", CONTRAST | {"first_unsafe": 2}),
    ],
)
def test_the_hash_covers_words_and_image_bytes(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = make_task(tmp_path, risky())
    before = only_item(folder).hash
    change(folder)
    assert only_item(folder).hash != before


def test_the_hash_is_not_of_file_names(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "one", risky())
    other = make_task(tmp_path / "two", risky(images=[{"path": "images/b.png", "caption": "A pool."}]))
    (other / "images" / "a.png").rename(other / "images" / "b.png")
    write_rows(other / "items.jsonl", [*risky(images=[{"path": "images/b.png", "caption": "A pool."}])][:1])
    card = {"pairs": False}
    make_task(folder, risky()[:1], card)
    (other / "task.yaml").write_text((folder / "task.yaml").read_text())
    assert only_item(folder).hash == only_item(other).hash


# --limit and subsets


def many(tmp_path: Path) -> Dataset:
    """12 pairs of one category and 3 of the other."""
    rows = [row for n in range(12) for row in pair(f"w{n:02}")]
    rows += [row for n in range(3) for row in pair(f"h{n:02}", "heights")]
    card = {"subsets": {"demo": ["w03", "h01", "w07"], "broken": ["w03", "gone"]}}
    return dataset(make_task(tmp_path, rows, card))


def chosen(data: Dataset, **how: Any) -> list[Item]:
    data.select(**how)
    items = list(data)
    assert len(data) == len(items) and [e.id for e in data.index] == [i.id for i in items]
    return items


@pytest.mark.parametrize("limit", [2, 3, 7, 12, 29, 30, 99])
def test_limit_takes_whole_pairs_spread_over_the_categories(tmp_path: Path, limit: int) -> None:
    items = chosen(many(tmp_path), limit=limit)
    assert len(items) == min(limit, 30) // 2 * 2, "as many whole pairs as fit"
    assert set(Counter(i.pair for i in items).values()) == {2}
    per = Counter(i.category for i in items)
    heights = per["heights"] // 2
    assert heights == 3 or abs(per["water"] // 2 - heights) <= 1, "a category falls behind only when used up"


def test_limit_is_drawn_by_the_seed(tmp_path: Path) -> None:
    def ids(**how: Any) -> list[str]:
        return [i.id for i in chosen(many(tmp_path), **how)]

    assert ids(limit=8) == ids(limit=8, seed=0) != ids(limit=8, seed=1)
    assert set(ids(limit=8)) < set(ids(limit=16)), "a larger limit keeps the finished items of a smaller one"


def test_limit_below_one_pair(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--limit 1: whole twin pairs are taken, so give at least 2"):
        many(tmp_path).select(limit=1)


def test_subsets(tmp_path: Path) -> None:
    assert {i.pair for i in chosen(many(tmp_path), subset="demo")} == {"w03", "h01", "w07"}
    assert len(chosen(many(tmp_path), subset="demo", limit=4)) == 4
    with pytest.raises(UserError, match="no subset 'dmeo'. Its subsets: broken, demo"):
        many(tmp_path).select(subset="dmeo")
    with pytest.raises(UserError, match="'broken' of task 'small' names unknown pairs: gone"):
        many(tmp_path).select(subset="broken")
