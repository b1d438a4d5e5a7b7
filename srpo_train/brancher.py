"""What samples branches is to the explorer: it opens an item as tokens, and continues prefixes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rsbench.models.base import GenParams
from rsbench.plan import Sample
from srpo_train.branches import Branch, BranchStatus
from srpo_train.paths import StepCut, TokenPath

FIRST_TOKENS = 8  # of a branch: over these its entropy is measured


@dataclass(frozen=True)
class Trunk:
    """An item's prompt and reference path as token ids; `inputs` is what a brancher keeps for itself."""

    prompt_ids: tuple[int, ...]
    path: TokenPath
    inputs: Any = None


@dataclass(frozen=True)
class Ask:
    """One branch wanted: what stands before it (behind the prompt), and the key that its noise comes from."""

    prefix_ids: tuple[int, ...]
    prefix_text: str
    key: str


@dataclass(frozen=True)
class Sampled:
    """One branch as it was sampled; `ids` end in the stop token if it ended by itself.

    `nats`: mean entropy of its first tokens' distributions, or of -log p of those tokens, whose mean is that.
    """

    status: BranchStatus
    ids: tuple[int, ...] = ()
    text: str = ""
    n_generated: int = 0
    nats: float | None = None
    error: str = ""


class Brancher(Protocol):
    """A model that continues prefixes."""

    name: str

    def identity(self) -> dict[str, str]:
        """What makes this model's branches its own; part of every key."""
        ...

    async def open(self, sample: Sample) -> Trunk:
        """Tokenise prompt and reference path.

        Raises:
            UserError: the item has no reference path, or its steps can't be found among the tokens.
        """
        ...

    async def sample(self, trunk: Trunk, asks: Sequence[Ask], params: GenParams) -> list[Sampled]:
        """Branches in the order of `asks`. Asks of one prefix are independent samples."""
        ...

    def steps(self, branch: Branch) -> list[StepCut]:
        """Where the steps of a branch end among its tokens."""
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...
