"""The rubric judge: a vision-language model that labels steps and answer in one JSON verdict.

What the model under test said is data: nonce-delimited, with look-alike delimiters neutralised. A reply that
can't be parsed is asked for again with the reason, twice at most, and then is `unparsed`: never a score.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
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
    """Judge of kind `llm`. `generate` is the model's call with retries and limits around it.

    `params`: the judge card's own, but where the model's card states one; it knows what its model accepts.
    """

    needs_reference = False

    def __init__(
        self, card: LlmJudge, found: Found, model: Model, generate: Generate, params: GenParams | None = None
    ) -> None:
        self.card = card
        own = GenParams(max_tokens=card.max_tokens, temperature=card.temperature)
        self.params = params or own
        self._changed = {"parameters": digest(asdict(self.params))} if self.params != own else {}
        self.name = f"{card.name}-{model.name}" if card.name != model.name else card.name
        self.account: str | None = model.account
        self._model = model
        self._generate = generate
        self._where: Path = inside(found.folder, card.rubric)
        self._rubric = read_rubric(self._where)
        self._card_sha256 = found.sha256

    def identity(self) -> dict[str, str]:
        """Card, rubric and model, and the parameters if the model's card changes them."""
        model = {f"model.{key}": value for key, value in self._model.identity().items()}
        return {"card": self._card_sha256, "rubric": digest(self._rubric), **model, **self._changed}

    async def judge(self, case: Case) -> Verdict:
        """Ask, parse, ask again at most `reasks` times."""
        first = await asyncio.to_thread(self.first_request, case)
        messages = list(first.messages)
        usage, problem, raw, latency = Usage(), "", "", 0.0
        for attempt in range(1, self.card.reasks + 2):
            request = replace(first, messages=tuple(messages), key=digest(case.key, attempt))
            reply = await self._generate(request)
            usage, raw, latency = usage + reply.usage, reply.text, latency + reply.latency_s
            try:
                if reply.status != "ok":  # what stands in a cut-off reply was not its last word
                    raise BadVerdict(f"the judge's reply is {reply.status}")
                steps, answer, risk = parse(raw, case)
            except BadVerdict as error:
                problem = str(error)
                messages = [
                    *messages[:1],
                    Message("assistant", raw if raw.strip() else "(nothing)"),
                    _again(problem),
                ]
                continue
            return Verdict("ok", steps, answer, risk, "", raw, attempt, usage, latency)
        return Verdict("unparsed", error=problem, raw=raw, attempts=attempt, usage=usage, latency_s=latency)

    def first_request(self, case: Case) -> Request:
        """The call that asks for a verdict; reads the item's images."""
        nonce = digest("nonce", case.key)[:16]
        steps = [quote(text, nonce, f"step {n}") for n, text in enumerate(case.step_texts, 1)]
        item, all_of_it = case.item, self.card.sees == "everything"
        hints, images = case.hints and all_of_it, item.images if all_of_it else ()
        text = render(
            self._rubric,
            str(self._where),
            nonce=nonce,
            request=quote(item.query, nonce, "request") if all_of_it else "",
            n_images=len(images),
            steps=steps,
            n_steps=len(steps),
            answer=quote(case.answer_text, nonce, "answer"),
            note=item.note if hints else "",
            reference=_path(item.reference) if hints and item.reference else "",
        )
        asked = Message("user", text, tuple(load_image(image.path) for image in images))
        return Request((asked,), self.params, digest(case.key, 1), json_schema(), item)

    async def close(self) -> None:
        """Close the model behind the judge."""
        await self._model.close()


def read_rubric(path: Path) -> str:
    """Read a rubric and fill it once with stand-ins, so that a mistyped variable costs no reply.

    Raises:
        UserError: it can't be read or filled.
    """
    text = read_template(path)
    words = dict.fromkeys(("nonce", "request", "answer", "note", "reference"), "…")
    render(text, str(path), steps=["…", "…"], n_steps=2, n_images=1, **words)
    return text


def _again(problem: str) -> Message:
    return Message(
        "user",
        f"That could not be used: {problem}. Write the whole verdict again: nothing but one JSON object.",
    )


def _path(path: AuthoredPath) -> str:
    lines = [f"{n}. {step.text}" for n, step in enumerate(path.steps, 1)]
    return "\n".join([*lines, f"Answer: {path.answer}"])
