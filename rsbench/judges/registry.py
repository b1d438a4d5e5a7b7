"""Build a judge from its card, and refuse a judge that would mark its own work."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsbench import judge_cards as cards
from rsbench.judges.asking import Generate
from rsbench.judges.base import Judge
from rsbench.models.base import GenParams, Model
from rsbench.models.cards import is_model_card, parameters_for, provider_of
from rsbench.models.registry import in_process, is_mock
from rsbench.shelves import Found
from rsbench.types import UserError

OFFLINE = ("tiny", "mock")  # models that may be judged by an offline judge without being told to


@dataclass(frozen=True)
class JudgeChoice:
    """What the user asked for: a card, and the model behind it where the card's kind needs one."""

    card: str
    model: str | None


def choose(judge: str | None, judge_model: str | None, model: str, suggested: str | None) -> JudgeChoice:
    """Make a choice out of `--judge` and `--judge-model`.

    `--judge provider/model`, or a model's card, means the card `llm` with that model; a list with commas is a
    panel. Without `--judge` only the embedded and the scripted model have a default: for a real model a weak
    default judge would be a wrong number that looks right.

    Raises:
        UserError: no judge named for a real model.
    """
    if judge is None:
        if provider_of(model) in OFFLINE:
            return JudgeChoice(suggested or "overlap", judge_model)
        raise UserError(
            f"--model {model} needs a --judge. Choices: --judge openai/<model> (a rubric judge), "
            "--judge <name or card>; `rsbench list judges` shows them with their measured agreement."
        )
    if "," in judge:
        if judge_model is not None:
            raise UserError("--judge-model does not go with a list of judges; write a panel's card")
        return JudgeChoice(judge, None)
    if is_model_card(judge) or cards.names_model(judge):
        return JudgeChoice("llm", judge)
    return JudgeChoice(judge, judge_model)


def build(
    choice: JudgeChoice,
    shelves: list[Path],
    make_model: Callable[[str], Model],
    around: Callable[[Model], Generate],
) -> Judge:
    """Make the judge; `around` wraps a model's call in retries and limits.

    Raises:
        UserError: bad card, missing model.
    """
    card, found = cards.load_judge(choice.card, shelves)
    if isinstance(card, cards.LlmJudge):
        from rsbench.judges.llm import RubricJudge

        if choice.model is None:
            raise UserError(f"Judge {card.name!r} needs --judge-model provider/model")
        model = make_model(choice.model)
        if card.structured == "required" and in_process(model.account):
            from rsbench.models.hf_constraint import check_installed

            check_installed()
        own = GenParams(max_tokens=card.max_tokens, temperature=card.temperature)
        return RubricJudge(card, found, model, around(model), parameters_for(choice.model, own))
    if isinstance(card, cards.GuardJudge):
        from rsbench.judges.guard import Guard

        name = choice.model or card.model
        if name is None:
            raise UserError(f"Judge {card.name!r} needs --judge-model provider/model")
        guard_model = make_model(name)
        return Guard(card, found, guard_model, around(guard_model))
    if isinstance(card, cards.OverlapJudge):
        from rsbench.judges.overlap import OverlapJudge

        return OverlapJudge(card, found)
    if isinstance(card, cards.RewardJudge):
        from rsbench.judges.reward import RewardJudge

        return RewardJudge(card, found)
    if isinstance(card, cards.WordsJudge):
        from rsbench.judges.words import WordsJudge

        return WordsJudge(card, found)
    if isinstance(card, cards.OracleJudge):
        from rsbench.judges.oracle import OracleJudge

        return OracleJudge(card, found)
    if isinstance(card, cards.MockJudge):
        from rsbench.judges.mock import ScriptedJudge

        return ScriptedJudge(card, found)
    if isinstance(card, cards.PanelJudge):
        return _panel(card, found, shelves, make_model, around)
    module, _, name = card.python.partition(":")
    try:
        judge: Judge = getattr(importlib.import_module(module), name)(card, found)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{found.path}: python: {card.python!r} can't be imported: {error}") from error
    return judge


def _panel(
    card: cards.PanelJudge,
    found: Found,
    shelves: list[Path],
    make_model: Callable[[str], Model],
    around: Callable[[Model], Generate],
) -> Judge:
    from rsbench.judges.panel import Panel, Seat

    def seat(member: cards.Member) -> Seat:
        made: list[str] = []

        def make(name: str) -> Model:
            made.append(name)
            return make_model(name)

        judge = build(_choice(member, found, shelves), shelves, make, around)
        return Seat(judge, made[0] if made else None)

    arbiter = seat(card.arbiter) if card.arbiter else None
    return Panel(card, found, [seat(member) for member in card.judges], arbiter)


def check_panel(card: cards.PanelJudge, found: Found, shelves: list[Path]) -> None:
    """Check that the cards of a panel's judges can be found and read.

    Raises:
        UserError: one can't, or is a panel itself.
    """
    for member in [*card.judges, *([card.arbiter] if card.arbiter else [])]:
        _choice(member, found, shelves)


def _choice(member: cards.Member, found: Found, shelves: list[Path]) -> JudgeChoice:
    """What a panel's card says of one of its judges, as the command line would say it."""
    judge, model = _beside(found, member.judge), _beside(found, member.model)
    if is_model_card(judge):
        judge, model = "llm", judge
    if "," in judge or isinstance(cards.load_judge(judge, shelves)[0], cards.PanelJudge):
        raise UserError(f"{found.path}: {member.judge} is a panel itself; list its judges here")
    return JudgeChoice(judge, model)


def _beside(found: Found, argument: str | None) -> Any:
    """A file named in a panel's card, which is relative to the card; anything else as it is."""
    if argument is None or not argument.startswith(".") or not found.path.is_file():
        return argument
    return str((found.folder / argument).resolve())


def check_independence(model: Model, judge_model: Model, allow_same_family: bool) -> str | None:
    """Refuse a judge that is the model under test or of its family; returns a warning if that can't be told.

    Raises:
        UserError: the judge is the model, or of its family without `--allow-same-family`.
    """
    if is_mock(model):
        return None
    mine, theirs = (m.identity().get("model", m.name) for m in (model, judge_model))
    if mine == theirs:
        raise UserError(f"The judge {judge_model.name} is the model under test; choose another --judge")
    if model.family is None or judge_model.family is None:
        unknown = model.name if model.family is None else judge_model.name
        return f"the family of {unknown} is unknown: make sure that judge and model do not share one"
    if model.family == judge_model.family and not allow_same_family:
        raise UserError(
            f"The judge {judge_model.name} is of the tested model's own family ({model.family}), and models "
            "favour their own kind. Choose a judge of another family, or pass --allow-same-family; "
            "the result will say so."
        )
    return None
