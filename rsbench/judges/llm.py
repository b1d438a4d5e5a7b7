"""The rubric judge: a vision-language model that labels steps and answer in JSON verdicts.

One call labels the whole path, or one call each step. Several votes, or a strict and a lenient reading, are
asked for one by one, kept one by one, and only then made into the verdict.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

from rsbench.judge_cards import LlmJudge
from rsbench.judges.asking import Generate, Heard, ask, finished
from rsbench.judges.base import Case, Planned, Voter, name_with_hints
from rsbench.judges.parse import (
    AnswerVerdictOut,
    Labels,
    StepOut,
    last_start,
    parse,
    parse_answer,
    parse_step,
)
from rsbench.judges.rubric import Form, Rubric, read_rubric
from rsbench.judges.soft import label_probabilities, share
from rsbench.judges.votes import all_of, majority, mark_boundary, not_enough
from rsbench.models.base import GenParams, Model
from rsbench.records import digest
from rsbench.shelves import Found, inside
from rsbench.types import AnswerLabel, Effectiveness, Reply, StepLabel, Usage, UserError, Verdict

T = TypeVar("T")
Label = TypeVar("Label", StepLabel, AnswerLabel)
Mass = Mapping[str, float] | None


class RubricJudge:
    """Judge of kind `llm`. `generate` is the model's call with retries and limits around it.

    `params`: the judge card's own, but where the model's card states one; it knows what its model accepts.

    Raises:
        UserError: several votes at temperature 0.
    """

    needs_reference = False

    def __init__(
        self, card: LlmJudge, found: Found, model: Model, generate: Generate, params: GenParams | None = None
    ) -> None:
        self.card = card
        own = GenParams(max_tokens=card.max_tokens, temperature=card.temperature)
        self.params = params or own
        if card.votes > 1 and self.params.temperature == 0:
            raise UserError(
                f"{found.path}: {card.votes} votes at temperature 0, which the model's card sets, would be "
                "one vote copied"
            )
        self._changed = {"parameters": digest(asdict(self.params))} if self.params != own else {}
        self.name = f"{card.name}-{model.name}" if card.name != model.name else card.name
        self.account: str | None = model.account
        self._model = model
        self._generate = generate
        self._rubrics = read_rubrics(card, found.folder)
        self._form = Form(self.params, card.structured == "required", card.soft)
        self._card_sha256 = found.sha256

    def identity(self) -> dict[str, str]:
        """Card, rubrics and model, and the parameters if the model's card changes them."""
        model = {f"model.{key}": value for key, value in self._model.identity().items()}
        rubrics = {"rubric": digest(self._rubrics[0].text)}
        if len(self._rubrics) > 1:
            rubrics["lenient"] = digest(self._rubrics[1].text)
        return {"card": self._card_sha256, **rubrics, **model, **self._changed}

    @property
    def voters(self) -> tuple[Voter, ...]:
        """The votes that a verdict is made of; none if one reading is all there is."""
        names = [f"{rubric.leaning} {n}".strip() for rubric in self._rubrics for n in self._numbers]
        identity = self.identity()
        found = tuple(Voter(name, identity, vote) for vote, name in enumerate(names, 1))
        return found if len(found) > 1 else ()

    @property
    def _numbers(self) -> range:
        return range(1, self.card.votes + 1)

    async def judge(self, case: Case) -> Verdict:
        """One reading, or the majority of several."""
        if not self.voters:
            return await self._read(case, self._rubrics[0])
        rubrics = [rubric for rubric in self._rubrics for _ in self._numbers]
        jobs = [
            case.ballots.cast(self, case, voter.vote, partial(self._read, rubric=rubric))
            for voter, rubric in zip(self.voters, rubrics, strict=True)
        ]
        names = [f"vote {voter.name} of {self.name}" for voter in self.voters]
        votes = list(zip(names, await all_of(jobs), strict=True))
        verdicts = []
        for n in range(0, len(votes), self.card.votes):
            these = votes[n : n + self.card.votes]
            if (failure := not_enough(these)) is not None:
                return failure
            verdicts.append(majority([vote for _, vote in these]))
        return verdicts[0] if len(verdicts) == 1 else mark_boundary(*verdicts)

    def planned(self, case: Case) -> list[Planned]:
        """One call, or one a step and one for the answer, for each vote."""
        caller, asks = name_with_hints(self.name, case.hints), self.card.reasks + 1
        requests = [
            rubric.request(case, self._form, number)
            for rubric in self._rubrics
            for number in self._calls(case)
        ]
        return [Planned(caller, request, asks) for request in requests for _ in self._numbers]

    def _calls(self, case: Case) -> Sequence[int | None]:
        """What one reading asks for: all at once (None), or step by step and the answer (0) last."""
        return [None] if self.card.mode == "path" else [*range(1, len(case.step_texts) + 1), 0]

    async def _read(self, case: Case, rubric: Rubric) -> Verdict:
        if self.card.mode == "path":
            return await self._path(case, rubric)
        return await self._steps(case, rubric)

    async def _path(self, case: Case, rubric: Rubric) -> Verdict:
        """The whole path with one call."""

        def read(reply: Reply) -> Labels:
            steps, answer, risk = parse(finished(reply), case)
            if self.card.soft:
                odds = _odds([*steps, answer], reply, last_start(reply.text))
                steps = tuple(_soft(*pair) for pair in zip(steps, odds[:-1], strict=True))
                answer = _soft(answer, odds[-1])
            return steps, answer, risk

        heard = await self._ask(case, rubric, None, read)
        return _verdict([heard], heard.value)

    async def _steps(self, case: Case, rubric: Rubric) -> Verdict:
        """One call a step, in order, each with the same beginning as the one before; then the answer."""
        steps: list[StepLabel] = []
        said: list[Heard[StepLabel]] = []
        for number in range(1, len(case.step_texts) + 1):

            def read(reply: Reply, number: int = number) -> StepLabel:
                label = parse_step(finished(reply), case, number)
                start = last_start(reply.text, StepOut)
                return _soft(label, _odds([label], reply, start)[0]) if self.card.soft else label

            heard = await self._ask(case, rubric, number, read)
            said.append(heard)
            if heard.value is None:
                return _verdict(said, None)
            steps.append(heard.value)

        def read_answer(reply: Reply) -> tuple[AnswerLabel, bool]:
            label, risk = parse_answer(finished(reply), case)
            start = last_start(reply.text, AnswerVerdictOut)
            return (_soft(label, _odds([label], reply, start)[0]) if self.card.soft else label), risk

        last = await self._ask(case, rubric, 0, read_answer)
        labels = None if last.value is None else (tuple(steps), *last.value)
        return _verdict([*said, last], labels)

    async def _ask(
        self, case: Case, rubric: Rubric, number: int | None, read: Callable[[Reply], T]
    ) -> Heard[T]:
        request = await asyncio.to_thread(rubric.request, case, self._form, number)
        return await ask(self._generate, request, self.card.reasks + 1, read)

    async def close(self) -> None:
        """Close the model behind the judge."""
        await self._model.close()


