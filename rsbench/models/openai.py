"""OpenAI and any compatible server: chat completions and responses, one attempt a call.

The official SDK sends and signs; `openai_replies` reads what comes back. Imports the SDK at the top, because
this module is itself imported only when a model of this provider is asked for.
"""

from typing import Any

import httpx2
import openai

from rsbench.models.base import Message, ProviderError, Request
from rsbench.models.families import family_of
from rsbench.models.http_calls import Endpoint, StatusFailure, is_host, set_only
from rsbench.models.openai_batches import OpenAIBatches
from rsbench.models.openai_replies import read_chat, read_failure, read_response
from rsbench.types import Reply, UserError

OPENAI_URL = "https://api.openai.com/v1"


class OpenAIModel:
    """A model behind an OpenAI-shaped API.

    Args:
        name: As the user typed it.
        model_id: As the server knows it.
        base_url: Up to and including the version, such as `http://127.0.0.1:8000/v1`; None is OpenAI's own.
        api_key: Sent as a bearer token; never part of an identity, a record or an error.
        api: "chat" (chat completions) or "responses".
        timeout_s: Wall time of one whole call, connecting included.
        connections: Most connections held open.
        token_param: Name of the length limit in chat completions. None: `max_completion_tokens` for OpenAI,
            `max_tokens` for other servers.
        supports_schema: Whether a request's schema is sent. None: to OpenAI only, because a server that
            doesn't know the field answers 400; without it a judge's reply is parsed tolerantly.
        revision: Which version of the model the server runs, where its card says so; part of the identity.

    Raises:
        UserError: unknown `api`, or a base URL that is not http(s).
    """

    def __init__(
        self,
        name: str,
        model_id: str,
        base_url: str | None,
        api_key: str,
        api: str = "chat",
        timeout_s: float = 120.0,
        connections: int = 100,
        token_param: str | None = None,
        supports_schema: bool | None = None,
        revision: str | None = None,
    ) -> None:
        if api not in ("chat", "responses"):
            raise UserError(f"The OpenAI provider has no API {api!r}; allowed: chat, responses")
        url = (base_url or OPENAI_URL).rstrip("/")
        self._endpoint = Endpoint("openai", url, api_key, timeout_s, "http://127.0.0.1:8000/v1")
        official = is_host(self._endpoint.host, "api.openai.com")
        self.name = name
        self.family = family_of(model_id)
        self.account = self._endpoint.account
        self.supports_schema = official if supports_schema is None else supports_schema
        self.sends_seed = api == "chat"  # the responses API takes none
        self._token_param = token_param or ("max_completion_tokens" if official else "max_tokens")
        self._model_id = model_id
        self._api = api
        self._revision = revision
        self._client = _client(url, api_key, official, timeout_s, connections)

    def identity(self) -> dict[str, str]:
        """Model id, base URL and API, and the revision that a card claims: a server's can't be known."""
        known = {"provider": "openai", "model": self._model_id, "base_url": self._endpoint.url}
        return {**known, "api": self._api, **({"revision": self._revision} if self._revision else {})}

    async def generate(self, request: Request) -> Reply:
        """One attempt. What the provider's filter stops is no error but a reply of status `refused`.

        Raises:
            ProviderError: of the kinds that its documentation names.
        """
        return await self._endpoint.reply(self._attempt(request), self._model_id)

    def batches(self) -> OpenAIBatches:
        """The provider's batch API, on the same client."""
        return OpenAIBatches(self._endpoint, self._client, self._api, self.body)

    async def complete(self, body: dict[str, Any]) -> str:
        """One attempt at a chat completion with a body of the caller's own; returns the raw answer.

        Raises:
            ProviderError: as `generate`; what the provider's filter stops is a `bad_request` here.
        """
        try:
            return await self._endpoint.post(openai, self._client, "/chat/completions", body)
        except StatusFailure as failure:
            refused = read_failure(failure.status, failure.headers, failure.body)
            words = self._endpoint.without_key(refused.error)
            raise ProviderError("bad_request", f"{self._endpoint.url}: {words}") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, request: Request) -> Reply:
        chat = self._api == "chat"
        path = "/chat/completions" if chat else "/responses"
        try:
            raw = await self._endpoint.post(openai, self._client, path, self.body(request))
        except StatusFailure as failure:
            return read_failure(failure.status, failure.headers, failure.body)
        return read_chat(raw) if chat else read_response(raw)

    def body(self, request: Request) -> dict[str, Any]:
        """The JSON that one call sends."""
        return self._chat(request) if self._api == "chat" else self._items(request)

    def _chat(self, request: Request) -> dict[str, Any]:
        """Body of a chat completion."""
        params = request.params
        body = {
            "model": self._model_id,
            "messages": [{"role": m.role, "content": _chat_content(m)} for m in request.messages],
            self._token_param: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": params.seed,
            "reasoning_effort": params.reasoning_effort,
        }
        if request.top_tokens:
            body |= {"logprobs": True, "top_logprobs": request.top_tokens}
        if request.schema is not None and (self.supports_schema or request.schema_required):
            schema = {"name": "reply", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return set_only(body)

    def _items(self, request: Request) -> dict[str, Any]:
        """Body of a response. This API takes no seed, so none is sent."""
        params = request.params
        body: dict[str, Any] = {
            "model": self._model_id,
            "input": [{"role": m.role, "content": _item_content(m)} for m in request.messages],
            "max_output_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "store": False,  # the default keeps every image and reply at the provider for a month
        }
        if params.reasoning_effort is not None:
            # Unasked, no summary of the reasoning comes back, and steps are what is measured.
            body["reasoning"] = {"effort": params.reasoning_effort, "summary": "auto"}
        if request.top_tokens:
            body |= {"top_logprobs": request.top_tokens, "include": ["message.output_text.logprobs"]}
        if request.schema is not None and (self.supports_schema or request.schema_required):
            schema = {"type": "json_schema", "name": "reply", "schema": request.schema, "strict": True}
            body["text"] = {"format": schema}
        return set_only(body)


def _client(url: str, api_key: str, official: bool, timeout_s: float, connections: int) -> openai.AsyncOpenAI:
    # aiohttp transport: 300 calls with a 100 kB image each, 100 at once, local server with 50 ms latency,
    # 2 cores: 1.1 s (0.6 s of CPU) against 1.7 s (1.2 s) with httpx.
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    http = openai.DefaultAioHttpClient(limits=limits, timeout=timeout_s)
    # The SDK adds OPENAI_ORG_ID and OPENAI_PROJECT_ID from the environment: no other server's business.
    private = ("OpenAI-Organization", "OpenAI-Project")
    headers = {} if official else dict.fromkeys(private, openai.Omit())
    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=url,
        max_retries=0,  # `rsbench.limits` is the one retry layer
        http_client=http,
        default_headers=headers,  # type: ignore[arg-type] # Omit is how the SDK itself drops a default header
    )


def _chat_content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text  # text-only servers take no list of parts
    images = [{"type": "image_url", "image_url": {"url": image.data_url}} for image in message.images]
    return [*images, {"type": "text", "text": message.text}]


def _item_content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    images = [{"type": "input_image", "image_url": i.data_url, "detail": "auto"} for i in message.images]
    return [*images, {"type": "input_text", "text": message.text}]
