"""Try a judge on a task's gold traces: plainly, hint-blind, with the twin's hint, and under attack.

Verdicts, and the votes that they are made of, are records in a work folder under their content keys, so that
a trial that was broken off goes on and pays for nothing twice. What they say of the judge is computed in
`validation` and `robustness`.
"""

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rsbench.attacks import ATTACKS, blank_image
from rsbench.budget import Callers, CapReached, Spending, is_paid, spent
from rsbench.execute import session_noted
from rsbench.forecast import Ask, Forecast, of_verdict
from rsbench.judge_cards import load_judge
from rsbench.judges.base import Judge, Planning, Voting, name_with_hints
from rsbench.judges.registry import JudgeChoice
from rsbench.records import digest, verdict_key
from rsbench.robustness import Compared, Thresholds, robustness
from rsbench.runner import Engine, Kept, judge_identity
from rsbench.score import slug
from rsbench.session import Watch, callers_of, make_engine, make_judge
from rsbench.settings import Settings
from rsbench.store import Records, RunFolder, read_noted
from rsbench.trials import Bench, Question, Trial, possible_modes, questions, read_bench
from rsbench.types import FINAL_VERDICT, ItemImage, Verdict
from rsbench.validation import compare_with_gold, lost_share

BOOKS = "trial.json"  # sessions and spending; not called like a run's manifest, for a trial is no run


def default_work(choice: JudgeChoice) -> Path:
    """The work folder when none is named."""
    named = choice.model or choice.card
    return Path("runs") / f"validate-{slug(Path(named).stem if named.endswith('.yaml') else named)}"


def measure(
    choice: JudgeChoice, trial: Trial, settings: Settings, work: Path, watch: Watch, ask: Ask
) -> list[dict[str, Any]]:
    """Ask for the verdicts that have no record yet; returns one measurement a mode.

    Empty if `ask` did not want to go on: then nothing was called and nothing written.

    Raises:
        UserError: no gold traces, bad card, unknown mode, a provider that can't be reached.
        CapReached: a cap on the spending left no room for the next call; what was finished is kept.
    """
    with TemporaryDirectory() as folder:  # a dry run leaves nothing behind
        blank = blank_image(Path(folder)) if trial.robustness else None
        return _measure(choice, trial, settings, work, blank, watch, ask)


def _measure(
    choice: JudgeChoice,
    trial: Trial,
    settings: Settings,
    work: Path,
    blank: ItemImage | None,
    watch: Watch,
    ask: Ask,
) -> list[dict[str, Any]]:
    bench = read_bench(trial, settings)
    planned = len(bench.traces)
    engine, tally = make_engine(settings, lambda now, _: watch(now, planned), 0)
    judge, models = make_judge(choice, settings, engine)
    modes = possible_modes(trial.modes, judge)
    asked = list(questions(bench, modes, blank))
    planned = len(asked)
    callers = callers_of(None, judge, models, settings, engine)
    if not ask(is_paid(callers), partial(_forecast, asked, judge, callers, work)):
        return []
    thresholds = Thresholds(**load_judge(choice.card, list(settings.shelves))[0].robustness.model_dump())
    either = {name_with_hints(name, hints): one for hints in (True, False) for name, one in callers.items()}
    with RunFolder(work).locked() as folder:
        with session_noted(folder, BOOKS, _books(folder), engine, tally, settings.caps, either):
            verdicts = asyncio.run(_ask_all(asked, judge, engine, folder, settings))
        records = folder.verdicts(FINAL_VERDICT).open(writable=False)
    names = {name: model.identity() for name, model in models.items()}
    return [
        {
            **_measurement(bench, mode, asked, verdicts, thresholds if trial.robustness else None),
            "usage": _usage(mode, asked, verdicts, judge, callers, records),
            "identity": digest(judge_identity(judge, mode != "hint-blind")),
            "instrument": judge_identity(judge, mode != "hint-blind"),
            "models": names,
            "judge": judge.name,
            "mode": mode,
            "task": bench.task,
            "gold": bench.gold,
        }
        for mode in modes
    ]


def _books(folder: RunFolder) -> dict[str, Any]:
    """What earlier sessions in the work folder noted.

    Raises:
        UserError: the file is damaged.
    """
    path = folder.path / BOOKS
    return read_noted(path, "the books of a trial", 1) if path.exists() else {"schema": 1, "sessions": []}


