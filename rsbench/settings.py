"""What a user asked for, and where its run folder lies when none was named.

Apart from `session`, which acts on it, so that the command line can say it without loading the engine.
"""

from dataclasses import dataclass
from pathlib import Path

from rsbench.budget import Caps
from rsbench.models.base import GenParams
from rsbench.models.registry import ModelOptions
from rsbench.score import slug
from rsbench.shelves import is_path


@dataclass(frozen=True)
class Settings:
    """What the user asked for, as the command line gave it."""

    model: str = "tiny"
    task: str = "rsbench"
    judge: str | None = None
    judge_model: str | None = None
    out: Path | None = None
    data: Path | None = None
    prompt: str = "default"
    subset: str | None = None
    limit: int | None = None
    seed: int = 0
    samples: int = 1
    params: GenParams = GenParams()
    hints: bool = True
    shelves: tuple[Path, ...] = ()
    model_options: ModelOptions = ModelOptions()
    judge_options: ModelOptions = ModelOptions()
    max_attempts: int = 6
    allow_change: bool = False
    allow_same_family: bool = False
    caps: Caps = Caps()
    dry_run: bool = False
    yes: bool = False


def default_out(settings: Settings) -> Path:
    """Run folder when none is named: the same settings find the same folder, so a repeat resumes."""
    model = Path(settings.model).stem if is_path(settings.model) else settings.model
    name = f"{slug(model)}-{slug(_task_name(settings.task))}"
    if settings.subset:
        name += f"-{slug(settings.subset)}"
    return Path("runs") / name


def _task_name(task: str) -> str:
    """A task's own name; for a file path the name of its folder, since every card is called task.yaml."""
    if not is_path(task):
        return task
    path = Path(task).expanduser().resolve()
    return path.name if path.is_dir() else path.parent.name