def read_rubrics(card: LlmJudge, folder: Path) -> tuple[Rubric, ...]:
    """The rubric of a card, or its strict and its lenient one.

    Raises:
        UserError: one can't be read or filled.
    """
    first, alone = inside(folder, card.rubric), card.sees == "response"
    if card.lenient is None:
        return (read_rubric(first, "", alone),)
    second = inside(folder, card.lenient)
    return read_rubric(first, "strict", alone), read_rubric(second, "lenient", alone)


def _verdict(calls: Sequence[Heard[Any]], labels: Labels | None) -> Verdict:
    """The verdict of one reading; `calls` are all it took, and the last one says what went wrong."""
    raw = "\n".join(heard.reply.text for heard in calls)
    attempts = sum(heard.attempts for heard in calls)
    usage = sum((heard.usage for heard in calls), Usage())
    latency = round(sum(heard.latency_s for heard in calls), 4)
    if labels is None:
        problem = calls[-1].problem
        return Verdict("unparsed", error=problem, raw=raw, attempts=attempts, usage=usage, latency_s=latency)
    return Verdict("ok", *labels, "", raw, attempts, usage, latency)


def _odds(labels: Sequence[StepLabel | AnswerLabel], reply: Reply, start: int) -> list[tuple[Mass, Mass]]:
    """How likely each label of safety and of effectiveness was, by the tokens of the object at `start`."""
    safety = label_probabilities(reply, start, "safety", [one.safety for one in labels])
    effect = label_probabilities(reply, start, "effectiveness", [one.effectiveness for one in labels])
    return list(zip(safety, effect, strict=True))


def _soft(label: Label, odds: tuple[Mass, Mass]) -> Label:
    """A label with its probabilities."""
    return replace(
        label,
        p_unsafe=share(odds[0], "unsafe", ("safe", "unsafe")),
        p_effective=share(odds[1], "effective", get_args(Effectiveness)),
    )
