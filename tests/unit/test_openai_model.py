"""What the OpenAI provider sends, to whom, and what it is called in records."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rsbench.images import EncodedImage
from rsbench.models.base import GenParams, Message, Request
from rsbench.models.openai import OpenAIModel
from rsbench.types import UserError
from tests.openai_calls import ASK, KEY, generate, model
from tests.servers import Body, FakeOpenAI

PIXEL = EncodedImage(b"\x89PNG", "image/png", "0" * 64)
SCHEMA: dict[str, object] = {"type": "object"}


def sent(request: Request, api: str = "chat", **options: Any) -> Body:
    """The body that reaches the server."""
    with FakeOpenAI() as server:
        generate(model(server, api, **options), request)
        return server.requests[0].body


def test_a_chat_request_holds_what_was_set_and_nothing_else() -> None:
    assert sent(ASK) == {
        "model": "fake",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is it?"},
        ],
        "max_tokens": 64,
    }


def test_parameters_are_sent_when_set_even_when_they_are_zero() -> None:
    params = GenParams(64, temperature=0.0, top_p=0.5, seed=0, reasoning_effort="low")
    body = sent(replace(ASK, params=params))
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.0, 0.5, 0)
    assert body["reasoning_effort"] == "low"


def test_images_come_before_the_text_as_data_urls() -> None:
    request = replace(ASK, messages=(Message("user", "Look.", (PIXEL, PIXEL)),))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    assert sent(request)["messages"][0]["content"] == [image, image, {"type": "text", "text": "Look."}]
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"}
    text = {"type": "input_text", "text": "Look."}
    assert sent(request, "responses")["input"][0]["content"] == [image, image, text]


def test_a_responses_request_uses_that_apis_names_and_has_no_seed() -> None:
    body = sent(replace(ASK, params=GenParams(64, seed=7, reasoning_effort="high")), "responses")
    assert body == {
        "model": "fake",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is it?"}],
        "max_output_tokens": 64,
        "reasoning": {"effort": "high", "summary": "auto"},
        "store": False,
    }


def test_a_schema_goes_only_to_servers_that_support_it() -> None:
    request = replace(ASK, schema=SCHEMA)
    assert "response_format" not in sent(request)
    assert "text" not in sent(request, "responses")
    chat = sent(request, supports_schema=True)["response_format"]
    schema = {"name": "reply", "schema": SCHEMA, "strict": True}
    assert chat == {"type": "json_schema", "json_schema": schema}
    assert sent(request, "responses", supports_schema=True)["text"] == {
        "format": {"type": "json_schema", **schema}
    }


def test_openai_itself_gets_schemas_and_other_servers_do_not() -> None:
    def support(url: str | None) -> bool:
        return OpenAIModel("n", "m", url, KEY).supports_schema

    assert support(None)
    assert support("https://eu.api.openai.com/v1")
    assert not support("https://api.openai.com.example.org/v1")
    assert not support("http://127.0.0.1:8000/v1")


def test_the_token_parameter_can_be_named() -> None:
    assert sent(ASK, token_param="max_completion_tokens")["max_completion_tokens"] == 64


def test_the_key_travels_in_the_header_and_organisation_ids_stay_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-private")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    with FakeOpenAI() as server:
        generate(model(server))
        headers = server.requests[0].headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "private" not in str(headers)


def test_identity_names_model_and_server_and_no_key() -> None:
    made = OpenAIModel("openai/fake", "fake", "http://127.0.0.1:8000/v1/", KEY)
    url = "http://127.0.0.1:8000/v1"
    assert made.identity() == {"provider": "openai", "model": "fake", "base_url": url, "api": "chat"}
    assert KEY not in made.account


def test_two_keys_on_one_server_are_two_accounts() -> None:
    one, two = (OpenAIModel("n", "m", None, key).account for key in ("key-one", "key-two"))
    assert one != two
    assert OpenAIModel("n", "other", None, "key-one").account == one


@pytest.mark.parametrize(
    "url",
    ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1", "http://host/v1?key=secret"],
)
def test_an_unusable_base_url_is_the_users_mistake(url: str) -> None:
    with pytest.raises(UserError, match="must be http") as caught:
        OpenAIModel("n", "m", url, KEY)
    assert "secret" not in str(caught.value)


def test_credentials_in_a_base_url_are_refused_and_not_shown() -> None:
    with pytest.raises(UserError) as caught:
        OpenAIModel("n", "m", "http://me:secret@host/v1", KEY)
    assert "secret" not in str(caught.value)


def test_an_unknown_api_is_refused() -> None:
    with pytest.raises(UserError, match="allowed: chat, responses"):
        OpenAIModel("n", "m", None, KEY, "completions")


def test_the_servers_default_replies_are_what_the_engine_expects() -> None:
    """Guards the other tests that lean on this server: numbered steps, and a verdict for a judge's prompt."""
    with FakeOpenAI() as server:
        first, again = generate(model(server)), generate(model(server))
    assert first.text == again.text
    assert first.text.startswith("Step 1:")
    quoted = '<data-n name="step 1">\nI see a cup.\n</data-n>\n<data-n name="answer">\nA cup.\n</data-n>'
    judged = replace(ASK, messages=(Message("user", f"Label safety with evidence.\n{quoted}"),))
    with FakeOpenAI() as server:
        verdict = json.loads(generate(model(server), judged).text)
    assert verdict["steps"][0]["evidence"] == "I see a cup."
    assert verdict["answer"]["evidence"] == "A cup."
