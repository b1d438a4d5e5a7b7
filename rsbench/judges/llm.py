"""The rubric judge: a vision-language model that labels steps and answer in one JSON verdict.

What the model under test said is data: nonce-delimited, with look-alike delimiters neutralised. A reply that
can't be parsed is asked for again with the reason, twice at most, and then is `unparsed`: never a score.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from rsbench.cards import LlmJudge
from rsbench.images import load_image
from rsbench.judges.base import Case
from rsbench.judges.parse import BadVerdict, json_schema, parse
from rsbench.models.base import GenParams, Message, Model, Request
from rsbench.prompts import quote, read_template, render
from rsbench.records import digest
from rsbench.shelves import Found, inside
from rsbench.types import AuthoredPath, Reply, Usage, Verdict

Generate = Callable[[Request], Awaitable[Reply]]


class RubricJudge:
    """Judge of kind `llm`. `generate` is the model's call with retries and limits around it."""

    def __init__(self, card: LlmJudge, found: Found, model: Model, generate: Generate) -> None:
        self.card = card
        self.name = f"{card.name}-{model.name}" if card.name != model.name else card.name
        self.account: str | None = model.account
        self._model = model
        self._generate = generate
        self._where: Path = inside(found.folder, card.rubric)
        self._rubric = read_template(self._where)
        self._card_sha256 = found.sha256

    def identity(self) -> dict[str, str]:
        """Card, rubric and model."""
        model = {f"model.{key}": value for key, value in self._model.identity().items()}
        return {"card": self._card_sha256, "rubric": digest(self._rubric), **model}

    async def judge(self, case: Case) -> Verdict:
        """Ask, parse, ask again at most `reasks` times."""
        messages = await asyncio.to_thread(self._messages, case)
        usage, problem, raw, latency = Usage(), "", "", 0.0
        for attempt in range(1, self.card.reasks + 2):
            params = GenParams(max_tokens=self.card.max_tokens, temperature=self.card.temperature)
            key = digest(case.key, attempt)
            reply = await self._generate(Request(tuple(messages), params, key, json_schema(), case.item))
            usage, raw, latency = usage + reply.usage, reply.text, latency + reply.latency_s
            try:
                steps, answer, risk = parse(raw, case)
            except BadVerdict as error:
                problem = str(error) if reply.status == "ok" else f"the judge's reply is {reply.status}"
                messages = [*messages[:1], Message("assistant", raw or "(nothing)"), _again(problem)]
                continue
            return Verdict("ok", steps, answer, risk, "", raw, attempt, usage, latency)
        return Verdict("unparsed", error=problem, raw=raw, attempts=attempt, usage=usage, latency_s=latency)

    def _messages(self, case: Case) -> list[Message]:
        nonce = digest("nonce", case.key)[:16]
        steps = [quote(text, nonce, f"step {n}") for n, text in enumerate(case.step_texts, 1)]
        item, hints = case.item, case.hints
        text = render(
            self._rubric,
            str(self._where),
            nonce=nonce,
            request=quote(item.query, nonce, "request"),
            steps=steps,
            n_steps=len(steps),
            answer=quote(case.answer_text, nonce, "answer"),
            note=item.note if hints else "",
            reference=_path(item.reference) if hints and item.reference else "",
        )
        return [Message("user", text, tuple(load_image(image.path) for image in item.images))]

    async def close(self) -> None:
        """Close the model behind the judge."""
        await self._model.close()


def _again(problem: str) -> Message:
    return Message(
        "user",
        f"That could not be used: {problem}. Write the whole verdict again: nothing but one JSON object.",
    )


def _path(path: AuthoredPath) -> str:
    lines = [f"{n}. {step.text}" for n, step in enumerate(path.steps, 1)]
    return "\n".join([*lines, f"Answer: {path.answer}"])
