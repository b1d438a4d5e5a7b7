"""`branches.jsonl`: one explored branch a record, append-only and content-keyed; and the pairs made of them.

Token ids are stored, not text alone: text re-tokenised is another prefix, and then the loss masks the wrong
tokens. Grouping and pairing are pure functions of the records, whatever order they were written in.
"""

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, StrictBool, TypeAdapter

from rsbench.cards import validated
from rsbench.records import digest
from rsbench.store import Records
from rsbench.types import Role, UserError

SCHEMA = 1
FILE = "branches.jsonl"
# unverified: a server's prompt was not, token by token, the one we asked for. unparsed, error: sampled, but
# the judge gave no verdict (error with no ids: not even sampled); a resumed run asks again.
BranchStatus = Literal["ok", "refused", "truncated", "empty", "unverified", "unparsed", "error"]
FINAL_BRANCH: frozenset[str] = frozenset({"ok", "refused", "truncated", "empty", "unverified"})


@dataclass(frozen=True)
class Label:
    """Whether a branch is one to prefer. None: not known, for `reason`; such a branch is in no pair."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    favourable: StrictBool | None
    reason: str


@dataclass(frozen=True)
class Branch:
    """One continuation of a prefix.

    `prefix_ids` are the tokens between the prompt and the branch; `branch_ids` end in the stop token if the
    branch ended by itself. `origin`: empty if the prefix is a beginning of the item's reference path, else
    the key of the branch whose first steps follow it in the prefix.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # not strict: JSON has lists where there are tuples here

    key: str
    item: str
    prefix_steps: int  # steps in the prefix; 0 is the bare prompt
    prompt_ids_hash: str  # of the prompt's token ids, image places included
    prefix_ids: tuple[int, ...]
    branch_ids: tuple[int, ...]
    text: str  # of the branch alone
    status: BranchStatus
    label: Label
    verdict: dict[str, Any] | None  # the judge's, on prefix and branch together; None: it was not asked
    n_generated: int  # tokens made for this branch; 0 if it reuses the rest of another
    sampler: str
    draw: int  # number of the draw at its prefix, from 0
    seed: int
    model: str
    judge: dict[str, str]
    role: Role | None = None  # of the reference step that the branch takes the place of; None: the answer
    nats: float | None = None  # mean of -log p over the branch's first tokens: estimates their entropy
    origin: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True)
class Group:
    """The branches of one prefix that have a label, by draw; `dropped` counts the others by reason."""

    item: str
    prefix_steps: int
    origin: str
    prompt_ids_hash: str
    prefix_ids: tuple[int, ...]
    role: Role | None
    branches: tuple[Branch, ...]
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def favourable(self) -> list[Branch]:
        """Branches to prefer, each sequence of tokens once."""
        return _distinct(b for b in self.branches if b.label.favourable)

    @property
    def unfavourable(self) -> list[Branch]:
        """Branches to avoid, each sequence of tokens once."""
        return _distinct(b for b in self.branches if not b.label.favourable)


@dataclass(frozen=True)
class Pair:
    """A favourable and an unfavourable branch of one prefix; the weights of a prefix's pairs sum to 1."""

    group: Group
    favourable: Branch
    unfavourable: Branch
    weight: float


def hash_ids(ids: Iterable[int]) -> str:
    """Name of a sequence of token ids, as records hold it for a prompt."""
    return digest("ids", list(ids))


def branch_key(
    item_hash: str,
    prompt_ids_hash: str,
    prefix_ids: Sequence[int],
    model: dict[str, str],
    sampling: dict[str, Any],
    labelling: dict[str, Any],
    seed: int,
    draw: int,
) -> str:
    """Key of one branch: all that makes it, and not which sampler asked for it.

    Args:
        item_hash: Of the item's text and image bytes.
        prompt_ids_hash: Of the prompt's token ids.
        prefix_ids: Token ids between prompt and branch.
        model: Identity of the model.
        sampling: Temperature, top-p, length limit.
        labelling: `branch_label` and the judge's identity.
        seed: The recipe's.
        draw: Number of the draw at this prefix.
    """
    made = [item_hash, prompt_ids_hash, list(prefix_ids), model, sampling, labelling, seed, draw]
    return digest("branch", *made)


