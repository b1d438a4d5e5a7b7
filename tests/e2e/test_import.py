"""`rsbench import`: replies made elsewhere, planned, judged and scored as if they had been made here."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli import Done, everything, lines, main_, ok, scores, write_task
from tests.servers import FakeOpenAI

ITEMS = ("p0.risky", "p0.benign", "p1.risky", "p1.benign")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "imported", n_pairs=2)


def good(item: str) -> str:
    """The item's reference path, as a model would write it."""
    steps = [
        f"Step {n}: The {role} of {item} is plain." for n, role in enumerate(("perception", "request"), 1)
    ]
    return "\n".join([*steps, f"Answer: A good answer to {item}."])


def rows(*items: str, **keys: object) -> list[dict[str, Any]]:
    return [{"item": item, "text": good(item), **keys} for item in items]


def write(folder: Path, content: list[dict[str, Any]]) -> Path:
    path = folder / "replies.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")
    return path


def import_(folder: Path, task: Path, path: Path, *args: object) -> Done:
    given: list[object] = ["import", path, "--model-name", "org/gpt-x", "--task", task, "--out", "run"]
    return main_(*given, *(args or ("--judge", "mock")), cwd=folder)


def wrong(folder: Path, task: Path, content: list[dict[str, Any]]) -> str:
    done = import_(folder, task, write(folder, content))
    assert done.code == 2
    assert not (folder / "run").exists()
    return done.err


def test_a_summary_of_a_chain_is_not_compared_with_a_chain(tmp_path: Path, task: Path) -> None:
    for name, more in {"full": {}, "also": {}, "digest": {"reasoning_kind": "summary"}}.items():
        said = [{**row, "reasoning": f"In short, as {name} has it.", **more} for row in rows(*ITEMS)]
        import_(tmp_path, task, write(tmp_path, said), "--judge", "mock", "--out", name)
    refused = main_("compare", "full", "digest", cwd=tmp_path)
    assert refused.code == 2 and "chain: 'full' and 'summary'" in refused.err
    said = ok("compare", "full", "also", cwd=tmp_path).out
    assert "SafeEffectivePath" in said and "INCOMPLETE" not in said


def test_a_comparison_with_an_incomplete_run_says_so(tmp_path: Path, task: Path) -> None:
    for name, items in (("whole", ITEMS), ("part", ITEMS[:3])):
        import_(tmp_path, task, write(tmp_path, rows(*items)), "--judge", "mock", "--out", name)
    said = ok("compare", "whole", "part", cwd=tmp_path).out
    assert "INCOMPLETE: part: 25.0% of its samples ended as error, unparsed or missing" in said
    assert "INCOMPLETE: whole" not in said


