"""Find the text files that say what to measure: tasks, judges, baselines, leaderboard.

In a wheel the shelves lie inside the package, at `rsbench/_shelves/<shelf>`; in a checkout they are the
top-level folders of the repository. Nothing else in rsbench knows the difference. The current folder is never
searched: a stray `tasks/` would silently change a benchmark.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsbench.types import UserError

SHELVES = ("tasks", "judges", "baselines", "leaderboard")
CARD_FILE = {"tasks": "task.yaml", "judges": "judge.yaml"}  # shelves whose entries are folders
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Found:
    """A card file and where it came from; travels to the manifest and the leaderboard row."""

    path: Path
    origin: str  # "builtin", "file", or the folder that overrode the built-in shelf
    sha256: str

    @property
    def folder(self) -> Path:
        """The folder that file names inside the card are relative to."""
        return self.path.parent


def builtin(shelf: str) -> Path:
    """Folder of one built-in shelf, in a checkout or in an installed wheel."""
    packed = _PACKAGE / "_shelves" / shelf
    return packed if packed.is_dir() else _PACKAGE.parent / shelf


def roots(shelf: str, extra: Sequence[Path] = ()) -> list[tuple[Path, str]]:
    """Folders of a shelf, each with its origin, in look-up order: `--shelf`, RSBENCH_PATH, built-in."""
    env = [Path(p) for p in os.environ.get("RSBENCH_PATH", "").split(os.pathsep) if p]
    return [(p / shelf, str(p)) for p in (*extra, *env)] + [(builtin(shelf), "builtin")]


def is_path(argument: str) -> bool:
    """Whether an argument is meant as a file path rather than as a name on a shelf."""
    return argument.startswith((".", "/", "~")) or argument.endswith((".yaml", ".yml"))


def find(shelf: str, argument: str, extra: Sequence[Path] = ()) -> Found:
    """Resolve a name on a shelf, or a file path.

    Raises:
        UserError: nothing there; lists the folders searched and the names on offer.
    """
    if is_path(argument):
        path = Path(argument).expanduser()
        path = path / CARD_FILE[shelf] if path.is_dir() and shelf in CARD_FILE else path
        if not path.is_file():
            raise UserError(
                f"{path}: no such file (an argument that starts with '.', '/', '~' or ends in .yaml is one)"
            )
        return found(path.resolve(), "file")
    for root, origin in roots(shelf, extra):
        path = _entry(root, shelf, argument)
        # A name may not climb out of its shelf.
        if _there(path) and path.resolve().is_relative_to(root.resolve()):
            return found(path.resolve(), origin)
    searched = "\n  ".join(str(root) for root, _ in roots(shelf, extra))
    known = ", ".join(name for name, _, _ in entries(shelf, extra)) or "none"
    here = (_entry(root, shelf, argument) for root in (Path(), Path(shelf)))
    hint = "".join(f"\nTo take the file here, name it as a path: ./{path}" for path in here if _there(path))
    raise UserError(f"No {argument!r} on the shelf '{shelf}'. Known: {known}. Looked in:\n  {searched}{hint}")


def _there(path: Path) -> bool:
    """Whether this is a file. What no file can be called (too long, a NUL) is none: rows name tasks too."""
    return os.path.isfile(path)  # unlike `Path.is_file`, which raises


def entries(shelf: str, extra: Sequence[Path] = ()) -> Iterator[tuple[str, Path, str]]:
    """Every entry of a shelf as (name, card file, origin); an earlier folder hides a later one's namesake."""
    seen: set[str] = set()
    for root, origin in roots(shelf, extra):
        pattern = f"*/{CARD_FILE[shelf]}" if shelf in CARD_FILE else "*.yaml"
        for path in sorted(root.glob(pattern)) if root.is_dir() else []:
            name = path.parent.name if shelf in CARD_FILE else path.stem
            if name not in seen:
                seen.add(name)
                yield name, path, origin


def found(path: Path, origin: str) -> Found:
    """Hash a card file that has been located."""
    return Found(path, origin, hashlib.sha256(path.read_bytes()).hexdigest())


def inside(folder: Path, relative: str) -> Path:
    """Resolve a file name written in a card; it must stay inside the card's folder.

    Raises:
        UserError: the name is absolute, leads out of the folder, or can't be a file name.
    """
    try:
        path = (folder / relative).resolve()
    except (ValueError, RuntimeError) as error:  # a null byte, a loop of symbolic links
        raise UserError(f"{relative!r} is no file name ({error})") from error
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{relative!r} leads out of {folder}; files of a card must lie in its folder")
    return path


def _entry(root: Path, shelf: str, name: str) -> Path:
    return root / name / CARD_FILE[shelf] if shelf in CARD_FILE else root / f"{name}.yaml"
