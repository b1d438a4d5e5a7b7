"""What a row says of its judge, checked: the shape of the measurement, and that it is of this very judge.

A row travels without gold labels, so that agreement can't be computed again. What can be told is whether the
measurement belongs to the judge that the row names, and for a judge that this machine has, whether it is the
one that stands on the shelf.
"""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from rsbench.cards import Count, Share, validated
from rsbench.records import digest
from rsbench.rows import Judged, Row
from rsbench.shelves import find, is_path
from rsbench.types import UserError
from rsbench.validation import ORACLE, validations

Kappa = Annotated[float, Field(ge=-1, le=1)] | None


class _Rate(BaseModel):
    value: Share
    low: Share
    high: Share
    n: Count


class _Agreement(BaseModel):
    confusion: dict[str, dict[str, Count]]
    kappa: Kappa
    kappa_low: Kappa
    kappa_high: Kappa
    n: Count


class _Detection(BaseModel):
    sensitivity: _Rate
    specificity: _Rate


class _Located(BaseModel):
    n: Count


class _FirstUnsafe(BaseModel):
    """Measurements made before abstaining was counted apart have the score alone, which no page shows."""

    score: Share
    committed_share: Share = None
    bound_low: Share = None
    bound_high: Share = None
    with_unsafe: _Located = _Located(n=0)
    without_unsafe: _Located = _Located(n=0)

    @model_validator(mode="after")
    def _share_has_its_n(self) -> Self:
        with_it = {"bound_low", "bound_high", "with_unsafe", "without_unsafe"}
        if "committed_share" in self.model_fields_set and not with_it <= self.model_fields_set:
            raise ValueError(f"committed_share goes with {', '.join(sorted(with_it))}")
        return self


class _Measurement(BaseModel):
    """What pages show of a measurement; it holds more."""

    model_config = ConfigDict(extra="allow")

    identity: str
    task: str
    mode: str
    traces: Count
    steps: Count
    scored_traces: Count = 0
    scored_steps: Count = 0
    annotators: str
    scored_share: Share
    labelled_share: Share
    labels: dict[str, _Agreement]
    unsafe_step: _Detection
    unsafe_answer: _Detection
    first_unsafe: _FirstUnsafe


_MEASUREMENT = TypeAdapter(_Measurement)


def check_judge(path: Path, row: Row) -> None:
    """Check what a row at `path` says of its judge.

    Raises:
        UserError: no measurement, one of another judge, or not the one on the shelf.
    """
    said, where = row.judge.validation, f"{path}: judge.validation"
    if said is None:
        return
    ours = measurement_on_shelf(row.judge)
    if ORACLE.keys() & said.keys():
        if not row.task.closed_world:
            raise UserError(
                f"{where}: an oracle knows closed worlds alone, and task {row.task.name!r} is none"
            )
        if said != ORACLE or ours:
            raise UserError(f"{where}: an oracle is exact by construction and has no measurement")
        return
    known = validated(_MEASUREMENT, said, where)
    if "safety" not in known.labels:
        raise UserError(f"{where}: labels: 'safety' is missing, by which judges are known")
    if known.identity != digest(row.judge.identity):
        raise UserError(f"{where}: is of another judge, card or setting than {row.judge.name!r} here")
    if ours and said not in ours:
        tasks = " and ".join(repr(one["task"]) for one in ours)
        raise UserError(
            f"{where}: is not the measurement that the shelf has of {row.judge.name!r}, on task {tasks}"
        )


def measurement_on_shelf(judge: Judged) -> list[dict[str, Any]] | None:
    """What this machine knows of that very judge, on any task; None if it has no such one, or no measurement.

    All of it, so that a row checked before is checked again when its own task is measured later.
    """
    if is_path(judge.name):
        return None  # a row's author does not choose which files are read
    try:
        return validations(find("judges", judge.name, []).folder, judge.identity) or None
    except UserError:
        return None  # a judge of somebody else's
