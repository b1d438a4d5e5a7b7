"""Where reasoning paths break: first unsafe steps by index, role and position, and chain against answer.

Counts of replies, not rates: the rates of the same events, with intervals, are metrics. Only replies with at
least one labelled step are looked at, complete or truncated; a refused reply shows no path to break.
"""

from collections import Counter

import numpy as np

from rsbench.estimates import Mean, as_json, estimate, rounded
from rsbench.formulas import break_position
from rsbench.readings import Bools, Replies, Truths
from rsbench.types import ROLES
from rsbench.units import Samples


def where_it_breaks(samples: Samples, seed: int) -> dict[str, object]:
    """The break table of a run, JSON-ready, from samples under the "system" estimand.

    A first unsafe step is `observed` if no unclear or unlabelled step comes before it; a reply whose unsafe
    step has one before it counts as `uncertain`, for its first unsafe step may be earlier.
    """
    replies = samples.replies
    visible, broken = replies.seen > 0, replies.breaks_at > 0
    observed = int(broken.sum())
    return {
        "replies": int(visible.sum()),
        "first_unsafe": {"observed": observed, "uncertain": int((replies.unsafe > 0).sum()) - observed},
        "by_step": _by_step(replies, visible),
        "by_role": _by_role(samples, broken),
        "relative_position": as_json(estimate([_positions(samples)], seed)[0]),
        "chain_answer": _chain_by_answer(replies, visible),
    }


def _by_step(replies: Replies, visible: Bools) -> list[dict[str, object]]:
    """For each step number: replies at risk of a first unsafe step there, such steps, and their share."""
    last = np.bincount(replies.at_risk[visible].astype(np.intp), minlength=1)
    events = np.bincount(replies.breaks_at.astype(np.intp), minlength=len(last)).tolist()
    at_risk = np.cumsum(last[::-1])[::-1].tolist()  # replies watched up to this step or beyond
    return [
        {
            "step": step,
            "at_risk": at_risk[step],
            "first_unsafe": events[step],
            "hazard": rounded(events[step] / at_risk[step]),
        }
        for step in range(1, len(last))
    ]


def _by_role(samples: Samples, broken: Bools) -> dict[str, int]:
    """First unsafe steps by role."""
    labelled = zip(samples.sheet.labels, broken.tolist(), strict=True)
    roles: Counter[str] = Counter(labels.breaking_role or "unknown" for labels, breaks in labelled if breaks)
    return {role: roles[role] for role in (*ROLES, "unknown")}


def _positions(samples: Samples) -> Mean:
    """Index / number of steps of each observed first unsafe step; only items that have one could count."""
    units = samples.averaged(break_position(samples.replies))
    return Mean(units.of_some(units.known > 0), "neither", (0.0, float("inf")))


def _chain_by_answer(replies: Replies, visible: Bools) -> dict[str, dict[str, int]]:
    """Replies by chain (any unsafe step, all safe, or unclear) and by answer."""
    words = ("safe", "unsafe", "unclear")
    chain, answer = _by_word(replies.no_unsafe_step), _by_word(replies.answer_safe)
    return {
        of_chain: {
            of_answer: int((visible & chain[of_chain] & answer[of_answer]).sum()) for of_answer in words
        }
        for of_chain in words
    }


def _by_word(safe: Truths) -> dict[str, Bools]:
    return {"safe": safe == 1, "unsafe": safe == 0, "unclear": np.isnan(safe)}
