"""Weights of judges that were trained: a file beside the card, known by its hash."""

import hashlib

from rsbench.judge_cards import TrainedJudge
from rsbench.shelves import Found, inside
from rsbench.types import UserError


def read_weights(card: TrainedJudge, found: Found) -> bytes:
    """The bytes of a card's weights.

    Raises:
        UserError: the file is missing, or is not the one of the card's sha256.
    """
    path = inside(found.folder, card.weights)
    data = path.read_bytes() if path.is_file() else None
    if data is None or hashlib.sha256(data).hexdigest() != card.sha256:
        what = "is not there" if data is None else "are not the weights of that sha256"
        raise UserError(f"{found.path}: weights: {path} {what}; `rsbench train {card.name}` makes both anew")
    return data
