"""What an exploration yielded: pairs by prefix and role, and what they cost in tokens and judge calls."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from srpo_train.branches import Branch, Group, pairs


@dataclass(frozen=True)
class Row:
    """Prefixes of one kind."""

    prefixes: int
    mixed: int  # with at least one usable pair
    branches: int
    pairs: int
    tokens: int


@dataclass(frozen=True)
class Yield:
    """Totals of an exploration. `pairs` are usable: distinct, none the beginning of its partner, capped."""

    items: int
    branches: int
    pairs: int
    pairs_per_prefix: int  # the cap
    generated_tokens: int
    judge_calls: int  # verdicts asked for; identical branches of a prefix share one
    statuses: dict[str, int]
    dropped: dict[str, int]  # branches without a label, by reason
    by_steps: dict[str, Row]
    by_role: dict[str, Row]  # of the reference step replaced; `answer`; `turn`: off the reference path

    @property
    def per_1000_tokens(self) -> float | None:
        """Usable pairs per 1,000 generated tokens; None if none was generated."""
        return 1000 * self.pairs / self.generated_tokens if self.generated_tokens else None

    @property
    def per_judge_call(self) -> float | None:
        """Usable pairs per judge call; None if there was none."""
        return self.pairs / self.judge_calls if self.judge_calls else None


def count(groups: Iterable[Group], branches: Sequence[Branch], cap: int, seed: int = 0) -> Yield:
    """Count pairs and costs; `branches` are all, those without a label too."""
    usable = Counter((p.group.item, p.group.prefix_steps, p.group.origin) for p in pairs(groups, cap, seed))
    prefixes: dict[tuple[str, int, str], list[Branch]] = {}
    for branch in branches:
        prefixes.setdefault((branch.item, branch.prefix_steps, branch.origin), []).append(branch)
    steps: dict[str, list[tuple[str, int, str]]] = {}
    roles: dict[str, list[tuple[str, int, str]]] = {}
    for name, there in sorted(prefixes.items()):
        steps.setdefault(str(name[1]), []).append(name)
        place = "turn" if there[0].origin else there[0].role or "answer"
        roles.setdefault(place, []).append(name)

    def row(names: Sequence[tuple[str, int, str]]) -> Row:
        own = [branch for name in names for branch in prefixes[name]]
        made = [usable[name] for name in names]
        tokens = sum(branch.n_generated for branch in own)
        return Row(len(names), sum(n > 0 for n in made), len(own), sum(made), tokens)

    judged = {(b.item, b.prefix_ids, b.branch_ids): b.verdict for b in branches if b.verdict and b.draw >= 0}
    return Yield(
        items=len({branch.item for branch in branches}),
        branches=len(branches),
        pairs=sum(usable.values()),
        pairs_per_prefix=cap,
        generated_tokens=sum(branch.n_generated for branch in branches),
        judge_calls=sum(int(verdict["attempts"]) for verdict in judged.values()),
        statuses=dict(sorted(Counter(branch.status for branch in branches).items())),
        dropped=dict(sorted(Counter(b.label.reason for b in branches if b.label.favourable is None).items())),
        by_steps={name: row(names) for name, names in sorted(steps.items(), key=lambda kv: int(kv[0]))},
        by_role={name: row(names) for name, names in sorted(roles.items())},
    )
