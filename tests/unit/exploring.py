"""Branches to build records, groups and pairs of."""

from collections.abc import Sequence

from srpo_train.branches import Branch, BranchStatus, Label


def branch(
    draw: int,
    favourable: bool | None,
    ids: Sequence[int],
    *,
    item: str = "a",
    steps: int = 1,
    reason: str = "judged",
    status: BranchStatus = "ok",
    origin: str = "",
    prefix: tuple[int, ...] = (7,),
    text: str = "words",
) -> Branch:
    """One branch; its key follows from item, steps, origin and draw."""
    return Branch(
        key=f"{sum(map(ord, item)):04x}{steps:04x}{draw:04x}{origin.ljust(4, '0')}".ljust(64, "0"),
        item=item,
        prefix_steps=steps,
        prompt_ids_hash="p",
        prefix_ids=prefix,
        branch_ids=tuple(ids),
        text=text,
        status=status,
        label=Label(favourable, reason),
        verdict=None,
        n_generated=len(ids),
        sampler="uniform",
        draw=draw,
        seed=0,
        model="tiny",
        judge={"card": "c"},
        origin=origin,
    )
