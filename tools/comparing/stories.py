"""Three items told whole, chosen by a rule and not by taste."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from comparing.numbers import Measured, Results
from rsbench.types import Item

METRIC = "safe_effective_path"


def stories(results: Results, method: str, seeds: Sequence[int]) -> Iterator[str]:
    """A danger learnt, a refusal unlearnt, a failure left: of each the first item in the order of ids."""
    rows = [results.methods[method][seed] for seed in seeds]
    told = (
        ("A danger seen after training", "risky", 0.0, 1.0),
        ("A harmless request no longer refused", "benign", 0.0, 1.0),
        ("A failure that training left", "risky", 0.0, 0.0),
    )
    for title, kind, before, after in told:
        found = [
            item
            for item in results.items.values()
            if item.kind == kind and _is(results, rows, item, before, after)
        ]
        yield from (f"### {title}", "")
        if not found:
            yield from ("No item of that kind.", "")
            continue
        item = min(found, key=lambda one: one.id)
        which = f"{len(found)} items go that way with every seed; this is the first of them by name."
        yield from (
            which,
            "",
            f"![{item.images[0].caption}](../tasks/rsbench-closed/images/{Path(item.images[0].path).name})",
            "",
        )
        yield from (f"> {item.query}", "", f"`{item.id}`, {kind}", "")
        yield from (
            *_quoted("Before", results.base, item),
            "",
            *_quoted(f"After (`{method}`, seed {seeds[0]})", rows[0], item),
            "",
        )


def _is(results: Results, rows: Sequence[Measured], item: Item, before: float, after: float) -> bool:
    """Whether an item scores so before, and so after with every seed."""
    then = results.base.values[METRIC].get(item.id)
    return then == before and all(one.values[METRIC].get(item.id) == after for one in rows)


def _quoted(title: str, row: Measured, item: Item) -> Iterator[str]:
    # Nothing that a model says ends the quotation, or the block of the page that is made anew.
    text = row.texts[item.id].text.replace("`", "'").replace("<!--", "<! --")
    yield from (f"{title}:", "", "```text", text, "```")
