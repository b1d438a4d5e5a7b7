"""Who is told that going on without `--batch` pays for the same again."""

from pathlib import Path

import pytest

from rsbench.budget import Caller
from rsbench.records import digest
from rsbench.session import _warn_of_batches
from rsbench.spending import MODEL
from rsbench.store import RunFolder
from rsbench.types import FINAL_BATCH

LIVE, BATCH = Caller(None, True), Caller(None, True, batch=True)


@pytest.mark.parametrize(
    ("callers", "told"),
    [
        ({MODEL: LIVE, "panel": LIVE}, 3),
        ({MODEL: BATCH, "panel": LIVE}, 1),
        ({"panel": LIVE}, 1),  # `rsbench judge` asks no model, whatever a model's batch is worth
        ({"one": BATCH, "other": LIVE}, 0),  # a panel's batch is picked up if any member goes by batch
        ({MODEL: LIVE, "one": BATCH, "other": LIVE}, 2),
        ({}, 0),
    ],
)
def test_whoever_is_asked_live_now_is_told_of_the_batches(
    tmp_path: Path, callers: dict[str, Caller], told: int
) -> None:
    listed = RunFolder(tmp_path).batches(FINAL_BATCH).open()
    for who, count in ((MODEL, 2), ("panel", 1)):
        requests = [f"{who} {n}" for n in range(count)]
        listed.append(
            {"schema": 1, "key": digest(who), "who": who, "requests": requests, "status": "submitted"}
        )
    listed.close()
    said: list[str] = []
    _warn_of_batches(tmp_path, "panel", callers, said.append)
    assert [int(words.split()[0]) for words in said] == ([told] if told else [])
