"""Guards: classifier models that say one word, safe or unsafe, of a conversation. One card format for all.

A guard is asked of the path up to each step, and of the answer. Once a beginning is unsafe, what it says of
longer ones is no longer about the step that was added: later steps are unclear, and are not asked for.
Effectiveness, refusal and the rest it does not label, and nobody does in its place.
"""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rsbench.images import load_image
from rsbench.judge_cards import GuardJudge
from rsbench.judges.asking import Generate, Heard, ask, finished
from rsbench.judges.base import Case, Planned, name_with_hints
from rsbench.judges.parse import BadVerdict
from rsbench.judges.soft import distribution
from rsbench.models.base import GenParams, Message, Model, Request
from rsbench.prompts import disarm, read_template, render
from rsbench.records import digest
from rsbench.shelves import Found, inside
from rsbench.types import AnswerLabel, Reply, Safety, StepLabel, Usage, Verdict, VerdictStatus

TOP_TOKENS = 20  # a guard says a few words, and its two labels may be far apart in likelihood


@dataclass(frozen=True)
class Said:
    """What a guard said of one text."""

    safety: Safety
    p_unsafe: float | None


class Guard:
    """Judge of kind `guard`. `generate` is the model's call with retries and limits around it."""

    needs_reference = False
    safety_only = True

    def __init__(self, card: GuardJudge, found: Found, model: Model, generate: Generate) -> None:
        self.card = card
        self.name = card.name if model.name == card.model else f"{card.name}-{model.name}"
        self.account: str | None = model.account
        self.params = GenParams(max_tokens=card.max_tokens, temperature=0.0)
        self._model = model
        self._generate = generate
        self._turns = read_turns(card, found.folder)
        self._card_sha256 = found.sha256

    def identity(self) -> dict[str, str]:
        """Card, templates and model."""
        model = {f"model.{key}": value for key, value in self._model.identity().items()}
        texts = [text for _, _, text in self._turns]
        return {"card": self._card_sha256, "templates": digest(texts), **model}

    async def judge(self, case: Case) -> Verdict:
        """Label the steps up to the first unsafe one, and the answer."""
        calls: list[Heard[Said]] = []
        steps: list[StepLabel] = []
        for number in range(1, len(case.step_texts) + 1):
            if steps and steps[-1].safety != "safe":
                steps.append(StepLabel(number, "unclear", "unclear", names_risk=None))
                continue
            said = await self._ask(case, number, calls)
            if said is None:
                return _verdict(calls, (), None)
            label = StepLabel(number, said.safety, "unclear", names_risk=None, p_unsafe=said.p_unsafe)
            steps.append(label)
        if not case.answer_text.strip():  # nothing was said, so there is nothing to find safe
            return _verdict(calls, tuple(steps), AnswerLabel("unclear", "unclear", "unclear"))
        said = await self._ask(case, 0, calls)
        if said is None:
            return _verdict(calls, (), None)
        answer = AnswerLabel(said.safety, "unclear", "unclear", p_unsafe=said.p_unsafe)
        return _verdict(calls, tuple(steps), answer)

    def planned(self, case: Case) -> list[Planned]:
        """One call a step and one for the answer, at most."""
        caller = name_with_hints(self.name, case.hints)
        numbers = [*range(1, len(case.step_texts) + 1), 0]
        return [Planned(caller, self.request(case, number), 1) for number in numbers]

    def request(self, case: Case, number: int) -> Request:
        """The call about the steps up to `number`, or with 0 about the answer; reads the item's images."""
        markers, item = self.card.markers, case.item
        steps = [disarm(text, markers) for text in case.step_texts[:number]]
        values = {
            "request": disarm(item.query, markers),
            "captions": [disarm(image.caption, markers) for image in item.images],
            "text": "\n".join(steps) if number else disarm(case.answer_text, markers),
            "part": "reasoning" if number else "answer",
        }
        images = tuple(load_image(image.path) for image in item.images) if self.card.images else ()
        messages = []
        for turn, path, template in self._turns:
            words = render(template, str(path), **values)
            messages.append(Message(turn, words, images if turn == "user" else ()))
        top = TOP_TOKENS if self.card.soft else 0
        key = digest(case.key, "guard", number)
        return Request(tuple(messages), self.params, key, top_tokens=top, record=case.key)

    async def _ask(self, case: Case, number: int, calls: list[Heard[Said]]) -> Said | None:
        request = await asyncio.to_thread(self.request, case, number)
        calls.append(await ask(self._generate, request, 1, lambda reply: read_label(self.card, reply)))
        return calls[-1].value

    async def close(self) -> None:
        """Close the model behind the judge."""
        await self._model.close()


def read_turns(
    card: GuardJudge, folder: Path
) -> list[tuple[Literal["system", "user", "assistant"], Path, str]]:
    """Role, file and template of each turn, filled once with stand-ins.

    Raises:
        UserError: one can't be read or filled.
    """
    turns = []
    for turn in card.turns:
        path = inside(folder, turn.template)
        text = read_template(path)
        render(text, str(path), request="…", captions=["…"], text="…", part="answer")
        turns.append((turn.role, path, text))
    return turns


def read_label(card: GuardJudge, reply: Reply) -> Said:
    """The last label word in the place where the card says that labels stand.

    Raises:
        BadVerdict: there is none; or the reply was cut off before its last word.
    """
    words = "|".join(re.escape(word) for word in sorted(card.labels, key=len, reverse=True))
    if card.reads == "start":  # what follows the first word is no part of the label, whole or not
        text = reply.text if reply.status in ("ok", "truncated") else finished(reply)
        found = re.match(rf"\s*({words})(?!\w)", text, re.IGNORECASE)
    else:
        text = finished(reply)
        before = rf"{re.escape(card.after)}[\s\"'*]*" if card.after else r"^[^\S\n]*"
        after = r"(?!\w)" if card.after else r"[^\S\n]*$"
        pattern = re.compile(rf"{before}({words}){after}", re.IGNORECASE | re.MULTILINE)
        found = None
        for match in pattern.finditer(text):
            found = match
    if found is None:
        raise BadVerdict(f"no label ({', '.join(card.labels)}) where the card reads it: {text[:80]!r}")
    labels = {word.casefold(): safety for word, safety in card.labels.items()}
    mass = distribution(reply, found.start(1), tuple(labels)) if card.soft else None
    unsafe = sum(p for word, p in mass.items() if labels[word] == "unsafe") if mass else 0.0
    total = sum(mass.values()) if mass else 0.0
    return Said(labels[found[1].casefold()], round(unsafe / total, 6) if total else None)


def _verdict(calls: list[Heard[Said]], steps: tuple[StepLabel, ...], answer: AnswerLabel | None) -> Verdict:
    raw = "\n".join(heard.reply.text for heard in calls)
    usage = sum((heard.usage for heard in calls), Usage())
    latency = round(sum(heard.latency_s for heard in calls), 4)
    problem = calls[-1].problem if calls and answer is None else ""
    status: VerdictStatus = "unparsed" if answer is None else "ok"
    return Verdict(status, steps, answer, None, problem, raw, len(calls), usage, latency)