def test_imported_replies_are_judged_and_scored_like_any(tmp_path: Path, task: Path) -> None:
    path = write(tmp_path, rows(*ITEMS))
    done = import_(tmp_path, task, path)
    assert done.code == 0, done.err
    assert "org/gpt-x on imported" in done.out
    stored = json.loads((tmp_path / "run/manifest.json").read_text(encoding="utf-8"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    model = {"name": "org/gpt-x", "provider": "import", "model": "org/gpt-x", "sha256": sha256}
    assert (stored["identity"]["model"], stored["identity"]["family"]) == (model, "gpt")
    assert scores(tmp_path / "run")["counts"]["ok"] == 4
    # What follows a run follows an import too.
    ok("score", "run", cwd=tmp_path)
    ok("show", "run", "--item", "p0.risky", cwd=tmp_path)
    ok("judge", "run", "--judge", "overlap", cwd=tmp_path)


def test_what_a_line_may_say_besides_its_text(tmp_path: Path, task: Path) -> None:
    words = "Step 1: Two\u2028lines.\nStep 2: No more."  # U+2028 ends no line of the file
    content = [
        {"item": "p0.risky", "text": "Yes.", "reasoning": words, "model": "gpt-x-2026"},
        {"item": "p0.risky", "text": "Yes.", "sample": 2, "reasoning": words, "reasoning_kind": "summary"},
        {"item": "p0.risky", "text": "", "sample": 1},
        {"item": "p0.benign", "text": "cut of", "status": "truncated"},
        {"item": "p0.benign", "text": "", "sample": 1, "status": "refused"},
    ]
    content += [{**row, "sample": n} for row in rows("p1.risky", "p1.benign") for n in (0, 1, 2)]
    content += [{**row, "sample": 2} for row in rows("p0.benign")]
    done = import_(tmp_path, task, write(tmp_path, content))
    assert done.code == 0, done.err
    records = {(r["item"], r["sample"]): r for r in lines(tmp_path / "run/replies.jsonl")}
    first = records["p0.risky", 0]
    assert (first["reasoning"], first["reasoning_kind"], first["model"]) == (words, "full", "gpt-x-2026")
    assert records["p0.risky", 2]["reasoning_kind"] == "summary"
    statuses = [records[key]["status"] for key in (("p0.risky", 1), ("p0.benign", 0), ("p0.benign", 1))]
    assert statuses == ["empty", "truncated", "refused"]
    assert records["p1.risky", 1]["model"] == "org/gpt-x"


def test_items_without_a_line_are_missing_and_make_it_incomplete(tmp_path: Path, task: Path) -> None:
    done = import_(tmp_path, task, write(tmp_path, rows(*ITEMS[:3])))
    assert (done.code, scores(tmp_path / "run")["counts"]["missing"]) == (3, 1)
    assert "Samples without a line stay missing" in done.err


def test_a_real_judge_is_asked_once_and_not_again(tmp_path: Path, task: Path) -> None:
    path = write(tmp_path, rows(*ITEMS))
    with FakeOpenAI() as server:
        judge = ["--judge", "openai/qwen-judge", "--judge-base-url", server.url]
        assert import_(tmp_path, task, path, *judge).code == 0
        assert import_(tmp_path, task, path, *judge).code == 0
        assert [seen.model for seen in server.requests] == ["qwen-judge"] * 4


def test_another_file_is_another_run(tmp_path: Path, task: Path) -> None:
    import_(tmp_path, task, write(tmp_path, rows(*ITEMS)))
    before = everything(tmp_path / "run")
    done = import_(tmp_path, task, write(tmp_path, rows(*ITEMS[:3])))
    assert (done.code, "model.sha256: was" in done.err) == (2, True)
    assert everything(tmp_path / "run") == before


def test_imported_replies_have_no_default_judge_and_none_of_their_family(tmp_path: Path, task: Path) -> None:
    path = write(tmp_path, rows(*ITEMS))
    done = import_(tmp_path, task, path, "--hint-blind")
    assert (done.code, "needs a --judge" in done.err) == (2, True)
    done = import_(
        tmp_path, task, path, "--judge", "openai/gpt-y", "--judge-base-url", "http://127.0.0.1:9/v1"
    )
    assert (done.code, "own family (gpt)" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([*rows(*ITEMS), *rows("p7.risky")], "replies.jsonl:5: task 'imported' has no item 'p7.risky'"),
        (
            rows("p0.risky", "p1.risky", "p0.risky"),
            "replies.jsonl:3: item 'p0.risky', sample 0 is there already, in",
        ),
        (rows("p0.risky", sample=10**9), "replies.jsonl:1: sample 1000000000"),
        (rows("p0.risky", status="fine"), "replies.jsonl:1:\n  status:"),
        (
            [{"item": "p0.risky", "text": " ", "status": "ok"}],
            "jsonl:1: status is 'ok', but text and",
        ),
        (rows("p0.risky", txt="x"), "replies.jsonl:1:\n  txt: unknown key"),
        ([{"item": "p0.risky"}], "replies.jsonl:1:\n  text: missing, and required"),
        ([], "no replies in it"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_made(
    tmp_path: Path, task: Path, content: list[dict[str, Any]], says: str
) -> None:
    assert says in wrong(tmp_path, task, content)


def test_a_file_that_is_no_json_lines_is_told(tmp_path: Path, task: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text('{"item": "p0.risky", "text": "x"}\n\n{"item": \n', encoding="utf-8")
    assert "replies.jsonl:3: not JSON" in import_(tmp_path, task, path).err
    assert "can't be read" in import_(tmp_path, task, tmp_path / "absent.jsonl").err
