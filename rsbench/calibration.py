"""Whether a judge's probabilities are calibrated: of the steps it calls unsafe with 80 %, are 80 % unsafe?

Pure functions. Calibrated is not the same as right: a judge that always says the base rate is calibrated.
"""

from collections.abc import Sequence
from typing import Any

from rsbench.stats import effective_n, wilson

Chance = tuple[str, bool, float]  # cluster, whether the word is gold's, the judge's probability of it
BINS = 10


def reliability(rows: Sequence[Chance]) -> dict[str, Any] | None:
    """Reliability of probabilities, JSON-ready; None without any.

    `brier` is the mean squared error (Brier 1950), `base_brier` that of always saying the base rate: a judge
    that knows anything is below it. `ece` is the expected calibration error over ten bins of equal width:
    Σ n_b/n · |share_b − mean probability_b| (Naeini et al. 2015). `bins` are those that are not empty, with
    their share of true words and its Wilson interval on the effective n of clusters.
    """
    if not rows:
        return None
    n = len(rows)
    base = sum(truth for _, truth, _ in rows) / n
    brier = sum((chance - truth) ** 2 for _, truth, chance in rows) / n
    bins = [_bin(k, [row for row in rows if _place(row[2]) == k]) for k in range(BINS)]
    filled = [found for found in bins if found["n"]]
    error = sum(found["n"] * abs(found["share"] - found["mean"]) for found in filled) / n
    return {
        "n": n,
        "base_rate": round(base, 6),
        "brier": round(brier, 6),
        "base_brier": round(base * (1 - base), 6),
        "ece": round(error, 6),
        "bins": filled,
    }


def _place(chance: float) -> int:
    """The bin of a probability; 1 belongs to the last."""
    return min(BINS - 1, int(chance * BINS))


def _bin(number: int, rows: Sequence[Chance]) -> dict[str, Any]:
    head = {"from": number / BINS, "to": (number + 1) / BINS, "n": len(rows)}
    if not rows:
        return head
    values = [float(truth) for _, truth, _ in rows]
    share = sum(values) / len(values)
    low, high = wilson(share, effective_n(values, [cluster for cluster, _, _ in rows]))
    mean = sum(chance for _, _, chance in rows) / len(rows)
    rounded = {"mean": mean, "share": share, "low": low, "high": high}
    return head | {key: round(value, 6) for key, value in rounded.items()}
