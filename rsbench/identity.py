"""What a run is: the identity that its manifest holds and that a resume must match, its judges, its plan."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from rsbench import cards, judge_cards, manifest, steps
from rsbench.judges import registry as judges
from rsbench.judges.base import Judge, Voting, name_with_hints
from rsbench.models import registry as models
from rsbench.models.base import Model
from rsbench.models.cards import card_for
from rsbench.plan import Plan
from rsbench.records import digest
from rsbench.runner import judge_identity, judge_name
from rsbench.settings import Settings
from rsbench.shelves import Found
from rsbench.spending import open_batches
from rsbench.store import RunFolder
from rsbench.types import UserError
from rsbench.validation import ORACLE, for_task, validations

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # of a commit, or of a folder's weights


def identity(
    card: cards.TaskCard, found: Found, settings: Settings, plan: Plan, model: Model
) -> dict[str, Any]:
    """What makes two runs the same run."""
    task: dict[str, Any] = {"name": card.name, "version": card.version, "sha256": found.sha256}
    if card.closed_world:
        task["closed_world"] = True
    if plan.dataset.split is not None:  # a task without splits keeps the identity it always had
        task |= {"split": plan.dataset.split, "trains": plan.dataset.trains}
    if card.official:
        task["official"] = card.official
    return {
        "task": task,
        "prompt": {"variant": settings.prompt, "sha256": digest(plan.template)},
        "data": digest([item.hash for item in plan.dataset]),
        "condition": plan.condition,
        "segmenter": f"{steps.SEGMENTER}/{steps.VERSION}",
        "samples": settings.samples,
        "model": {"name": model.name, **model.identity()},
        "family": model.family,
        "parameters": dataclasses.asdict(settings.params),
    }


def rebuild_settings(settings: Settings) -> dict[str, Any]:
    """What `rsbench judge` needs to plan the same samples again."""
    data = str(settings.data.resolve()) if settings.data else None
    fields = ("prompt", "condition", "split", "subset", "limit", "seed", "samples")
    return {"data": data, **{name: getattr(settings, name) for name in fields}}


def judge_entry(
    choice: judges.JudgeChoice,
    judge: Judge,
    judge_models: Mapping[str, Model],
    model: Model,
    task: str,
    settings: Settings,
) -> dict[str, Any]:
    """What the manifest says of a judge. `task`: the name on the card of the task that is run."""
    card, found = judge_cards.load_judge(choice.card, list(settings.shelves))
    model_card = card_for(choice.model) if choice.model else None
    own = judge_identity(judge, settings.hints)
    behind = judge_models.values()
    voters = [
        {
            "name": name_with_hints(voter.name, settings.hints),
            "identity": {**voter.identity, "hints": own["hints"]},
            "vote": voter.vote,
            "arbiter": voter.arbiter,
            "votes": voter.votes,
        }
        for voter in (judge.voters if isinstance(judge, Voting) else ())
    ]
    return {
        "card": manifest.card_entry(found),
        **({"model_card": manifest.card_entry(model_card[1])} if model_card else {}),
        "kind": card.kind,
        "identity": own,
        "same_family": model.family is not None and any(m.family == model.family for m in behind),
        "mock": getattr(judge, "scripted", False) or any(models.is_mock(m) for m in behind),
        **({"voters": voters} if voters else {}),
        "validation": ORACLE if card.kind == "oracle" else for_task(validations(found.folder, own), task),
    }


def resume(
    folder: RunFolder,
    wanted: dict[str, Any],
    found: dict[str, Found],
    settings: Settings,
    judge: Judge,
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """The manifest to go on with: a fresh one, or the old one after its identity was checked.

    Raises:
        UserError: the folder holds a run with other settings, and `--allow-change` was not given.
    """
    old = folder.manifest_or_none()
    replies = folder.path / "replies.jsonl"
    begun = replies.exists() and replies.stat().st_size or open_batches(folder)
    if old is None or not begun:
        # Nothing was answered under the old settings, for instance because they were mistyped.
        return manifest.fresh(wanted, found, datetime.now(UTC).isoformat(timespec="seconds"))
    before, now = dict(old["identity"]), dict(wanted)
    if not settings.allow_change:
        _check_noted(before["model"], now["model"], folder)
    if before["data"] != now["data"]:  # two hashes tell nobody that it was --limit
        before["selection"], now["selection"] = old["settings"], rebuild_settings(settings)
    name = judge_name(judge, settings.hints)
    if name in old["judges"]:
        before["judge"], now["judge"] = old["judges"][name]["identity"], judge_identity(judge, settings.hints)
    elif old["judges"]:
        before["judge"], now["judge"] = ", ".join(old["judges"]), name
    for line in manifest.check_unchanged(before, now, folder.path, settings.allow_change):
        warn(f"changed since the run began: {line}")
    cards_now = {key: manifest.card_entry(f) for key, f in found.items()}
    return {**old, "identity": wanted, "cards": cards_now}


def _check_noted(before: dict[str, str], now: dict[str, str], folder: RunFolder) -> None:
    """Refuse a run of a local model whose manifest leaves open which weights it ran.

    Raises:
        UserError: it was begun before precision and commit were noted, so more replies might be of others.
    """
    if now.get("provider") != "hf" or before.get("provider") != "hf":
        return
    if ("dtype" in now and "dtype" not in before) or not _HASH.fullmatch(before["revision"]):
        raise UserError(
            f"{folder.path} was begun by an rsbench that did not note the precision of a local model and "
            "the commit of one from the hub, so nobody knows whether more replies would be of the same "
            "weights: take another --out. What is there can still be judged, scored and shown; "
            "--allow-change asks for all of it anew."
        )
