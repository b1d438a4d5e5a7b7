"""Rows: what a run exports can be recomputed by a stranger, and anything else is refused with the reason."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from rsbench.metrics import score_outcomes
from rsbench.records import digest
from rsbench.row_check import check_row
from rsbench.row_labels import read_labels
from rsbench.row_texts import as_text, chain_visibility, read_texts, text_lines
from rsbench.rows import RECOMPUTED, Claims, json_schema, make_row, rows_in
from rsbench.score import SEED
from rsbench.store import RunFolder
from rsbench.types import UserError
from tests.cli import JUDGE, MODEL, main_, ok, remote, write_task
from tests.servers import FakeOpenAI, Fault, Rule

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of a model and a judge behind a local server."""
    folder = tmp_path_factory.mktemp("rows")
    with FakeOpenAI() as server:
        ok(*remote(server.url, write_task(folder / "task"), "run"), cwd=folder)
    return folder / "run"


def test_a_row_is_made_and_checked_by_the_command_line(finished: Path, tmp_path: Path) -> None:
    ok("leaderboard", "add", finished, "--out", tmp_path, cwd=tmp_path)
    row = next(tmp_path.glob("*.json"))
    assert "recomputed" in ok("check", "row", row, cwd=tmp_path).out
    scores = json.loads(next((finished / "scores").glob("*.json")).read_text())
    assert json.loads(row.read_text())["estimands"] == scores["estimands"]


def test_a_row_that_was_added_is_not_checked_again_by_a_build(finished: Path, tmp_path: Path) -> None:
    env = {"RSBENCH_CACHE": str(tmp_path / "kept")}
    build = ("leaderboard", "build", "--rows", "rows", "--out", "site")
    ok("leaderboard", "add", finished, "--out", "rows", cwd=tmp_path, **env)
    said = ok(*build, cwd=tmp_path, **env).out
    assert "1 rows in 1 tables (1 checked before, and the same since)" in said
    (row,) = rows_in(tmp_path / "rows")
    (row.with_name(f"{row.stem}.labels.jsonl")).write_text("")
    assert main_(*build, cwd=tmp_path, **env).code != 0, "kept for those bytes alone"


def test_labels_hold_no_text_of_the_model(finished: Path, tmp_path: Path) -> None:
    # Sealed rows exist so that harmful generations need not be spread;
    # evidence quotes them, and so may a reason.
    row = make_row(RunFolder(finished), None, tmp_path, Claims(sealed=True))
    labels = (tmp_path / f"{row.stem}.labels.jsonl").read_text()
    assert "evidence" not in labels and "reason" not in labels
    assert "It begins with" in (finished / "verdicts.jsonl").read_text(), "the judge gave some"
    assert check_row(row).standing == "self-reported"


def test_an_edited_number_is_refused(finished: Path, tmp_path: Path) -> None:
    row = make_row(RunFolder(finished), None, tmp_path)
    data = json.loads(row.read_text())
    data["estimands"]["system"]["safe_effective_path"]["value"] = 0.99
    row.write_text(json.dumps(data))
    with pytest.raises(UserError, match="digest"):
        check_row(row)


def test_a_forged_digest_does_not_help(finished: Path, tmp_path: Path) -> None:
    row = make_row(RunFolder(finished), None, tmp_path)
    data = json.loads(row.read_text())
    data["estimands"]["system"]["safe_effective_path"]["value"] = 0.99
    data["digest"] = digest({key: value for key, value in data.items() if key != "digest"})
    row.write_text(json.dumps(data))
    with pytest.raises(UserError, match="not what its labels give"):
        check_row(row)


def test_forged_labels_do_not_help(finished: Path, tmp_path: Path) -> None:
    """Labels, their hash and the digest all changed together: then the numbers are not the labels'."""
    row = make_row(RunFolder(finished), None, tmp_path)
    labels = tmp_path / f"{row.stem}.labels.jsonl"
    for forged, words in (
        (labels.read_text().replace('"safe"', '"unsafe"'), "not what its labels give"),
        (labels.read_text() + "{", "labels.jsonl:7: not JSON"),
        (labels.read_text().replace('"kind": "risky"', '"kind": "fine"', 1), "labels.jsonl:"),
    ):
        labels.write_text(forged)
        data = json.loads(row.read_text())
        data["labels"]["sha256"] = hashlib.sha256(forged.encode()).hexdigest()
        data["digest"] = digest({key: value for key, value in data.items() if key != "digest"})
        row.write_text(json.dumps(data))
        with pytest.raises(UserError, match=words):
            check_row(row)


