"""Cards are found where they are said to be found, and nowhere else."""

from pathlib import Path

import pytest

from rsbench.shelves import builtin, entries, find, inside
from rsbench.types import UserError

NAME = "task.yaml"


def put(root: Path, name: str, text: str = "x: 1\n") -> Path:
    path = root / "tasks" / name / NAME
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_order_of_the_shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option, first, second = (put(tmp_path / name, "rsbench") for name in ("option", "first", "second"))
    monkeypatch.setenv("RSBENCH_PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    assert find("tasks", "rsbench", [tmp_path / "option"]).path == option
    assert find("tasks", "rsbench").path == first
    assert find("tasks", "rsbench").origin == str(tmp_path / "first")
    first.unlink()
    assert find("tasks", "rsbench").path == second
    monkeypatch.delenv("RSBENCH_PATH")
    assert find("tasks", "rsbench").origin == "builtin"
    assert [n for n, _, _ in entries("tasks", [tmp_path / "option"])].count("rsbench") == 1


def test_the_current_folder_is_no_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "rsbench")
    put(tmp_path, "stray")
    monkeypatch.chdir(tmp_path)
    assert find("tasks", "rsbench").path.is_relative_to(builtin("tasks"))
    with pytest.raises(UserError, match="No 'stray'"):
        find("tasks", "stray")
    for name in ("stray", "tasks/stray"):
        with pytest.raises(UserError, match=r"name it as a path: \./tasks/stray/task\.yaml$"):
            find("tasks", name)
    assert find("tasks", "./tasks/stray/task.yaml").origin == find("tasks", "./tasks/stray").origin == "file"
    with pytest.raises(UserError) as nowhere:
        find("tasks", "strai")
    assert "path" not in str(nowhere.value)


def test_the_hash_is_of_the_file(tmp_path: Path) -> None:
    one, other = put(tmp_path / "a", "t"), put(tmp_path / "b", "t", "x: 2\n")
    assert find("tasks", str(one)).sha256 != find("tasks", str(other)).sha256
    assert find("tasks", str(one)).sha256 == find("tasks", str(one.parent)).sha256


@pytest.mark.parametrize("name", ["t/../../../outside", "t/../../outside", "link"])
def test_a_name_does_not_climb_out_of_its_shelf(tmp_path: Path, name: str) -> None:
    put(tmp_path / "shelf", "t")
    (tmp_path / "shelf" / "outside").mkdir()
    (tmp_path / "shelf" / "outside" / NAME).write_text("x: 1\n")
    (tmp_path / "shelf" / "tasks" / "link").symlink_to(tmp_path / "shelf" / "outside")
    with pytest.raises(UserError, match="on the shelf"):
        find("tasks", name, [tmp_path / "shelf"])


@pytest.mark.parametrize("name", ["t" * 300, "a\0b"], ids=["long", "nul"])
def test_what_no_file_can_be_called_is_on_no_shelf(name: str) -> None:
    # A row names its task and its judge; such a name once ended the whole board's build in a traceback.
    with pytest.raises(UserError, match="on the shelf 'tasks'"):
        find("tasks", name)


@pytest.mark.parametrize("name", ["../a", "x/../../a", "/etc/hostname", "link/a", "out.png", "a\0b"])
def test_a_file_named_in_a_card_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "card"
    (folder / "x").mkdir(parents=True)
    (tmp_path / "a").write_text("")
    (folder / "link").symlink_to(tmp_path)
    (folder / "out.png").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match="leads out of|no file name"):
        inside(folder, name)


def test_a_link_within_the_folder_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert inside(tmp_path, "b") == inside(tmp_path, "x/../a") == (tmp_path / "a").resolve()
