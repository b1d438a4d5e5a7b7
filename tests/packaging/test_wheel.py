"""What a user gets: two import packages, the shelves inside the first, what git tracks and no more."""

import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELVES = ("tasks", "judges", "baselines", "leaderboard")
PREFIX = "rsbench/_shelves/"


def tracked(*folders: str) -> set[str]:
    """Files of these folders under version control, as they are committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if not (ROOT / ".git").exists():
        pytest.skip("what is shipped is compared with git's list: needs a clone")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_top_level(wheel: zipfile.ZipFile) -> None:
    # `tasks` or `judges` at the top would overwrite other projects' packages of these names.
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"rsbench", "srpo_train"}


def test_shelves_are_what_git_tracks(wheel: zipfile.ZipFile) -> None:
    packed = {name.removeprefix(PREFIX) for name in wheel.namelist() if name.startswith(PREFIX)}
    wanted = {
        name for name in tracked(*SHELVES) if not name.startswith(("leaderboard/site/", "leaderboard/rows/"))
    }
    assert packed == wanted
    assert "tasks/rsbench/task.yaml" in packed and "judges/llm/rubric.jinja" in packed


def test_packages_are_what_git_tracks(wheel: zipfile.ZipFile) -> None:
    inside = {n for n in wheel.namelist() if n.startswith(("rsbench/", "srpo_train/")) and PREFIX not in n}
    assert inside == tracked("rsbench", "srpo_train"), "modules, templates and the embedded model's weights"
    assert "rsbench/templates/task/task.yaml" in inside


def test_licence_and_notice_travel_along(wheel: zipfile.ZipFile) -> None:
    (info,) = {n.split("/")[0] for n in wheel.namelist() if ".dist-info/" in n}
    for name in ("LICENSE", "NOTICE"):
        assert wheel.read(f"{info}/licenses/{name}") == (ROOT / name).read_bytes()
    metadata = BytesParser().parsebytes(wheel.read(f"{info}/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert b"rsbench = rsbench.cli:main" in wheel.read(f"{info}/entry_points.txt")


def test_a_checkout_has_no_packed_shelves() -> None:
    # A copy left there by a build would be read in place of the shelves one edits.
    assert not (ROOT / "rsbench" / "_shelves").exists()