def test_twin_pairs_are_recomputed_from_the_labels(finished: Path, tmp_path: Path) -> None:
    """A row whose labels are of other pairs has other pair numbers, and is refused."""
    row = make_row(RunFolder(finished), None, tmp_path)
    labels = tmp_path / f"{row.stem}.labels.jsonl"
    lines = [json.loads(line) for line in labels.read_text().splitlines()]
    assert {line["pair"] for line in lines} == {"p0", "p1", "p2"}
    forged = labels.read_text().replace('"pair": "p1"', '"pair": "p0"')
    labels.write_text(forged)
    data = json.loads(row.read_text())
    data["labels"]["sha256"] = hashlib.sha256(forged.encode()).hexdigest()
    data["digest"] = digest({key: value for key, value in data.items() if key != "digest"})
    row.write_text(json.dumps(data))
    with pytest.raises(UserError, match="not what its labels give"):
        check_row(row)


def test_a_row_says_what_was_measured_with_what(finished: Path, tmp_path: Path) -> None:
    data = json.loads(make_row(RunFolder(finished), None, tmp_path).read_text())
    manifest = json.loads((finished / "manifest.json").read_text())
    (name,) = manifest["judges"]
    assert data["task"]["sha256"] == manifest["cards"]["task"]["sha256"]
    assert data["task"]["data"] == manifest["identity"]["data"]
    assert (data["task"]["condition"], data["task"]["prompt"]) == ("both", "default")
    assert data["task"]["prompt_sha256"] == manifest["identity"]["prompt"]["sha256"]
    assert data["judge"]["identity"] == manifest["judges"][name]["identity"]
    assert data["judge"]["validation"] is None and data["judge"]["same_family"] is False
    assert data["model"]["identity"]["model"] == MODEL and data["model"]["family"] == "gpt"
    assert data["model"]["parameters"] == manifest["identity"]["parameters"]
    assert data["model"]["chain_visibility"] == "full"
    assert set(data["estimands"]) == {"system", "model"}
    assert data["counts"]["ok"] == 6 and data["versions"]["rsbench"] == manifest["rsbench"]["version"]


def test_changed_or_missing_labels_are_refused(finished: Path, tmp_path: Path) -> None:
    row = make_row(RunFolder(finished), None, tmp_path)
    labels = tmp_path / f"{row.stem}.labels.jsonl"
    labels.write_text(labels.read_text().replace('"safe"', '"unsafe"', 1))
    with pytest.raises(UserError, match="sha256"):
        check_row(row)
    labels.unlink()
    with pytest.raises(UserError, match="missing"):
        check_row(row)


@pytest.mark.parametrize(
    "given", [("--recipe", "srpo"), ("--recipe", "srpo", "--base", "b"), ("--training-seed", "3")]
)
def test_half_a_training_is_refused(finished: Path, tmp_path: Path, given: tuple[str, ...]) -> None:
    # A seed that nobody gave would be shown as 0, and three of them as one training made three times.
    done = main_("leaderboard", "add", finished, "--out", tmp_path / "rows", *given, cwd=tmp_path)
    assert done.code == 2 and "--recipe, --base and --training-seed go together" in done.err
    assert not (tmp_path / "rows").exists()


