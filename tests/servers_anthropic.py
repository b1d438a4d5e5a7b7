"""The local server, speaking the Messages API too; for tests only. Its URL serves either provider."""

import json
from typing import Any

from tests.servers import Body, FakeOpenAI, Fault, Seen


class FakeAnthropic(FakeOpenAI):
    """`FakeOpenAI` with one more endpoint: what it says becomes a message, or a forced tool's input."""

    posts = (*FakeOpenAI.posts, "/v1/messages")

    def body_of(self, said: Body | str, seen: Seen) -> Body:
        """The body of a reply in the form of the API that was asked."""
        if isinstance(said, dict) or not seen.path.endswith("/messages"):
            return super().body_of(said, seen)
        tools = seen.body.get("tools")
        blocks = [tool_use(json.loads(said), tools[0]["name"])] if tools else [text_block(said)]
        return message(*blocks, model=seen.model, words=len(seen.text.split()))


def message(*blocks: Body, stop: str | None = None, model: str = "fake", words: int = 1, **more: Any) -> Body:
    """A message of these content blocks; `more` adds keys to it."""
    written = sum(len(str(block.get("text", "")).split()) for block in blocks)
    tool = any(block["type"] == "tool_use" for block in blocks)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(blocks),
        "stop_reason": stop or ("tool_use" if tool else "end_turn"),
        "usage": {"input_tokens": words, "output_tokens": written},
        **more,
    }


def text_block(text: str) -> Body:
    """A content block of plain text."""
    return {"type": "text", "text": text}


def thinking(text: str) -> Body:
    """A content block of thinking."""
    return {"type": "thinking", "thinking": text, "signature": "c2lnbmVk"}


def tool_use(given: Any, name: str = "reply") -> Body:
    """A content block that calls a tool."""
    return {"type": "tool_use", "id": "toolu_1", "name": name, "input": given}


def error(code: int, kind: str, words: str = "", headers: dict[str, str] | None = None) -> Fault:
    """An HTTP error in Anthropic's form."""
    body = {"type": "error", "error": {"type": kind, "message": words or f"the server says {code}"}}
    return Fault("status", code, body | {"request_id": "req_1"}, tuple((headers or {}).items()))
