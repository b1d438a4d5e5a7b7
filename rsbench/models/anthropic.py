"""Anthropic's Messages API, and servers that speak it: one attempt a call.

The official SDK sends and signs; `anthropic_replies` reads what comes back. Imports the SDK at the top,
because this module is itself imported only when a model of this provider is asked for.
"""

import os
from typing import Any

import anthropic
import httpx2

from rsbench.models.anthropic_batches import AnthropicBatches
from rsbench.models.anthropic_replies import read_failure, read_message
from rsbench.models.base import Message, Request
from rsbench.models.families import family_of
from rsbench.models.http_calls import Endpoint, StatusFailure, is_host, set_only
from rsbench.types import Reply, UserError

ANTHROPIC_URL = "https://api.anthropic.com"
EFFORTS = ("low", "medium", "high", "xhigh", "max")
LEAST_BUDGET = 1024  # tokens; the API refuses less
_TOOL = "reply"


class AnthropicModel:
    """A model behind the Messages API.

    Args:
        name: As the user typed it.
        model_id: As the server knows it.
        base_url: Up to where `/v1/messages` begins (a final `/v1` may stand there); None is Anthropic's own.
        api_key: Never part of an identity, a record or an error.
        timeout_s: Wall time of one whole call, connecting included.
        connections: Most connections held open.
        revision: Which version of the model the server runs, where its card says so; part of the identity.

    Raises:
        UserError: a base URL that is not http(s).
    """

    sends_seed = False  # the API has none
    supports_schema = True

    def __init__(
        self,
        name: str,
        model_id: str,
        base_url: str | None,
        api_key: str,
        timeout_s: float = 120.0,
        connections: int = 100,
        revision: str | None = None,
    ) -> None:
        url = (base_url or ANTHROPIC_URL).rstrip("/").removesuffix("/v1")
        self._endpoint = Endpoint("anthropic", url, api_key, timeout_s, "http://127.0.0.1:8000")
        self.name = name
        self.family = family_of(model_id)
        self.account = self._endpoint.account
        self._model_id = model_id
        self._revision = revision
        official = is_host(self._endpoint.host, "api.anthropic.com")
        self._client = _client(url, api_key, official, timeout_s, connections)

    def identity(self) -> dict[str, str]:
        """Model id and base URL, and the revision that a card claims."""
        known = {"provider": "anthropic", "model": self._model_id, "base_url": self._endpoint.url}
        return {**known, **({"revision": self._revision} if self._revision else {})}

    async def generate(self, request: Request) -> Reply:
        """One attempt. What the provider's filter stops is no error but a reply of status `refused`.

        Raises:
            ProviderError: of the kinds that its documentation names.
            UserError: a reasoning effort that the API does not have.
        """
        return await self._endpoint.reply(self._attempt(request), self._model_id)

    def batches(self) -> AnthropicBatches:
        """The provider's batch API, on the same client."""
        return AnthropicBatches(self._endpoint, self._client, self._model_id, self.body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, request: Request) -> Reply:
        try:
            raw = await self._endpoint.post(anthropic, self._client, "/v1/messages", self.body(request))
        except StatusFailure as failure:
            return read_failure(failure.status, failure.headers, failure.body)
        return read_message(raw, self._model_id)

    def body(self, request: Request) -> dict[str, Any]:
        """The JSON that one call sends. This API takes no seed, so none is sent."""
        params = request.params
        turns = [m for m in request.messages if m.role != "system"]
        body = {
            "model": self._model_id,
            "max_tokens": params.max_tokens,
            "messages": [{"role": m.role, "content": _content(m)} for m in turns],
            "system": "\n\n".join(m.text for m in request.messages if m.role == "system") or None,
            "temperature": params.temperature,
            "top_p": params.top_p,
            **_thinking(params.reasoning_effort, params.max_tokens),
        }
        # A forced tool excludes thinking (400); a verdict can be read from plain text too.
        if request.schema is not None and params.reasoning_effort in (None, "none"):
            say = "Give the whole reply as the input of this tool."
            body["tools"] = [{"name": _TOOL, "description": say, "input_schema": request.schema}]
            body["tool_choice"] = {"type": "tool", "name": _TOOL, "disable_parallel_tool_use": True}
        return set_only(body)


def _thinking(effort: str | None, max_tokens: int) -> dict[str, Any]:
    """An effort by name is adaptive thinking (Claude 4.6 and later), a number a budget in tokens (before).

    `display`: unasked, recent models leave the thinking out, and steps are what is measured.
    """
    if effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    if effort in EFFORTS:
        return {
            "thinking": {"type": "adaptive", "display": "summarized"},
            "output_config": {"effort": effort},
        }
    if not effort.isdecimal() or not LEAST_BUDGET <= int(effort) < max_tokens:
        raise UserError(
            f"reasoning effort {effort!r}: for Anthropic it is one of none, {', '.join(EFFORTS)}, or, for "
            f"models before Claude 4.6, a number of tokens from {LEAST_BUDGET} to below max_tokens "
            f"({max_tokens})"
        )
    return {"thinking": {"type": "enabled", "budget_tokens": int(effort), "display": "summarized"}}


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    sources = [
        {"type": "base64", "media_type": image.media_type, "data": image.base64} for image in message.images
    ]
    return [*({"type": "image", "source": s} for s in sources), {"type": "text", "text": message.text}]


def _client(
    url: str, api_key: str, official: bool, timeout_s: float, connections: int
) -> anthropic.AsyncAnthropic:
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    http = anthropic.DefaultAioHttpClient(limits=limits, timeout=timeout_s)  # why: see the OpenAI provider
    # The SDK adds ANTHROPIC_CUSTOM_HEADERS from the environment: no other server's business.
    extra = os.environ.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines()
    private = [line.partition(":")[0].strip() for line in extra]
    headers = {} if official else {name: anthropic.Omit() for name in private if name}
    return anthropic.AsyncAnthropic(
        api_key=api_key,
        base_url=url,
        max_retries=0,  # `rsbench.limits` is the one retry layer
        http_client=http,
        default_headers=headers,  # type: ignore[arg-type] # Omit is how the SDK itself drops a default header
    )
