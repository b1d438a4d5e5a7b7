"""One call to a provider over HTTP: where it goes, how long it may take, and whose key stays out of sight.

Both official SDKs come from one generator, so that their clients and errors have the same names; a provider
passes its own SDK in. What an answer says is read elsewhere (`http_replies` and each provider's `*_replies`).
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from rsbench.models.base import ProviderError
from rsbench.types import Reply, UserError

T = TypeVar("T")


class StatusFailure(Exception):
    """An HTTP status other than 2xx. `body` is the parsed body, or its text if it is no JSON."""

    def __init__(self, status: int, headers: Mapping[str, str], body: object) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class Endpoint:
    """A server as one key reaches it.

    Args:
        provider: Name of the provider, for the account.
        url: Base URL.
        api_key: Never part of an account, a record or an error.
        timeout_s: Wall time of one whole call, connecting included.
        example: A base URL of the form this provider takes, for the error message.

    Raises:
        UserError: the URL is not http(s), or holds a user name or a query.
    """

    def __init__(self, provider: str, url: str, api_key: str, timeout_s: float, example: str) -> None:
        self.url = url
        self.host = _host(url, example)
        # In memory only: two keys on one server have two rate limits.
        self.account = f"{provider}:{url}#{hashlib.sha256(api_key.encode()).hexdigest()[:8]}"
        self._api_key = api_key
        self._timeout_s = timeout_s

    async def post(self, sdk: Any, client: Any, path: str, body: dict[str, Any]) -> str:
        """Send one request; returns the body of the answer.

        Raises:
            StatusFailure: the server answered with an error.
            ProviderError: transient, if no whole answer came.
        """
        # As text, not as the SDK's types: those build wrong-typed fields without a word.
        return str(await self.exchange(sdk, client.post(path, cast_to=str, body=body)))

    async def exchange(self, sdk: Any, call: Awaitable[T], timeout_s: float | None = None) -> T:
        """Await one of the SDK's calls, within `timeout_s` seconds if that is not the usual time.

        Raises:
            StatusFailure: the server answered with an error.
            ProviderError: transient, if no whole answer came.
        """
        limit = timeout_s or self._timeout_s
        try:
            # The SDK's timeout is per read: a server that drips a byte a minute would hold a slot for ever.
            async with asyncio.timeout(limit):
                return await call
        except sdk.APIStatusError as error:
            raise StatusFailure(error.status_code, error.response.headers, error.body) from error
        except TimeoutError as error:
            raise ProviderError("transient", f"no whole reply within {limit:g} s") from error
        except (sdk.APIConnectionError, aiohttp.ClientError) as error:
            # The aiohttp transport lets a broken HTTP head or chunk through as aiohttp's own error.
            words = str(error.__cause__ or "") or str(error)
            raise ProviderError("transient", f"no reply: {' '.join(words.split())}") from error

    async def reply(self, attempt: Awaitable[Reply], model_id: str) -> Reply:
        """One attempt with its time taken, its errors naming the server, and the key in no words.

        Raises:
            ProviderError: as the attempt does.
        """
        start = time.perf_counter()
        try:
            reply = await attempt
        except ProviderError as error:
            message = f"{self.url}: {self.without_key(str(error))}"
            # `from None`: the SDK's own error below this one may quote the key as the server echoed it.
            raise ProviderError(error.kind, message, error.retry_after_s, _maybe_billed(error)) from None
        seconds = round(time.perf_counter() - start, 4)
        words = self.without_key(reply.error)
        return replace(reply, model=reply.model or model_id, latency_s=seconds, error=words)

    async def managed(
        self,
        sdk: Any,
        call: Awaitable[T],
        fail: Callable[[int, Mapping[str, str], object], Reply],
        limit: float | None,
    ) -> T:
        """Await a call that generates nothing, such as one about a batch; `fail` reads a failure's status.

        Raises:
            ProviderError: with the server's name, and the key in no words.
        """
        try:
            try:
                return await self.exchange(sdk, call, limit)
            except StatusFailure as failure:
                said = fail(failure.status, failure.headers, failure.body).error
                raise ProviderError("bad_request", said) from failure
        except ProviderError as error:
            message = f"{self.url}: {self.without_key(str(error))}"
            raise ProviderError(error.kind, message, error.retry_after_s) from None

    def without_key(self, words: str) -> str:
        """Error text without the key; OpenAI quotes a wrong key with stars inside, others in full."""
        return re.sub(r"\bsk-[\w*-]+|\w+\*{3,}\w*", "<key>", self.without_own_key(words))

    def without_own_key(self, text: str) -> str:
        """Any text without this very key, and otherwise unaltered."""
        # Shorter is a placeholder such as "none", and a word of plain text.
        return text.replace(self._api_key, "<key>") if len(self._api_key) >= 8 else text


def is_host(host: str, official: str) -> bool:
    """Whether a host is the provider's own, a regional one such as eu.api.openai.com included."""
    return host == official or host.endswith(f".{official}")


def _maybe_billed(error: ProviderError) -> bool:
    """Whether a failed call was sent and not answered by an error: a time-out, a torn or unusable reply."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StatusFailure | aiohttp.ClientConnectorError):
            return False
        cause = cause.__cause__ or cause.__context__
    return True


def set_only(body: dict[str, Any]) -> dict[str, Any]:
    """Only what was set: a parameter sent as null is an error to some servers."""
    return {key: value for key, value in body.items() if value is not None}


def _host(url: str, example: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:  # a port that is no number
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query:
        shown = url.rsplit("@", 1)[-1].split("?", 1)[0]  # what is cut off may be a secret
        raise UserError(
            f"Base URL {shown!r}: must be http(s)://host[:port]/path, such as {example}, "
            "without user name or query; the key comes from the environment"
        )
    return host
