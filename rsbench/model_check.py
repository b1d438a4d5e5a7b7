"""`rsbench check model`: one call with a drawn picture, and what of it came through.

Says what was seen, not what a model should be able to do: a text-only model passes, with "images: not seen".
"""

import asyncio
import hashlib
import io
import json

from rsbench.cards import Strict
from rsbench.images import EncodedImage
from rsbench.models import registry
from rsbench.models.base import GenParams, Message, Model, ProviderError, Request
from rsbench.models.cards import card_for, parameters_for
from rsbench.records import digest
from rsbench.terminal import out, plain
from rsbench.types import Reply, UserError

COLOUR = "green"  # of the disc; not the colour a model guesses first
ASK = (
    "A disc is drawn in the picture. Think step by step about what you see, then give its colour as one "
    'English word in a JSON object: {"colour": "…"}'
)


class Colour(Strict):
    """What the model is asked to write."""

    colour: str


def check_model(argument: str, base_url: str | None, api_key_env: str | None) -> None:
    """Call a model once and print what came through.

    Raises:
        UserError: a bad card, no key, or the call failed; with the provider's words.
    """
    model = registry.build(argument, registry.ModelOptions(base_url=base_url, api_key_env=api_key_env))
    request = Request(
        (Message("user", ASK, (_disc(),)),),
        parameters_for(argument, GenParams(seed=1)),
        digest("check model", argument),
        Colour.model_json_schema(),
    )
    reply = asyncio.run(_one_call(model, request, argument))
    console, carded = out(), card_for(argument)
    who = f"ok: {model.name} answered with status {reply.status} as {reply.model!r}"
    console.print(f"{who} in {reply.latency_s:.1f} s", markup=False, soft_wrap=True)
    for line in findings(model, request.params, reply):
        console.print(f"  {plain(line)}", markup=False, soft_wrap=True)
    if carded:
        console.print(f"  card: {carded[1].path} (sha256 {carded[1].sha256[:12]})", markup=False)


def findings(model: Model, params: GenParams, reply: Reply) -> list[str]:
    """One line for each thing that a run may count on."""
    usage = reply.usage
    thought = "" if usage.reasoning_tokens is None else f", {usage.reasoning_tokens} of them thinking"
    counts = f"{usage.input_tokens} tokens in, {usage.output_tokens} out{thought}"
    known = usage.input_tokens is not None and usage.output_tokens is not None
    seen = COLOUR in f"{reply.text} {reply.reasoning}".lower()
    return [
        f"images: {'seen' if seen else f'not seen (a {COLOUR} disc was drawn)'}",
        f"thinking: {_thinking(reply, params)}",
        f"seed: {_seed(model)}",
        f"structured output: {_structured(model, reply)}",
        f"usage: {counts if known else 'not reported'}",
        f"family: {model.family or 'unknown (state it in a model card, so that a judge can be independent)'}",
        f"text: {reply.text[:200]}",
        *([f"provider's words: {reply.error}"] if reply.error else []),
    ]


def _thinking(reply: Reply, params: GenParams) -> str:
    if reply.reasoning_kind != "none":
        return f"{reply.reasoning_kind} ({len(reply.reasoning)} characters)"
    if reply.usage.reasoning_tokens:
        return f"none shown, though {reply.usage.reasoning_tokens} tokens of it were counted"
    return "none" if params.reasoning_effort else "none (no reasoning effort was asked for)"


def _seed(model: Model) -> str:
    """Whether it is honoured can't be seen in one call."""
    sends = getattr(model, "sends_seed", None)  # only a provider over HTTP has to say
    return "not sent: this API has none" if sends is False else "sent"


def _structured(model: Model, reply: Reply) -> str:
    if getattr(model, "supports_schema", None) is False:
        return "not asked of this server; a judge's verdict is parsed from its text"
    try:
        Colour.model_validate(json.loads(reply.text))
    except ValueError:
        return "no; a judge's verdict is parsed from its text"
    return "yes (JSON of the shape that was asked for)"


async def _one_call(model: Model, request: Request, argument: str) -> Reply:
    try:
        return await model.generate(request)
    except ProviderError as error:
        raise UserError(f"{argument}: {error}") from error
    finally:
        await model.close()


def _disc() -> EncodedImage:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (448, 448), "white")
    ImageDraw.Draw(image).ellipse((96, 96, 352, 352), fill=COLOUR)
    data = io.BytesIO()
    image.save(data, "PNG")
    return EncodedImage(data.getvalue(), "image/png", hashlib.sha256(data.getvalue()).hexdigest())
