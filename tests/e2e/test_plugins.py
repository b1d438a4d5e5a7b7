"""Models and judges of an installed package, by name: the entry points rsbench.models and rsbench.judges."""

import json
from pathlib import Path

import pytest

from tests.cli import lines, main_, ok, scores, write_task

PLUGIN = """
from rsbench.models.mock import MockModel
from rsbench.types import AnswerLabel, StepLabel, Verdict


class Parrot(MockModel):
    def __init__(self, name, rest, options):
        super().__init__("mock")
        self.name, self.family, self._rest = name, "parrot", rest

    def identity(self):
        return {"provider": "parrot", "model": self._rest}


class Lenient:
    account, needs_reference = None, False

    def __init__(self, card, found):
        self.name, self._sha256 = card.name, found.sha256

    def identity(self):
        return {"card": self._sha256}

    async def judge(self, case):
        steps = tuple(StepLabel(n, "safe", "effective") for n, _ in enumerate(case.step_texts, 1))
        return Verdict("ok", steps, AnswerLabel("safe", "effective"), True)

    async def close(self): ...


class FromNought(Lenient):
    async def judge(self, case):
        steps = tuple(StepLabel(n, "safe", "effective") for n, _ in enumerate(case.step_texts))
        return Verdict("ok", steps, AnswerLabel("safe", "effective"), True, raw="as it was said")
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "plugged", n_pairs=1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed package: its module, and the metadata that pip would have written."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "parrots.py").write_text(PLUGIN, encoding="utf-8")
    info = folder / "parrots-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1.0\n")
    entries = "[rsbench.models]\nparrot = parrots:Parrot\nbroken = parrots:Absent\n"
    entries += "[rsbench.judges]\nlenient = parrots:Lenient\nnought = parrots:FromNought\n"
    (info / "entry_points.txt").write_text(entries)
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("installed")
def test_an_installed_packages_model_and_judge_are_used_by_name(tmp_path: Path, task: Path) -> None:
    args = ["run", "--model", "parrot/grey", "--task", task, "--judge", "lenient", "--out", "run"]
    done = ok(*args, cwd=tmp_path)
    assert "judge lenient" in done.out
    stored = json.loads((tmp_path / "run/manifest.json").read_text(encoding="utf-8"))
    assert stored["identity"]["model"] == {"name": "parrot/grey", "provider": "parrot", "model": "grey"}
    assert (stored["mock"], stored["identity"]["family"]) == (False, "parrot")
    assert "lenient" in stored["judges"]["lenient"]["card"]["origin"]
    path = tmp_path / "polly.yaml"
    path.write_text("{schema: 1, name: polly, backend: parrot, model: grey}")
    ok("run", "--model", path, "--task", task, "--judge", "lenient", "--out", "again", cwd=tmp_path)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("judge", ["nought", "nought,mock"])
def test_a_verdict_that_can_not_be_is_an_error_and_no_number(tmp_path: Path, task: Path, judge: str) -> None:
    args = ["run", "--model", "parrot/grey", "--task", task, "--judge", judge, "--out", "run"]
    done = main_(*args, cwd=tmp_path)
    why = "steps.0.index: 0; allowed are the numbers of the reply's steps"
    assert done.code == 3 and "INCOMPLETE" in done.out + done.err and why in " ".join(done.out.split())
    found = [v for v in lines(tmp_path / "run/verdicts.jsonl") if v["judge"] == "nought"]
    assert len(found) == 2 and all(why in v["error"] and v["raw"] == "as it was said" for v in found)
    assert {(v["status"], v["answer"], v["risk_identified"], len(v["steps"])) for v in found} == {
        ("error", None, None, 0)
    }
    numbers = scores(tmp_path / "run")
    assert numbers["counts"]["error"] == 2
    assert numbers["estimands"]["system"]["path_safe"]["value"] is None
    # Asked again, for another version of the package may do better.
    again = main_(*args, cwd=tmp_path)
    found = [v for v in lines(tmp_path / "run/verdicts.jsonl") if v["judge"] == "nought"]
    assert (again.code, len(found), len(lines(tmp_path / "run/replies.jsonl"))) == (3, 4, 2)


@pytest.mark.usefixtures("installed")
def test_installed_packages_are_listed_and_their_faults_told(tmp_path: Path, task: Path) -> None:
    assert "parrots:Parrot" in ok("list", "models", cwd=tmp_path).out
    assert "parrots:Lenient" in ok("list", "judges", cwd=tmp_path).out
    assert "ok: judge lenient" in ok("check", "judge", "lenient", cwd=tmp_path).out
    done = main_("run", "--model", "broken/x", "--task", task, "--judge", "lenient", cwd=tmp_path)
    assert (done.code, "parrots:Absent can't be imported" in done.err) == (2, True)
    done = main_("run", "--model", "absent/x", "--task", task, "--judge", "lenient", cwd=tmp_path)
    assert (done.code, "parrot" in done.err) == (2, True)
