"""Asking the OpenAI provider one thing, against a local server that says what a test wants."""

import asyncio
from typing import Any

import pytest

from rsbench.models.base import GenParams, Message, Model, ProviderError, Request
from rsbench.models.openai import OpenAIModel
from rsbench.types import Reply
from tests.servers import Body, FakeOpenAI, Fault, as_completion

KEY = "sk-test-0123456789abcdef"
ASK = Request((Message("system", "Be brief."), Message("user", "What is it?")), GenParams(max_tokens=64), "k")


def model(server: FakeOpenAI, api: str = "chat", **options: Any) -> OpenAIModel:
    return OpenAIModel("openai/fake", "fake", server.url, KEY, api, **options)


def generate(made: Model, request: Request = ASK) -> Reply:
    async def main() -> Reply:
        try:
            return await made.generate(request)
        finally:
            await made.close()

    return asyncio.run(main())


def answer(said: Body | str | Fault, api: str = "chat", **options: Any) -> Reply:
    """The reply that the provider makes of what the server says."""
    with FakeOpenAI(lambda _: said) as server:
        return generate(model(server, api, **options))


def failure(said: Body | str | Fault, api: str = "chat", **options: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        answer(said, api, **options)
    return caught.value


def finished(finish: str | None, text: str | None = "words", **message: object) -> Body:
    body = as_completion("", message=message)
    body["choices"][0]["finish_reason"] = finish
    body["choices"][0]["message"]["content"] = text
    return body
