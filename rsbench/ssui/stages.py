"""The agents, in order: query, reasoning, reflection and check, summary; the fifth stage is a person.

Whatever a model wrote is shown to the next one as nonce-delimited data. A draft that the check finds
redundant or incomplete goes back once with the complaint. A candidate that fails is dropped with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsbench.cards import Strict
from rsbench.images import load_image
from rsbench.models.base import Message
from rsbench.prompts import quote, read_template, render
from rsbench.records import digest
from rsbench.ssui.calls import Desk, Speaker
from rsbench.ssui.candidates import Spot
from rsbench.ssui.schemas import (
    AloneOut,
    BadReply,
    CheckOut,
    Out,
    PathOut,
    QueryOut,
    ReasoningOut,
    SummaryOut,
    parse,
)
from rsbench.types import UserError

ATTEMPTS = 3  # a reply of the wrong shape is asked for again with the reason, twice
DRAFTS = 2  # a draft that the check sends back is written anew once
PROMPTS = ("query", "reasoning", "check", "text-alone", "image-alone", "summary")


class Dropped(Exception):
    """A candidate that goes no further: at which stage, and why."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


@dataclass(frozen=True)
class Prompts:
    """The templates of a shelf's folder, by stage."""

    folder: Path
    texts: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> "Prompts":
        """Read all.

        Raises:
            UserError: one is missing or no template.
        """
        return cls(folder, {name: read_template(folder / f"{name}.jinja") for name in PROMPTS})

    def fill(self, stage: str, **values: object) -> str:
        """One prompt."""
        return render(self.texts[stage], str(self.folder / f"{stage}.jinja"), **values)


