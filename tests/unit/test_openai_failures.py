"""How the OpenAI provider names failures, and that it gets through a bad day with the retry layer's help."""

import asyncio
from dataclasses import replace

import pytest

from rsbench.limits import Limiter, RetryPolicy, with_retry
from rsbench.models.base import Message, ProviderError
from rsbench.models.http_replies import retry_after_s
from rsbench.models.openai import OpenAIModel
from rsbench.types import Reply
from tests.openai_calls import ASK, KEY, answer, failure, finished, generate, model
from tests.servers import Body, FakeOpenAI, Fault, Rule


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad_request"),
        (401, "fatal"),
        (402, "fatal"),
        (403, "fatal"),
        (404, "fatal"),
        (408, "transient"),
        (409, "transient"),
        (413, "bad_request"),
        (422, "bad_request"),
        (429, "rate_limited"),
        (500, "transient"),
        (503, "transient"),
        (529, "transient"),
    ],
)
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_every_http_status_has_its_kind_and_the_servers_words(status: int, kind: str, api: str) -> None:
    error = failure(Fault.status(status), api)
    assert error.kind == kind
    assert f"HTTP {status}: the server says {status}" in str(error)


def test_a_404_says_what_to_check() -> None:
    assert "is the name of the model right? does the base URL" in str(failure(Fault.status(404)))


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_a_spent_account_stops_the_run_though_it_says_429(code: str) -> None:
    assert failure(Fault.status(429, {"code": code})).kind == "fatal"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "content_filter"}),
        (400, {"code": "content_policy_violation"}),
        (400, {"type": "image_content_policy_violation"}),
        (400, {"innererror": {"code": "ResponsibleAI_Content_Filter"}}),
        (400, {"code": "invalid_prompt", "message": "flagged as potentially violating our usage policy"}),
        (403, {"metadata": {"reasons": ["violence"], "flagged_input": "…"}}),
    ],
)
def test_a_prompt_that_the_filter_stops_is_a_refusal(status: int, error: Body) -> None:
    reply = answer(Fault.status(status, error))
    assert (reply.status, reply.text, reply.model) == ("refused", "", "fake")
    assert reply.error


def test_a_400_about_anything_else_is_no_refusal() -> None:
    error = failure(Fault.status(400, {"code": "invalid_prompt", "message": "too many images"}))
    assert error.kind == "bad_request"


@pytest.mark.parametrize(
    "fault",
    [
        Fault.malformed(),
        Fault.empty_body(),
        Fault.reset(),
        Fault.status(200),  # an error object in a 200, as routers send it
    ],
)
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_broken_answer_is_transient(fault: Fault, api: str) -> None:
    assert failure(fault, api).kind == "transient"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": ["text"]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": 7}}]},
        {"choices": [{"message": {"content": ["text"]}}]},
        {"choices": [{"message": {"content": "x", "reasoning": {"a": 1}}}]},
        finished("error", ""),
    ],
)
def test_a_chat_body_of_another_shape_is_transient(body: Body) -> None:
    error = failure(body)
    assert error.kind == "transient"
    assert "unusable reply" in str(error)


def test_a_hanging_server_is_left_after_the_wall_time() -> None:
    error = failure(Fault.hang(30), timeout_s=0.2)
    assert error.kind == "transient"


def test_a_dripping_server_is_left_after_the_wall_time() -> None:
    """Each byte resets a read timeout, so that alone would wait for ever."""

    left = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)
        left.set()

    async def main() -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        made = OpenAIModel("n", "m", f"http://127.0.0.1:{port}/v1", KEY, timeout_s=0.2)
        with pytest.raises(ProviderError, match=r"no whole reply within 0.2 s") as caught:
            await made.generate(ASK)
        assert caught.value.kind == "transient"
        await made.close()
        await left.wait()  # the slot is not all that is given back: the connection is closed too
        server.close()

    asyncio.run(main())


def test_no_server_at_all_is_transient_and_says_where() -> None:
    with FakeOpenAI() as server:
        url = server.url
    with pytest.raises(ProviderError, match=url) as caught:
        generate(OpenAIModel("n", "m", url, KEY))
    assert caught.value.kind == "transient"


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        (f"bad key {KEY}!", KEY),
        ("Incorrect API key provided: sk-te****cdef.", "cdef"),
        ("key ab****yz", "yz"),
    ],
)
def test_no_error_quotes_the_key(message: str, hidden: str) -> None:
    error = failure(Fault.status(401, {"message": message}))
    assert hidden not in str(error)
    assert "<key>" in str(error)
    assert error.__cause__ is None  # whose text would quote it in a traceback


def test_a_web_page_as_an_error_is_cut() -> None:
    error = failure(Fault.status(502, {"message": "<html>" + "x" * 10_000}))
    assert len(str(error)) < 700


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "a while"}, None),
        ({}, None),
    ],
)
def test_every_form_of_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_reaches_the_retry_layer(status: int) -> None:
    assert failure(Fault.status(status, headers={"Retry-After": "3"})).retry_after_s == 3.0


def test_provider_limiter_and_retries_together_get_every_reply_through_a_bad_day() -> None:
    """Every body meets a 429, a 500 and a reset before its reply: four requests each, and no more."""
    rules = [Rule(Fault.rate_limit(0), nth=1), Rule(Fault.status(500), nth=2), Rule(Fault.reset(), nth=3)]

    async def instantly(_: float) -> None:
        await asyncio.sleep(0)

    async def main(made: OpenAIModel) -> list[tuple[Reply, int]]:
        limiter, policy = Limiter(4, sleep=instantly), RetryPolicy()
        asks = [replace(ASK, messages=(Message("user", f"item {n}"),)) for n in range(12)]
        calls = [
            with_retry(lambda ask=ask: made.generate(ask), limiter, policy, key=str(n), sleep=instantly)  # type: ignore[misc]
            for n, ask in enumerate(asks)
        ]
        done = await asyncio.gather(*calls)
        await made.close()
        return done

    with FakeOpenAI(rules=rules) as server:
        done = asyncio.run(main(model(server)))
        assert [attempts for _, attempts in done] == [4] * 12
        assert all(reply.status == "ok" for reply, _ in done)
        assert len(server.requests) == 48
        assert server.max_in_flight <= 4
