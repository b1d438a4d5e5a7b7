"""Model cards: one YAML file that says how a model is reached, what it costs and how fast it may be asked.

A card changes nothing about whose replies they are: they carry the identity of backend, model, server and
revision, so that a new price or a nicer name asks for nothing again. Cards hold no keys, only the name of the
environment variable with the key.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Name, Strict, load, read_yaml
from rsbench.models.base import GenParams
from rsbench.shelves import Found, is_path
from rsbench.types import UserError

_REACH = ("base_url", "api_key_env", "api")  # keys that mean something only where there is a server
_LOCAL = ("hf", "mock", "tiny")

Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Parameters(Strict):
    """Generation parameters; the command line overrides them. One given as null is never sent."""

    max_tokens: Annotated[int, Field(ge=1)] = GenParams.max_tokens
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    reasoning_effort: str | None = None

    def stated(self) -> dict[str, Any]:
        """What the card says, and nothing that it leaves open."""
        return {key: getattr(self, key) for key in self.model_fields_set}


class BatchPrices(Strict):
    """What the same tokens cost through the provider's batch API."""

    input: Money
    output: Money


class Prices(Strict):
    """US dollars per million tokens. `cached_input` is for input read from the provider's cache."""

    input: Money
    output: Money
    cached_input: Money | None = None
    batch: BatchPrices | None = None
    currency: Literal["USD"] = "USD"

    def batched(self) -> "Prices":
        """What a call by batch costs; without a price of its own as much as any other: an upper bound."""
        return Prices(input=self.batch.input, output=self.batch.output) if self.batch else self


class ModelCard(Strict):
    """A model and how to reach it."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    backend: Annotated[str, Field(min_length=1)]  # a provider: openai, anthropic, hf, mock, tiny, a plug-in's
    model: str = ""  # as after the provider's name on the command line
    base_url: str | None = None
    api: Literal["chat", "responses"] | None = None
    api_key_env: str | None = None
    family: str | None = None
    revision: str | None = None
    parameters: Parameters = Parameters()
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    prices: Prices | None = None

    def model_post_init(self, context: object) -> None:
        """A key that the backend would ignore is an error: the user counts on it."""
        if self.backend in ("openai", "anthropic", "hf") and not self.model:
            raise ValueError(f"the backend {self.backend} needs the key 'model'")
        ignored = [key for key in _REACH if getattr(self, key) is not None and self.backend in _LOCAL]
        ignored += ["api"] if self.api and self.backend == "anthropic" else []
        ignored += ["revision"] if self.revision and self.backend in ("mock", "tiny") else []
        if ignored:
            raise ValueError(f"the backend {self.backend} has no {', '.join(ignored)}")


_CARD: TypeAdapter[ModelCard] = TypeAdapter(ModelCard)


def card_for(argument: str) -> tuple[ModelCard, Found] | None:
    """The card that `--model` or `--judge-model` names; None if it names a provider/model.

    Raises:
        UserError: a file that is not there, or is no model card.
    """
    if not is_path(argument):
        return None
    if not argument.endswith((".yaml", ".yml")):
        raise UserError(
            f"--model {argument!r}: a model card is a .yaml file; a checkpoint in a folder is hf/{argument}"
        )
    return load("models", argument, None, _CARD)


def is_model_card(argument: str) -> bool:
    """Whether an argument is the file of a model card, rather than of a judge's card or a name."""
    path = Path(argument).expanduser()
    if not argument.endswith((".yaml", ".yml")) or not path.is_file():
        return False
    data = read_yaml(path)
    return isinstance(data, dict) and "backend" in data


def provider_of(argument: str) -> str:
    """The provider behind `--model`: `openai` for `openai/gpt-x` and for a card with that backend."""
    carded = card_for(argument)
    return carded[0].backend if carded else argument.partition("/")[0]


def parameters_for(argument: str, base: GenParams, given: Mapping[str, Any] | None = None) -> GenParams:
    """Generation parameters of a model: `base`, over it what its card states, over that what the user gave.

    Args:
        argument: `--model` or `--judge-model`.
        base: For a judge, what its own card says.
        given: By name; None for what the user left open.
    """
    carded = card_for(argument)
    stated = carded[0].parameters.stated() if carded else {}
    asked = {key: value for key, value in (given or {}).items() if value is not None}
    return replace(base, **{**stated, **asked})
