"""Build a model from what a user types: `tiny`, `openai/<model>`, `hf/<folder or hub id>`, a card's file.

Providers are imported when used, so that `--help` stays quick and an extra that is not installed costs
nothing.
"""

import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsbench.models.base import Model
from rsbench.models.cards import ModelCard, card_for
from rsbench.models.families import family_of
from rsbench.shelves import is_path
from rsbench.types import UserError

if TYPE_CHECKING:
    from rsbench.models.hf_loading import Checkpoint

_CARDS = ("config.json", "adapter_config.json")  # of a local checkpoint, and of an adapter

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"


@dataclass(frozen=True)
class LocalOptions:
    """Where and how a local model is opened; None is the default of `hf_loading`."""

    device: str | None = None
    devices: str | None = None
    device_map: str | None = None
    dtype: str | None = None
    adapter: str | None = None


@dataclass(frozen=True)
class ModelOptions:
    """How to reach a model. `api_key_env` names an environment variable; keys are never arguments.

    Without `calls`, as in a dry run, nothing is called, and no key is needed.
    """

    base_url: str | None = None
    api: str | None = None
    api_key_env: str | None = None
    timeout_s: float = 120.0
    max_connections: int = 32
    batch_size: int = 16
    revision: str | None = None
    local: LocalOptions = LocalOptions()
    calls: bool = True


def _refuse_local(name: str, options: ModelOptions) -> None:
    """An option that a server would silently ignore is an error: the user counts on it."""
    given = [f"--{key.replace('_', '-')}" for key, value in vars(options.local).items() if value]
    if given:
        raise UserError(f"--model {name}: {', '.join(given)} are for local models (hf, tiny)")


def _openai(name: str, rest: str, options: ModelOptions) -> Model:
    if not rest:
        raise UserError("--model openai/<model>: the name of the model is missing, e.g. openai/gpt-5-mini")
    _refuse_local(name, options)
    module = _import("rsbench.models.openai", "openai")
    model: Model = module.OpenAIModel(
        name=name,
        model_id=rest,
        base_url=options.base_url,
        api_key=_key(options, "OPENAI_API_KEY", _official(options.base_url, OPENAI_URL)),
        api=options.api or "chat",
        timeout_s=options.timeout_s,
        connections=options.max_connections,
        revision=options.revision,
    )
    return model


def _anthropic(name: str, rest: str, options: ModelOptions) -> Model:
    if not rest:
        raise UserError(
            "--model anthropic/<model>: the name of the model is missing, e.g. anthropic/claude-opus-4-7"
        )
    _refuse_local(name, options)
    module = _import("rsbench.models.anthropic", "anthropic")
    model: Model = module.AnthropicModel(
        name=name,
        model_id=rest,
        base_url=options.base_url,
        api_key=_key(options, "ANTHROPIC_API_KEY", _official(options.base_url, ANTHROPIC_URL)),
        timeout_s=options.timeout_s,
        connections=options.max_connections,
        revision=options.revision,
    )
    return model


def _hf(name: str, rest: str, options: ModelOptions) -> Model:
    if not rest:
        raise UserError("--model hf/<folder or hub id>: the checkpoint is missing, e.g. hf/./my-model")
    from rsbench.models.hf_loading import find_checkpoint

    local = options.local
    source = str(Path(rest).expanduser())
    if is_path(rest) and not Path(source).is_dir():
        raise UserError(f"--model {name}: no such folder: {rest}")
    if Path(source).is_dir() and not any((Path(source) / card).is_file() for card in _CARDS):
        raise UserError(f"--model {name}: no transformers checkpoint: {rest} holds no {' or '.join(_CARDS)}")
    found = find_checkpoint(source, options.revision, local.adapter, local.dtype, local.device_map)
    return _local(name, found, family_of(rest), options)


def _tiny(name: str, rest: str, options: ModelOptions) -> Model:
    from rsbench.models.hf_loading import TINY, find_checkpoint

    local = options.local
    found = find_checkpoint(str(TINY), None, local.adapter, local.dtype, local.device_map)
    return _local("tiny", found, "tiny", options)


