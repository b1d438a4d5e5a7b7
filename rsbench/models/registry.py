"""Build a model from the name a user types, such as `tiny`, `openai/<model>` or `hf/<folder or hub id>`.

Providers are imported when used, so that `--help` stays quick and an extra that is not installed costs
nothing.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rsbench.models.base import Model
from rsbench.models.families import family_of
from rsbench.types import UserError

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class ModelOptions:
    """How to reach a model. `api_key_env` names an environment variable; keys are never arguments."""

    base_url: str | None = None
    api: str = "chat"
    api_key_env: str | None = None
    timeout_s: float = 120.0
    max_connections: int = 32
    batch_size: int = 16


def _openai(name: str, rest: str, options: ModelOptions) -> Model:
    if not rest:
        raise UserError("--model openai/<model>: the name of the model is missing, e.g. openai/gpt-5-mini")
    module = _import("rsbench.models.openai", "openai")
    model: Model = module.OpenAIModel(
        name=name,
        model_id=rest,
        base_url=options.base_url,
        api_key=_key(options, "OPENAI_API_KEY", options.base_url in (None, OPENAI_URL)),
        api=options.api,
        timeout_s=options.timeout_s,
        connections=options.max_connections,
    )
    return model


def _hf(name: str, rest: str, options: ModelOptions) -> Model:
    if not rest:
        raise UserError("--model hf/<folder or hub id>: the checkpoint is missing, e.g. hf/./my-model")
    from rsbench.models.hf import HFModel

    return HFModel(name, str(Path(rest).expanduser()), family_of(rest), options.batch_size)


def _tiny(name: str, rest: str, options: ModelOptions) -> Model:
    from rsbench.models.hf import TINY, HFModel

    return HFModel("tiny", str(TINY), "tiny", options.batch_size)


def _mock(name: str, rest: str, options: ModelOptions) -> Model:
    from rsbench.models.mock import MockModel

    return MockModel(name, rest)


Builder = Callable[[str, str, ModelOptions], Model]
PROVIDERS: dict[str, tuple[Builder, str]] = {
    "tiny": (_tiny, "embedded model: a closed world of drawings, weak on purpose; the offline default"),
    "openai": (_openai, "openai/<model>: OpenAI, or any compatible server with --base-url"),
    "hf": (_hf, "hf/<folder or hub id>: a transformers checkpoint in this process"),
    "mock": (_mock, "scripted: answers from the items' authored paths, a file, or a function; for tests"),
}


def build(name: str, options: ModelOptions) -> Model:
    """Make the model a user named.

    Raises:
        UserError: unknown provider, missing key or extra.
    """
    provider, _, rest = name.partition("/")
    if provider in PROVIDERS:
        return PROVIDERS[provider][0](name, rest, options)
    for entry in entry_points(group="rsbench.models"):
        if entry.name == provider:
            builder: Builder = entry.load()
            return builder(name, rest, options)
    known = ", ".join(sorted(PROVIDERS))
    raise UserError(f"--model {name!r}: unknown provider {provider!r}. Known: {known}. Form: provider/model")


def _key(options: ModelOptions, default_env: str, official: bool) -> str:
    """The key from the environment. A key is sent to another host only if its variable is named for it."""
    env = options.api_key_env or (default_env if official else None)
    if env is None:
        return "none"
    if not os.environ.get(env):
        raise UserError(f"The environment variable {env} is not set; it must hold the API key")
    return os.environ[env]


def _import(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"This provider needs the extra [{extra}]: pip install 'rsbench[{extra}]' ({error})"
        ) from error