def test_a_mock_run_is_no_row(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")
    ok("run", "--model", "mock", "--judge", "mock", "--task", task, "--out", "run", cwd=tmp_path)
    refused = main_("leaderboard", "add", "run", "--out", "rows", cwd=tmp_path)
    assert refused.code == 2
    assert "mock" in refused.err
    assert not (tmp_path / "rows").exists()


def test_an_incomplete_run_is_no_row(tmp_path: Path) -> None:
    with FakeOpenAI(rules=[Rule(Fault.status(500))]) as server:
        run = main_(
            *remote(server.url, write_task(tmp_path / "task"), "run"), "--max-attempts", 1, cwd=tmp_path
        )
    assert run.code == 3
    refused = main_("leaderboard", "add", "run", "--out", "rows", cwd=tmp_path)
    assert refused.code == 2
    assert "incomplete" in refused.err


def test_the_committed_schema_is_the_models_own() -> None:
    stored = json.loads((ROOT / "leaderboard" / "row.schema.json").read_text())
    assert stored == json_schema()


@pytest.mark.slow  # the gate's `leaderboard build --no-cache` checks them all
def test_every_committed_row_is_sound() -> None:
    for path in rows_in(ROOT / "leaderboard" / "rows"):
        check_row(path)


def test_open_transcripts_can_be_judged_again(finished: Path, tmp_path: Path) -> None:
    ok("leaderboard", "add", finished, "--out", "rows", "--weights", "closed", cwd=tmp_path)
    (path,) = rows_in(tmp_path / "rows")
    row = check_row(path)
    assert (row.standing, row.transcripts, row.model.weights) == ("recomputed", "open", "closed")
    texts = path.with_name(f"{path.stem}.transcripts.jsonl")
    with FakeOpenAI() as server:
        again = (*remote(server.url, finished.parent / "task", "again")[3:], "--model-name", MODEL)
        url = again.index("--base-url")
        ok("import", texts, *again[:url], *again[url + 2 :], cwd=tmp_path)
        assert all(seen.model == JUDGE for seen in server.requests), "the model's words were all there"
    ok("leaderboard", "add", "again", "--rejudged", "--out", "again-rows", cwd=tmp_path)
    (other,) = rows_in(tmp_path / "again-rows")
    assert check_row(other).standing == "re-judged"
    assert check_row(other).counts == row.counts


def test_sealed_rows_commit_to_words_they_do_not_show(finished: Path, tmp_path: Path) -> None:
    shown = make_row(RunFolder(finished), None, tmp_path / "open")
    sealed = make_row(RunFolder(finished), None, tmp_path / "sealed", Claims(sealed=True))
    assert not list(sealed.parent.glob("*.transcripts.jsonl"))
    assert check_row(sealed).replies.sha256 == check_row(shown).replies.sha256
    assert (
        check_row(make_row(RunFolder(finished), None, tmp_path / "x", Claims(True, True))).standing
        == "re-judged"
    )


def test_a_reply_can_not_hide_its_steps(finished: Path, tmp_path: Path) -> None:
    # An `ok` reply without steps is left out of path metrics: the worst replies would count for nothing.
    path = make_row(RunFolder(finished), None, tmp_path)
    labels = path.with_name(f"{path.stem}.labels.jsonl")
    first, *rest = labels.read_text().splitlines()
    hidden = json.dumps(json.loads(first) | {"n_steps": 0, "steps": []})
    labels.write_text("\n".join([hidden, *rest]) + "\n")
    found = list(read_labels(labels, labels.read_bytes()))
    numbers = json.loads(json.dumps(score_outcomes(found, SEED)))
    known = json.loads(path.read_text())["labels"]
    sha256 = hashlib.sha256(labels.read_bytes()).hexdigest()
    forged(path, labels=known | {"sha256": sha256}, **{key: numbers[key] for key in RECOMPUTED})
    with pytest.raises(UserError, match="has 3 steps, but 0 in the labels"):
        check_row(path)


def test_digests_of_reasoning_stay_digests_when_they_are_judged_again(finished: Path, tmp_path: Path) -> None:
    # Else the row of a maintainer, who judged the published words anew, would stand among whole chains.
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    said = [json.loads(line) for line in (run / "replies.jsonl").read_text().splitlines()]
    (run / "replies.jsonl").write_text(
        "".join(
            json.dumps(one | {"reasoning": "In short.", "reasoning_kind": "summary"}) + "\n" for one in said
        )
    )
    texts = tmp_path / "said.transcripts.jsonl"
    texts.write_bytes(as_text(text_lines(RunFolder(run))))
    assert {reply.reasoning_kind for reply in read_texts(texts).values()} == {"summary"}
    assert chain_visibility(RunFolder(run)) == "summary" != chain_visibility(RunFolder(finished))


def forged(path: Path, **changes: object) -> Path:
    data = json.loads(path.read_text()) | changes
    data["digest"] = digest({key: value for key, value in data.items() if key != "digest"})
    path.write_text(json.dumps(data))
    return path


def test_a_sealed_row_cannot_call_itself_recomputed(finished: Path, tmp_path: Path) -> None:
    path = forged(make_row(RunFolder(finished), None, tmp_path, Claims(sealed=True)), standing="recomputed")
    with pytest.raises(UserError, match="does not go with sealed"):
        check_row(path)


def test_transcripts_must_be_those_that_were_judged(finished: Path, tmp_path: Path) -> None:
    path = make_row(RunFolder(finished), None, tmp_path)
    texts = path.with_name(f"{path.stem}.transcripts.jsonl")
    whole = texts.read_bytes()
    first, *rest = whole.splitlines(keepends=True)
    swapped = json.loads(first) | {"text": "Step 1: One step alone.\nAnswer: Words."}
    for content, message in (
        (b"".join(rest), "labels and no words"),
        (whole + first.replace(b'"sample": 0', b'"sample": 1'), "not in the row's labels"),
        (json.dumps(swapped).encode() + b"\n" + b"".join(rest), "has 1 steps"),
        (first.replace(b'"ok"', b'"truncated"') + b"".join(rest), "has status 'truncated'"),
    ):
        texts.write_bytes(content)
        with pytest.raises(UserError, match="sha256"):
            check_row(path)
        known = json.loads(path.read_text())["replies"]
        forged(path, replies=known | {"sha256": hashlib.sha256(content).hexdigest()})
        with pytest.raises(UserError, match=message):
            check_row(path)
        forged(path, replies=known)
