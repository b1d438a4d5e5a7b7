"""Where items come from: mapped columns, Parquet, image folders, and a user's own copy of the data."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rsbench.data import Dataset
from tests.unit.tasks import complaint, dataset, item, make_task, pair, write_rows

FIELDS = {"id": "qid", "query": "question", "category": "topic", "images": "picture", "note": "warning"}


def mapped_card(data: dict[str, Any]) -> dict[str, Any]:
    more = {"fields": FIELDS, "constants": {"kind": "risky", "note": "none given"}}
    return {"data": data | more, "pairs": False, "categories": None}


def test_fields_and_constants(tmp_path: Path) -> None:
    folder = make_task(tmp_path, card=mapped_card({"file": "theirs.jsonl"}))
    theirs = {"qid": 7, "question": "Q?", "topic": "t", "picture": "images/a.png", "unused": 1}
    write_rows(folder / "theirs.jsonl", [theirs | {"warning": None}, theirs | {"qid": 8, "warning": "w"}])
    first, second = dataset(folder)
    assert (first.id, first.query, first.kind, first.pair) == ("7", "Q?", "risky", "7")
    assert first.images[0].path == (folder / "images" / "a.png").resolve()
    assert (first.note, second.note) == ("none given", "w"), "a constant stands in for what is missing"
    write_rows(folder / "theirs.jsonl", [theirs])
    message = complaint(folder)
    assert "theirs.jsonl:1: no column 'warning'" in message and "question" in message


def test_parquet(tmp_path: Path) -> None:
    rows = [*pair("p1"), item("p2", "risky", note="n", swap="query"), item("p2", "benign")]
    folder = make_task(tmp_path, card={"data": {"file": "tables/items.parquet"}})
    (folder / "tables").mkdir()
    pq.write_table(
        pa.Table.from_pylist([rows[2], rows[0], rows[3], rows[1]]), folder / "tables" / "items.parquet"
    )
    from_parquet = {i.id: i for i in dataset(folder)}
    write_rows(folder / "items.jsonl", rows)
    make_task(folder, rows)
    assert from_parquet == {i.id: i for i in dataset(folder)}, "one item, whatever it is stored in"


def parquet_with_image(path: Path, colour: str) -> None:
    from datasets import Dataset as Table
    from datasets import Features, Value
    from datasets import Image as ImageColumn

    columns = {name: Value("string") for name in ("qid", "question", "topic", "warning")}
    values: dict[str, list[Any]] = {name: ["x"] for name in columns}
    values["picture"] = [Image.new("RGB", (6, 6), colour)]
    path.parent.mkdir(exist_ok=True)
    Table.from_dict(values, Features(columns | {"picture": ImageColumn()})).to_parquet(path)


def pixel(items: Dataset) -> tuple[int, ...]:
    (one,) = items
    with Image.open(one.images[0].path) as image:
        return tuple(image.convert("RGB").tobytes()[:3])


def test_images_inside_a_table(tmp_path: Path) -> None:
    folder = make_task(tmp_path, card=mapped_card({"file": "tables/items.parquet"}))
    parquet_with_image(folder / "tables" / "items.parquet", "red")
    assert pixel(dataset(folder)) == (255, 0, 0)
    # The files beside the table were named by row: a new table was run with the old table's images.
    parquet_with_image(folder / "tables" / "items.parquet", "blue")
    assert pixel(dataset(folder)) == (0, 0, 255)


def test_a_damaged_table(tmp_path: Path) -> None:
    folder = make_task(tmp_path, card={"data": {"file": "items.parquet"}})
    (folder / "items.parquet").write_bytes(b"PAR1 not really PAR1")
    assert "items.parquet" in complaint(folder)


def test_image_folder(tmp_path: Path) -> None:
    folder = make_task(tmp_path, card={"data": {"images": "pictures"}})
    (folder / "images").rename(folder / "pictures")
    rows = [{k: v for k, v in row.items() if k != "images"} | {"file_name": "a.png"} for row in pair("p1")]
    write_rows(folder / "pictures" / "metadata.jsonl", rows)
    assert [i.images[0].path.name for i in dataset(folder)] == ["a.png", "a.png"]
    write_rows(folder / "pictures" / "metadata.jsonl", [rows[0], rows[1] | {"file_name": "../../a.png"}])
    assert "metadata.jsonl:2" in (message := complaint(folder)) and "leads out of" in message
    (folder / "pictures" / "metadata.jsonl").unlink()
    assert "metadata.jsonl: no such file" in complaint(folder)


def test_data_points_a_card_at_a_local_copy(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "task")
    copy = make_task(tmp_path / "copy", pair("q9"))
    assert {i.pair for i in dataset(folder, copy)} == {"q9"}
    assert "items.jsonl: no such file" in complaint(folder, tmp_path / "empty")


def test_data_points_a_hub_card_at_a_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It went to the hub all the same, and advised to download the data and pass --data.
    monkeypatch.setenv("RSBENCH_CACHE", str(tmp_path / "cache"))
    hub = {"hub": "nobody/nothing", "revision": "0" * 40, "split": "test"}
    folder = make_task(tmp_path / "task", card=mapped_card(hub))
    parquet_with_image(tmp_path / "copy" / "test-00000-of-00001.parquet", "red")
    assert pixel(dataset(folder, tmp_path / "copy")) == (255, 0, 0)
