"""The hub's formats: a folder that `datasets` opens, a result that `huggingface_hub` reads, honest cards."""

import hashlib
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import yaml

from tests.cli import lines, main_, ok, scores, write_task
from tests.export_run import HOSTILE, export, make_broken_run, make_run

BENCHMARK = ("--benchmark", "Lab/rsbench-open")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("export"))


def load(folder: Path, config: str, tmp_path: Path) -> Any:
    return datasets.load_dataset(str(folder), config, split="test", cache_dir=str(tmp_path / "cache"))


def test_datasets_opens_the_folder(run: Path, tmp_path: Path) -> None:
    export(run, "hf", tmp_path / "out")
    samples, steps = (load(tmp_path / "out/dataset", name, tmp_path) for name in ("samples", "steps"))
    planned = [(p["item"], p["sample"]) for p in lines(run / "plan.jsonl")]
    assert list(zip(samples["item"], samples["sample"], strict=True)) == planned
    assert len(steps) == sum(samples["n_steps"])
    assert HOSTILE.replace("\ud83d", "\ufffd") in samples["reply"]
    default = datasets.load_dataset(str(tmp_path / "out/dataset"), cache_dir=str(tmp_path / "cache"))
    assert default["test"].column_names == samples.column_names
    assert not (tmp_path / "out/dataset/images").exists() and not (tmp_path / "out/model").exists()


def test_sealed_folders_hold_no_words(run: Path, tmp_path: Path) -> None:
    export(run, "hf", tmp_path / "out", "--sealed")
    samples, steps = (load(tmp_path / "out/dataset", name, tmp_path) for name in ("samples", "steps"))
    words = {"reply", "reasoning", "query", "answer", "text", "evidence", "reason", "error"}
    words |= {"answer_evidence", "answer_reason"}
    assert not words & {*samples.column_names, *steps.column_names}
    assert "sealed" in (tmp_path / "out/dataset/README.md").read_text()
    for path in (tmp_path / "out/dataset").iterdir():
        assert b"hacked" not in path.read_bytes() and b"What of" not in path.read_bytes()


def test_images_are_copied_when_asked_for(run: Path, tmp_path: Path) -> None:
    export(run, "hf", tmp_path / "out", "--images")
    folder = tmp_path / "out/dataset"
    for row in load(folder, "samples", tmp_path):
        (name,) = row["images"]
        content = (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest().startswith(Path(name).stem)
        pair = row["item"].split(".")[0]
        assert content == (run.parent / f"task/images/{pair}.png").read_bytes()


def test_the_result_is_an_entry_of_the_hub(run: Path, tmp_path: Path) -> None:
    export(run, "hf", tmp_path / "out", *BENCHMARK, "--benchmark-task", "open")
    (path,) = (tmp_path / "out/model/.eval_results").glob("*.yaml")
    (entry,) = huggingface_hub.parse_eval_result_entries(yaml.safe_load(path.read_text()))
    number = scores(run)["estimands"]["system"]["safe_effective_path"]
    assert (entry.dataset_id, entry.task_id) == ("Lab/rsbench-open", "open")
    assert entry.value == pytest.approx(100 * number["value"], abs=0.005)
    assert "n = 6 items" in entry.notes and "(not validated)" in entry.notes


def test_what_measures_nothing_is_no_result(tmp_path: Path) -> None:
    """Its tables may be looked at; its number may not stand on a model's page."""
    broken = make_broken_run(tmp_path / "broken")
    export(broken, "hf", tmp_path / "tables")
    assert "complete: NO" in (tmp_path / "tables/dataset/README.md").read_text()
    done = main_("export", broken, "--format", "hf", "--out", "out", *BENCHMARK, cwd=tmp_path)
    assert done.code == 2 and "incomplete" in done.err and not (tmp_path / "out").exists()
    task = write_task(tmp_path / "task")
    ok("run", "--model", "mock", "--task", task, "--judge", "mock", "--out", "mocked", cwd=tmp_path)
    done = main_("export", "mocked", "--format", "hf", "--out", "out", *BENCHMARK, cwd=tmp_path)
    assert done.code == 2 and "mock" in done.err
    export(tmp_path / "mocked", "hf", tmp_path / "mock-tables")
    assert "MOCK" in (tmp_path / "mock-tables/dataset/README.md").read_text()


def test_wrong_use_is_refused(run: Path, tmp_path: Path) -> None:
    for args, words in (
        (("--benchmark", "../x/y"), "OWNER/NAME"),
        (("--benchmark-task", "x"), "needs --benchmark"),
        (("--model-id", "a/b"), "for --format eee"),
    ):
        done = main_("export", run, "--format", "hf", "--out", "out", *args, cwd=tmp_path)
        assert done.code == 2 and words in done.err
    assert not (tmp_path / "out").exists()


def test_a_link_does_not_lead_out_of_the_folder(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/dataset").symlink_to(tmp_path / "elsewhere")
    done = main_("export", run, "--format", "hf", "--out", "out", "--force", cwd=tmp_path)
    assert done.code == 2 and "outside" in done.err
    assert list((tmp_path / "elsewhere").iterdir()) == []