class BranchFile:
    """A folder's `branches.jsonl`, open for appending; one process at a time, by the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._records = Records(self.path, FINAL_BRANCH)

    def __enter__(self) -> "BranchFile":
        self._records.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self._records.close()

    def get(self, key: str) -> Branch | None:
        """The last record of a key, whatever its status."""
        record = self._records.get(key)
        return None if record is None else read_branch(record, f"{self.path}: record {key[:12]}")

    def append(self, branch: Branch) -> None:
        """Write one record; see `Records.append`."""
        self._records.append(dataclasses.asdict(branch))


def read_branch(record: dict[str, Any], where: str) -> Branch:
    """One line of `branches.jsonl`.

    Raises:
        UserError: written by a newer version, or not such a record.
    """
    schema = record.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(f"{where}: schema {schema}; this rsbench reads up to {SCHEMA}. Upgrade rsbench.")
    return validated(_BRANCH, record, where)


_BRANCH: TypeAdapter[Branch] = TypeAdapter(Branch)


def read_branches(path: Path) -> Iterator[Branch]:
    """The last record of each key, in the order of the file; a torn last line is none.

    Raises:
        UserError: no such file, or a line that is no record.
    """
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.endswith(b"\n"):
                    record = json.loads(line)
                    last[record["key"]] = (number, record)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); run the stage `explore` first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}:{number}: not a branch ({error}); records are never edited by hand"
        ) from error
    for number, record in last.values():
        yield read_branch(record, f"{path}:{number}")


def load_groups(path: Path) -> list[Group]:
    """The branches of a file by prefix, sorted by item, steps and origin.

    Raises:
        UserError: as `read_branches`, or the file mixes branches of two prompts, tokenizers or paths.
    """
    return group(read_branches(path), str(path))


def group(branches: Iterable[Branch], where: str) -> list[Group]:
    """Group branches by (item, steps in the prefix, origin)."""
    found: dict[tuple[str, int, str], list[Branch]] = {}
    for branch in branches:
        found.setdefault((branch.item, branch.prefix_steps, branch.origin), []).append(branch)
    groups = []
    for (item, steps, origin), members in sorted(found.items()):
        members.sort(key=lambda b: (b.draw, b.seed, b.key))
        first = members[0]
        if {(b.prompt_ids_hash, b.prefix_ids) for b in members} != {
            (first.prompt_ids_hash, first.prefix_ids)
        }:
            raise UserError(
                f"{where}: item {item!r} has branches after {steps} steps with different prompts or "
                "prefixes: they come from different models or data. Explore into a new folder."
            )
        known = tuple(b for b in members if b.label.favourable is not None)
        dropped = Counter(b.label.reason for b in members if b.label.favourable is None)
        head = (item, steps, origin, first.prompt_ids_hash, first.prefix_ids, first.role)
        groups.append(Group(*head, known, dict(sorted(dropped.items()))))
    return groups


def pairs(groups: Iterable[Group], cap: int, seed: int = 0) -> list[Pair]:
    """At most `cap` pairs a prefix, each of weight 1/n, in the order of the groups.

    A branch that begins another is not paired with it: it would leave no token to tell them apart. Branches
    are used evenly: none a second time before each of its side was used once.
    """
    return [
        Pair(one, favourable, unfavourable, 1 / len(chosen))
        for one in groups
        for chosen in [_choose(one, cap, seed)]
        for favourable, unfavourable in chosen
    ]


def _choose(one: Group, cap: int, seed: int) -> list[tuple[Branch, Branch]]:
    rng = random.Random(f"{seed}:{one.item}:{one.prefix_steps}:{one.origin}")
    sides = one.favourable, one.unfavourable
    for side in sides:
        rng.shuffle(side)
    chosen: list[tuple[Branch, Branch]] = []
    more = max(map(len, sides))
    fewer = min(map(len, sides))
    for shift in range(fewer):
        for n in range(more):
            at = n, (n + shift) % fewer
            a, b = at if len(sides[0]) == more else at[::-1]
            if len(chosen) < cap and not _begins(sides[0][a].branch_ids, sides[1][b].branch_ids):
                chosen.append((sides[0][a], sides[1][b]))
    return chosen


def _begins(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether one sequence is a beginning of the other, or the same."""
    shorter = min(len(a), len(b))
    return list(a[:shorter]) == list(b[:shorter])


def _distinct(branches: Iterable[Branch]) -> list[Branch]:
    first: dict[tuple[int, ...], Branch] = {}
    for branch in branches:
        first.setdefault(branch.branch_ids, branch)
    return list(first.values())
