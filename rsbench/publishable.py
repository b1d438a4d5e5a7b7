"""Which runs may stand beside other people's: the rules that leaderboard rows and published exports share."""

from typing import Any

from rsbench.conditions import WITHHELD
from rsbench.types import UserError


def check_publishable(where: str, manifest: dict[str, Any], result: dict[str, Any]) -> None:
    """Whether a run's numbers may be a row, or go where they stand beside other models'.

    Args:
        where: The run's folder, for the message.
        manifest: The run's manifest.
        result: Its scores, as `score.compute` gives them.

    Raises:
        UserError: scripted, incomplete, of a training split, or of half items.
    """
    task = manifest["identity"]["task"]
    if task.get("trains"):
        raise UserError(
            f"{where}: split {task['split']!r} is for training, so its runs make no row, and their "
            "numbers are not published"
        )
    if result["meta"]["mock"]:
        raise UserError(
            f"{where}: scripted model or judge (mock); that is no measurement, no row, nothing to publish"
        )
    if not result["complete"]:
        lost = f"{result['mendable_share']:.1%} of its samples ended as error, unparsed or missing"
        raise UserError(f"{where}: the run is incomplete ({lost}); resume it first")
    check_whole(where, manifest["identity"]["condition"])


def check_whole(where: str, condition: str) -> None:
    """A row is of whole items.

    Raises:
        UserError: image or query was withheld, so that there was no risk to meet.
    """
    if condition in WITHHELD:
        raise UserError(
            f"{where}: condition {condition!r} withholds one half of every item; such a run is half of a "
            "cross-modal gap (`rsbench compare`) and no row"
        )
