"""What a user asked for, and where its run folder lies when none was named.

Apart from `session`, which acts on it, so that the command line can say it without loading the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsbench.budget import Caps
from rsbench.models.base import GenParams
from rsbench.models.cards import parameters_for
from rsbench.models.registry import LocalOptions, ModelOptions
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
    condition: str = "both"
    split: str | None = None
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
    batch: bool = False  # calls of the model under test
    judge_batch: bool = False
    batch_poll: float = 30.0
    dry_run: bool = False
    yes: bool = False


_AS_GIVEN = frozenset(
    "model task judge judge_model out data prompt condition split subset limit seed samples max_attempts "
    "allow_change allow_same_family batch_poll dry_run yes".split()
)
_SAMPLING = ("max_tokens", "temperature", "top_p", "reasoning_effort")
_SERVER = ("base_url", "api", "api_key_env", "revision")
_LOCAL = ("device", "devices", "device_map", "dtype", "adapter")


def from_options(given: Mapping[str, Any]) -> Settings:
    """The settings that a command's options say, by their names; an option a command lacks has its default.

    Raises:
        UserError: the model's card is no card.
    """
    limits = {"timeout_s": "timeout", "max_connections": "max_connections", "batch_size": "batch_size"}
    reach: dict[str, Any] = {field: given[option] for field, option in limits.items() if option in given}
    reach["calls"] = not given.get("dry_run", False)
    direct = {name: given[name] for name in _AS_GIVEN if name in given}
    server: dict[str, Any] = {name: given.get(name) for name in _SERVER}
    judge: dict[str, Any] = {name: given.get(f"judge_{name}") for name in ("base_url", "api_key_env")}
    local = LocalOptions(**{name: given.get(name) for name in _LOCAL})
    asked = {name: given.get(name) for name in _SAMPLING}
    return Settings(
        **direct,
        batch=given.get("batch", False),
        judge_batch=given.get("batch", False) or given.get("judge_batch", False),
        hints=not given.get("hint_blind", False),
        shelves=tuple(given.get("shelf") or ()),
        params=parameters_for(given["model"], GenParams(), asked) if "model" in given else GenParams(),
        model_options=ModelOptions(**server, **reach, local=local),
        judge_options=ModelOptions(**judge, **reach),
        caps=Caps(given.get("max_cost"), given.get("max_calls"), given.get("max_tokens_total")),
    )


def default_out(settings: Settings) -> Path:
    """Run folder when none is named: the same settings find the same folder, so a repeat resumes."""
    model = Path(settings.model).stem if is_path(settings.model) else settings.model
    name = f"{slug(model)}-{slug(_task_name(settings.task))}"
    if settings.split:
        name += f"-{slug(settings.split)}"
    if settings.subset:
        name += f"-{slug(settings.subset)}"
    if settings.condition != "both":
        name += f"-{slug(settings.condition)}"
    return Path("runs") / name


def _task_name(task: str) -> str:
    """A task's own name; for a file path the name of its folder, since every card is called task.yaml."""
    if not is_path(task):
        return task
    path = Path(task).expanduser().resolve()
    return path.name if path.is_dir() else path.parent.name
