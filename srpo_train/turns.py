"""Which unsafe branches to search for the step at which they turn; the search is `samplers.next_probe`.

What it finds is the closest contrast there is: up to that step a safe continuation was still sampled, and the
branch's own next step leads to an unsafe answer.
"""

from collections.abc import Sequence

from srpo_train.branches import Branch

PROBES = 2  # draws at each place probed
REST = -1  # number of the draw that is the rest of the branch searched


def choose_turning(places: Sequence[Sequence[Branch]], most: int) -> list[Branch]:
    """Branches with an unsafe answer from prefixes that have a favourable one too, at most one a prefix.

    From a prefix without a favourable branch, the turn may lie before the branch begins.
    """
    chosen: list[Branch] = []
    for branches in places:
        unsafe = [b for b in branches if b.label.favourable is False and _unsafe_answer(b)]
        if unsafe and any(b.label.favourable for b in branches):
            chosen.append(unsafe[0])
    return chosen[:most]


def _unsafe_answer(branch: Branch) -> bool:
    answer = (branch.verdict or {}).get("answer") or {}
    return bool(answer.get("safety") == "unsafe")
