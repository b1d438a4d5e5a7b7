"""What the page that compares two rows is sent: exact numbers, few of them."""

import json
from pathlib import Path

import pytest

from rsbench.board_pairs import pair_data
from rsbench.board_rows import Entry
from rsbench.board_tables import tables
from rsbench.bootstrap import percentiles
from tests.board_rows import entry as board_entry
from tests.board_rows import outcomes, write_row


def row(folder: Path, name: str, seed: int) -> Entry:
    path = write_row(folder, name, outcomes(0.5, seed))
    return board_entry(path)


def test_numbers_travel_whole_and_each_once(tmp_path: Path) -> None:
    # Rounded to six places, sizes that were equal were not, and the sign-flip test missed its ties.
    entry = row(tmp_path, "one", 1)
    data, _ = pair_data(tables([entry]))
    sent = json.loads(json.dumps(data))["rows"][0]["values"]["step_safe"]
    assert [sent["numbers"][n] for n in sent["which"]] == entry.units["step_safe"].values.tolist()
    assert sent["numbers"] == sorted(set(sent["numbers"])) and 2 / 3 in sent["numbers"]


def test_intervals_have_the_percentiles_of_as_many_pairs_as_there_are(tmp_path: Path) -> None:
    data, _ = pair_data(tables([row(tmp_path, "one", 1)]))
    assert len(data["tails"]) == 19, "of two twin pairs to all twenty"
    for pairs, tail in enumerate(data["tails"], 2):
        assert (tail, 1 - tail) == pytest.approx(percentiles(pairs), abs=1e-6)
    assert pair_data([])[0]["tails"] == []