def _forecast(asked: Sequence[Question], judge: Judge, callers: Callers, work: Path) -> Forecast:
    """What the questions without a record will cost."""
    verdicts = RunFolder(work).verdicts(FINAL_VERDICT)
    if verdicts.path.exists():
        verdicts.open(writable=False)
    likely, most = dict.fromkeys(callers, Spending()), Spending()
    for question in asked:
        case = question.case(judge)
        if verdicts.done(case.key):
            continue
        for planned in judge.planned(case) if isinstance(judge, Planning) else ():
            who = next(name for name in callers if planned.caller in (name, name_with_hints(name, False)))
            usual, longest = of_verdict(planned, 0, callers[who].rate)
            if planned.certain:
                likely[who] += usual
            most += longest
    return Forecast(likely, most)


async def _ask_all(
    asked: Sequence[Question], judge: Judge, engine: Engine, folder: RunFolder, settings: Settings
) -> list[Verdict]:
    """One verdict a question, in order; `error` where no call succeeded."""
    records = folder.verdicts(FINAL_VERDICT).open()
    verdicts: list[Verdict] = [Verdict("error")] * len(asked)
    todo = iter(enumerate(asked))
    stopped: list[CapReached] = []

    async def worker() -> None:
        for place, question in todo:
            try:
                verdicts[place] = await _ask(question, judge, records)
            except CapReached as reached:
                stopped.append(reached)
                return
            engine.finished(verdicts[place].status)

    try:
        await asyncio.gather(*(worker() for _ in range(settings.judge_options.max_connections)))
    finally:
        records.close()
        await judge.close()
    if stopped:
        raise stopped[0]
    return verdicts


async def _ask(question: Question, judge: Judge, records: Records) -> Verdict:
    ballots = Kept(records, question.source, question.trace.item, 0, question.attacked.reply)
    return await ballots.cast(judge, replace(question.case(judge), ballots=ballots), 0, judge.judge)


def _usage(
    mode: str,
    asked: Sequence[Question],
    verdicts: Sequence[Verdict],
    judge: Judge,
    callers: Callers,
    records: Records,
) -> dict[str, Any] | None:
    """What the plain verdicts of a mode took, their votes with them, each at its caller's price.

    None for a judge that calls no model; and where votes are missing, for an older rsbench kept none.
    """
    if not callers:
        return None
    plain = [(q, v) for q, v in zip(asked, verdicts, strict=True) if q.mode == mode and not q.attack]
    total = Spending()
    for question, verdict in plain:
        votes = [(who, records.get(key)) for who, key in _votes(question, judge)]
        if votes[1:] and verdict.status == "ok" and not any(vote for _, vote in votes[1:]):
            return None
        for who, vote in votes:
            if who in callers and vote and vote["status"] != "error":  # that says nothing of what it took
                read, written = (vote["usage"][f"{end}put_tokens"] or 0 for end in ("in", "out"))
                total += spent(vote["attempts"], read, written, callers[who].rate)
    seconds = [verdict.latency_s for _, verdict in plain if verdict.latency_s > 0]
    median = round(statistics.median(seconds), 3) if seconds else None
    return {"verdicts": len(plain), **total.stored(), "median_seconds": median}


def _votes(question: Question, judge: Judge) -> Iterator[tuple[str, str]]:
    """Judge's name and key of each record that a verdict's calls may stand in: its own, and its votes'."""
    own, reply = judge_identity(judge, question.mode != "hint-blind"), question.attacked.reply
    yield judge.name, verdict_key(question.source, reply, own)
    for voter in judge.voters if isinstance(judge, Voting) else ():
        identity = {**voter.identity, "hints": own["hints"]}
        for vote in (voter.vote, *range(1, voter.votes + 1)):
            name = judge.name if voter.vote else voter.name  # a panel's members have names of their own
            yield name, verdict_key(question.source, reply, identity, vote)


def _measurement(
    bench: Bench,
    mode: str,
    asked: Sequence[Question],
    verdicts: Sequence[Verdict],
    thresholds: Thresholds | None,
) -> dict[str, Any]:
    both = [(q, v) for q, v in zip(asked, verdicts, strict=True) if q.mode == mode]
    plain = {q.trace.id: v for q, v in both if not q.attack}
    traces = [trace for trace in bench.traces if trace.id in plain]
    pairs = {item.id: item.pair for item in bench.items.values()}
    given = list(plain.values())
    attacked = [v for q, v in both if q.attack]
    result = compare_with_gold(traces, given, pairs) | {"mendable_share": lost_share(given, attacked)}
    if thresholds is None or mode == "twin-hint":
        return result
    found: dict[str, list[Compared]] = {attack.name: [] for attack in ATTACKS}
    applied = dict.fromkeys(found, 0)
    for question, verdict in both:
        if not question.attack:
            continue
        applied[question.attack] += 1
        before, trace = plain[question.trace.id], question.trace
        if before.status == verdict.status == "ok":
            pair = pairs[trace.item]
            found[question.attack].append(Compared(pair, trace, question.attacked, before, verdict))
    return result | {"robustness": robustness(found, applied, thresholds)}