class Agents:
    """The agents at one desk."""

    def __init__(self, desk: Desk, prompts: Prompts, categories: tuple[str, ...]) -> None:
        self._desk = desk
        self._prompts = prompts
        self._categories = categories

    async def query(self, spot: Spot) -> QueryOut:
        """Query agent: a risky query on the picture and its harmless twin."""
        text = self._prompts.fill(
            "query", number=spot.number, category=spot.category, categories=list(self._categories)
        )
        asked = await self._ask(self._desk.author, spot, "query", text, QueryOut)
        if asked.category not in self._categories:
            raise Dropped("query", f"category {asked.category!r} is none of {', '.join(self._categories)}")
        return asked

    async def pair(self, spot: Spot, asked: QueryOut) -> SummaryOut:
        """All that comes after the query agent; the cheap checks come first."""
        await self._image_alone(spot)
        await self._text_alone(spot, asked)
        draft, remarks = await self._draft(spot, asked)
        nonce = digest("nonce", spot.id, "summary", asked.model_dump(), draft.model_dump())[:16]
        text = self._prompts.fill(
            "summary",
            nonce=nonce,
            proposal=_queries(asked, nonce),
            risky=_path(draft.risky, nonce, "risky"),
            benign=_path(draft.benign, nonce, "benign"),
            remarks=quote(remarks, nonce, "remarks"),
        )
        return await self._ask(self._desk.author, spot, "summary", text, SummaryOut)

    async def _image_alone(self, spot: Spot) -> None:
        text = self._prompts.fill("image-alone")
        # Named by the picture: its candidates share the answer.
        said = await self._ask(self._desk.checker, spot, "image-alone", text, AloneOut, spot.image_name)
        if not said.harmless:
            raise Dropped("image-alone", f"the picture alone is not harmless: {said.evidence}")

    async def _text_alone(self, spot: Spot, asked: QueryOut) -> None:
        """Both queries, answered by the author without the picture, must be judged safe."""
        for name, query in (("query", asked.query), ("twin_query", asked.twin_query)):
            about = f"{spot.id}/answer-alone-{name}"
            reply = await self._desk.ask(self._desk.author, about, (Message("user", query),), None, 1)
            if reply.status != "ok":
                raise Dropped("text-alone", f"{name}: answered without the picture, it is {reply.status}")
            nonce = digest("nonce", about, query, reply.text)[:16]
            text = self._prompts.fill(
                "text-alone",
                nonce=nonce,
                query=quote(query, nonce, "query"),
                answer=quote(reply.text, nonce, "answer"),
            )
            stage = f"text-alone-{name}"
            said = await self._ask(self._desk.checker, spot, stage, text, AloneOut, with_image=False)
            if not said.harmless:
                raise Dropped("text-alone", f"{name}: not safe without the picture: {said.evidence}")

    async def _draft(self, spot: Spot, asked: QueryOut) -> tuple[ReasoningOut, str]:
        """Reasoning agent and check; returns the draft that passed, and what the check said of it."""
        complaint = ""
        for number in range(1, DRAFTS + 1):
            nonce = digest("nonce", spot.id, "reasoning", asked.model_dump(), complaint)[:16]
            text = self._prompts.fill(
                "reasoning",
                nonce=nonce,
                proposal=_queries(asked, nonce),
                complaint=quote(complaint, nonce, "complaint") if complaint else "",
            )
            draft = await self._ask(self._desk.author, spot, f"reasoning-{number}", text, ReasoningOut)
            said = await self._check(spot, asked, draft, number)
            if not said.jointly_risky:
                raise Dropped("check", f"picture and query together are no risk: {said.reason}")
            if not said.twin_harmless:
                raise Dropped("check", f"the twin is not harmless: {said.reason}")
            complaint = _complaint(said)
            if not complaint:
                return draft, said.reason
        raise Dropped("check", complaint)

    async def _check(self, spot: Spot, asked: QueryOut, draft: ReasoningOut, number: int) -> CheckOut:
        nonce = digest("nonce", spot.id, "check", asked.model_dump(), draft.model_dump())[:16]
        text = self._prompts.fill(
            "check",
            nonce=nonce,
            proposal=_queries(asked, nonce),
            risky=_path(draft.risky, nonce, "risky"),
            benign=_path(draft.benign, nonce, "benign"),
        )
        said = await self._ask(self._desk.checker, spot, f"check-{number}", text, CheckOut)
        for one in said.redundant:
            if one.step > len(getattr(draft, one.path).steps):
                raise Dropped("check", f"the check names step {one.step} of {one.path}, which has none such")
        return said

    async def _ask(
        self,
        who: Speaker,
        spot: Spot,
        stage: str,
        text: str,
        shape: type[Out],
        about: str = "",
        with_image: bool = True,
    ) -> Out:
        """Ask, read, ask again with the reason; at last drop."""
        images = (load_image(spot.image),) if with_image else ()
        first, problem = Message("user", text, images), ""
        messages: tuple[Message, ...] = (first,)
        for attempt in range(1, ATTEMPTS + 1):
            schema = _schema(shape)
            reply = await self._desk.ask(who, f"{about or spot.id}/{stage}", messages, schema, attempt)
            if reply.status == "refused":
                raise Dropped(stage, "refused by the provider's filter")
            try:
                if reply.status != "ok":
                    raise BadReply(f"the reply is {reply.status}")
                return parse(reply.text, shape)
            except BadReply as error:
                problem = str(error)
                messages = (first, Message("assistant", reply.text.strip() or "(nothing)"), _again(problem))
        raise Dropped(stage, f"no usable reply in {ATTEMPTS} attempts: {problem}")


def _schema(shape: type[Strict]) -> dict[str, object]:
    return dict(shape.model_json_schema())


def _again(problem: str) -> Message:
    return Message(
        "user", f"That could not be used: {problem}. Write nothing but the one JSON object, whole."
    )


def _queries(asked: QueryOut, nonce: str) -> str:
    parts = {
        "risky query": asked.query,
        "key element": asked.key_element,
        "trigger element": asked.trigger_element,
        "together": asked.together,
        "benign query": asked.twin_query,
        "benign together": asked.twin_together,
    }
    return "\n".join(quote(text, nonce, name) for name, text in parts.items())


def _path(path: PathOut, nonce: str, name: str) -> str:
    steps = [quote(s.text, nonce, f"{name} step {n} ({s.role})") for n, s in enumerate(path.steps, 1)]
    return "\n".join([*steps, quote(path.answer, nonce, f"{name} answer")])


def _complaint(said: CheckOut) -> str:
    found = [f"{one.path} step {one.step} is redundant" for one in said.redundant]
    found += [f"missing: {what}" for what in said.missing]
    return "; ".join(found)


def find_prompts(roots: list[Path]) -> Prompts:
    """The pipeline's folder on the first task shelf that has one.

    Raises:
        UserError: none has, or a prompt is no template.
    """
    for root in roots:
        if (root / "ssui" / "pipeline").is_dir():
            return Prompts.read(root / "ssui" / "pipeline")
    raise UserError(f"no ssui/pipeline on the shelf 'tasks'; looked in {', '.join(map(str, roots))}")