def _local(name: str, checkpoint: "Checkpoint", family: str | None, options: ModelOptions) -> Model:
    from rsbench.models.hf import HFModel
    from rsbench.models.hf_loading import find_devices

    local = options.local
    devices = find_devices(local.device, local.devices, local.device_map)
    return HFModel(name, checkpoint, family, options.batch_size, devices)


def _mock(name: str, rest: str, options: ModelOptions) -> Model:
    from rsbench.models.mock import MockModel

    return MockModel(name, rest)


Builder = Callable[[str, str, ModelOptions], Model]
PROVIDERS: dict[str, tuple[Builder, str]] = {
    "tiny": (_tiny, "embedded model: a closed world of drawings, weak on purpose; the offline default"),
    "openai": (_openai, "openai/<model>: OpenAI, or any compatible server with --base-url"),
    "anthropic": (_anthropic, "anthropic/<model>: Anthropic, or a server with its Messages API"),
    "hf": (_hf, "hf/<folder or hub id>: a transformers checkpoint in this process"),
    "mock": (_mock, "scripted: answers from the items' authored paths, a file, or a function; for tests"),
}


def build(name: str, options: ModelOptions) -> Model:
    """Make the model a user named, by provider/model or by a card.

    Raises:
        UserError: a bad card, unknown provider, missing key or extra.
    """
    carded = card_for(name)
    if carded is None:
        provider, _, rest = name.partition("/")
        return _builder(provider, f"--model {name!r}")(name, rest, options)
    card, found = carded
    builder = _builder(card.backend, f"{found.path}: backend")
    # Built under the name it would have without a card: a card's name is part of no identity.
    typed = f"{card.backend}/{card.model}" if card.model else card.backend
    model = builder(typed, card.model, _with_card(options, card))
    model.name, model.family = card.name, card.family or model.family
    return model


def check_known(name: str) -> None:
    """Refuse a name that no provider goes by.

    Raises:
        UserError: with the providers there are.
    """
    if card_for(name) is None:
        _builder(name.partition("/")[0], f"--model {name!r}")


def is_mock(model: Model) -> bool:
    """Whether a model is scripted, whatever its card calls it."""
    return model.identity().get("provider") == "mock"


def in_process(account: str | None) -> bool:
    """Whether the model behind a limiter account lives in this process and fills its memory."""
    return account is not None and account.startswith("hf:")


def _builder(provider: str, where: str) -> Builder:
    if provider in PROVIDERS:
        return PROVIDERS[provider][0]
    outside = {entry.name: entry for entry in entry_points(group="rsbench.models")}
    if provider in outside:
        entry = outside[provider]
        try:
            builder: Builder = entry.load()
        except (ImportError, AttributeError) as error:
            raise UserError(f"{where}: the plug-in {entry.value} can't be imported: {error}") from error
        return builder
    known = ", ".join(sorted({*PROVIDERS, *outside}))
    form = " A name has the form provider/model." if where.startswith("--") else ""
    raise UserError(f"{where}: unknown provider {provider!r}. Known: {known}.{form}")


def _with_card(options: ModelOptions, card: ModelCard) -> ModelOptions:
    """What the user gave, else what the card says; but never the card's key to another server."""
    elsewhere = options.base_url not in (None, card.base_url)
    return replace(
        options,
        base_url=options.base_url or card.base_url,
        api=options.api or card.api,
        api_key_env=options.api_key_env or (None if elsewhere else card.api_key_env),
        revision=options.revision or card.revision,
    )


def _official(url: str | None, own: str) -> bool:
    """Whether a base URL is the provider's own, however its end is written."""
    return url is None or url.rstrip("/").removesuffix("/v1") == own.removesuffix("/v1")


def _key(options: ModelOptions, default_env: str, official: bool) -> str:
    """The key from the environment. A key is sent to another host only if its variable is named for it."""
    env = options.api_key_env or (default_env if official else None)
    if env is not None and not re.fullmatch(r"[A-Za-z_]\w*", env):
        raise UserError(
            "--api-key-env, and api_key_env in a card, is the name of an environment variable that holds the "
            "key. What was given is no such name; if it is a key, take it out of files and shell history."
        )
    if env is None or not options.calls:
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
