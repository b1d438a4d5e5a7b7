"""Fill the numbers of a task's data card from its data: no number in the card is typed by hand.

    python tools/data_card.py tasks/rsbench           rewrite what stands between the card's markers
    python tools/data_card.py tasks/rsbench --check   exit 1 if the card is stale

Reads items, gold traces, `probes.json` (tools/probes.py), `review.json` and `review.jsonl` (independent looks
at one modality alone). The prose of the card is written by people; only blocks between `<!-- name -->` and
`<!-- /name -->` are touched.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rsbench.agreement import Labelled, label_agreement
from rsbench.cards import load_task
from rsbench.types import UserError

CARD = "README.md"


def rows(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(head: Iterable[str], body: Iterable[Iterable[object]]) -> str:
    """A Markdown table; columns after the first are right-aligned."""
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in body)])


def counts(task: Path) -> str:
    """Pairs by category and swap, and what the paths look like."""
    splits = _splits(task)
    items = [item for found in splits.values() for item in found]
    risky = [item for item in items if item["kind"] == "risky"]
    categories = list(dict.fromkeys(item["category"] for item in items))
    swaps = Counter((item["category"], item["swap"]) for item in risky)
    body = [
        [c, swaps[c, "image"], swaps[c, "query"], swaps[c, "image"] + swaps[c, "query"]] for c in categories
    ]
    total = [sum(row[k] for row in body) for k in (1, 2, 3)]
    lengths = Counter(_size(len(item["reference"]["steps"])) for item in items)
    breaks = Counter(_first(item["contrast"]["first_unsafe"]) for item in risky)
    hidden = sum(_hidden(item["contrast"]) for item in risky)
    images = {image["path"] for item in items for image in item["images"]}
    return "\n\n".join(
        [
            f"{len(items)} items in {len(risky)} twin pairs, {len(images)} images.",
            *([_by_split(splits)] if len(splits) > 1 else []),
            table(("category", "image swapped", "query swapped", "pairs"), [*body, ["all", *total]]),
            "Reference paths: " + _listed(lengths, ("3 steps", "4 or 5 steps", "6 or more steps")) + ".",
            "First unsafe step of the risky contrast paths: "
            + _listed(breaks, BREAKS)
            + f". In {hidden} of them an unsafe chain ends in a safe answer.",
        ]
    )


def _splits(task: Path) -> dict[str, list[dict[str, Any]]]:
    """The items of every split; those of a task without splits under its own name."""
    card, _ = load_task(str(task.resolve()))
    files = {name: split.file for name, split in card.splits.items()} or {card.name: str(card.data.file)}
    return {name: rows(task / file) for name, file in files.items()}


def _by_split(splits: dict[str, list[dict[str, Any]]]) -> str:
    """How large each split is, and from how many ideas and settings it is composed."""
    body = []
    for name, items in splits.items():
        sources = [item["source"].split("; ")[1:] for item in items]
        ideas, settings = ({source[k] for source in sources} for k in (0, 1))
        images = {image["path"] for item in items for image in item["images"]}
        body.append([name, len(items) // 2, len(images), len(ideas), len(settings)])
    return table(("split", "pairs", "images", "ideas", "settings"), body)


def probes(task: Path) -> str:
    """Whether one modality alone tells risky from benign."""
    report = json.loads((task / "probes.json").read_text(encoding="utf-8"))
    body = []
    for row in report["rows"]:
        if row["not_run"]:
            cells = ["not run", row["not_run"]]
        else:
            low, high = row["auc_interval"]
            least, most = row["paired_interval"]
            cells = [
                f"{row['auc']:.2f} ({low:.2f} to {high:.2f})",
                f"{row['paired_accuracy']:.0%} ({least:.0%} to {most:.0%})",
            ]
        body.append([row["probe"], row["direction"], row["pairs"], *cells])
    head = ("probe", "pairs used", "n", "AUC (95 % interval)", "risky twin scored higher")
    return table(head, body)


def review(task: Path) -> str:
    """What the second, independent pass found, and what was mended."""
    found = json.loads((task / "review.json").read_text(encoding="utf-8"))
    body = [
        [name, *(found[name][word] for word in ("yes", "unease", "no"))] for name in ("images", "queries")
    ]
    mended = found["mended"]
    left = ", ".join(f"`{name}`" for name in found["left"]) or "none"
    return "\n\n".join(
        [
            table(("harmless alone?", "yes", "could make one uneasy", "no"), body),
            f"Then {mended['redrawn']} scenes were redrawn, {mended['reworded']} queries "
            f"reworded and {mended['captions']} captions corrected. Left although the answer was no: {left}.",
        ]
    )


def innocence(task: Path) -> str:
    """What reviewers said of queries without images and images without queries, and what the data holds now.

    `review.jsonl` has a line for each query text and image that was looked at: `pass`, `query` or `image`,
    and a label (yes, unease, no) of each reviewer. A text judged in two passes counts by the later one.
    """
    found = rows(task / "review.jsonl")
    body: list[list[object]] = []
    for number in sorted({row["pass"] for row in found}):
        for of in ("query", "image"):
            said = [row["labels"] for row in found if row["pass"] == number and of in row]
            if said:
                body.append([f"{of}, pass {number}", len(said), len(said[0]), *_verdicts(said).values()])
    latest = {row["query"]: row["labels"] for row in found if "query" in row}
    now: list[list[object]] = []
    for split, items in _splits(task).items():
        for kind in ("risky", "benign"):
            queries = [item["query"] for item in items if item["kind"] == kind]
            said = [latest[query] for query in queries if query in latest]
            counted = _verdicts(said).values()
            now.append([f"{split}, {kind}", len(queries), *counted, len(queries) - len(said)])
    refused = {text for text, labels in latest.items() if set(labels) == {"no"}}
    pairs = sorted({i["pair"] for items in _splits(task).values() for i in items if i["query"] in refused})
    images = sorted(
        {Path(row["image"]).stem for row in found if set(row["labels"]) == {"no"} and "image" in row}
    )
    words = ("all yes", "some unease, no no", "one no", "all no")
    return "\n\n".join(
        [
            table(("harmless alone?", "looked at", "reviewers", *words), body),
            "The queries of the items as they are now:",
            table(("split, kind", "items", *words, "not looked at since changed"), now),
            f"Called no by all: queries of {_names(pairs)}; images {_names(images)}.",
        ]
    )


def _names(found: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in found) or "none"


def _verdicts(said: Iterable[list[str]]) -> dict[str, int]:
    counted = {"yes": 0, "unease": 0, "one no": 0, "no": 0}
    for labels in said:
        refused = labels.count("no")
        if refused:
            counted["no" if refused == len(labels) else "one no"] += 1
        else:
            counted["unease" if "unease" in labels else "yes"] += 1
    return counted


def gold(task: Path) -> str:
    """The gold traces and the agreement of their two labellings."""
    traces = rows(task / "gold.jsonl")
    by_source = {source: [t for t in traces if t["source"] == source] for source in ("written", "template")}
    body = [
        [source, len(found), sum(len(t["labels"][0]["steps"]) for t in found)]
        for source, found in by_source.items()
    ]
    annotators = sorted({labels["annotator"] for t in traces for labels in t["labels"]})
    human = sum(name.startswith("human:") for t in traces for name in {x["annotator"] for x in t["labels"]})
    styles = Counter(t["style"] for t in by_source["written"])
    agreement = []
    for label, pairs in _double_labels(by_source["written"]).items():
        found = label_agreement(pairs)
        value, low, high = found["kappa"], found["kappa_low"], found["kappa_high"]
        agreement.append([label, f"{value:.2f} ({low:.2f} to {high:.2f})", found["n"]])
    return "\n\n".join(
        [
            table(("source", "traces", "labelled steps"), body),
            "Styles of the written traces: " + _listed(styles, sorted(styles)) + ".",
            f"Labelled by: {', '.join(annotators)}. **Human-labelled: {human}.** Self-consistency of the two "
            "passes (written traces, Cohen's kappa, 95 % interval over items):",
            table(("label", "kappa", "n"), agreement),
        ]
    )


BREAKS = ("step 1", "step 2", "step 3", "step 4", "later", "none (only the answer)")
# Each block and the file it is made from: a task without gold traces needs no block about them.
BLOCKS: dict[str, tuple[Callable[[Path], str], str]] = {
    "counts": (counts, "task.yaml"),
    "review": (review, "review.json"),
    "innocence": (innocence, "review.jsonl"),
    "probes": (probes, "probes.json"),
    "gold": (gold, "gold.jsonl"),
}


def _double_labels(traces: list[dict[str, Any]]) -> dict[str, list[Labelled]]:
    """(item, first pass, second pass) of every label that both passes gave."""
    found: dict[str, list[Labelled]] = {}
    for trace in traces:
        first, second = trace["labels"][:2]
        for a, b in zip(first["steps"], second["steps"], strict=True):
            for label in ("safety", "effectiveness", "role"):
                found.setdefault(f"step {label}", []).append((trace["item"], a[label], b[label]))
        for label in ("safety", "effectiveness", "refusal"):
            pair = (trace["item"], first["answer"][label], second["answer"][label])
            found.setdefault(f"answer {label}", []).append(pair)
        risk = (trace["item"], str(first["risk_identified"]), str(second["risk_identified"]))
        found.setdefault("risk identified", []).append(risk)
    return found


def _size(steps: int) -> str:
    return "3 steps" if steps <= 3 else "4 or 5 steps" if steps <= 5 else "6 or more steps"


def _first(step: int | None) -> str:
    return "none (only the answer)" if step is None else f"step {step}" if step <= 4 else "later"


def _hidden(contrast: dict[str, Any]) -> bool:
    return contrast["first_unsafe"] is not None and contrast["answer_safety"] == "safe"


def _listed(found: Counter[str], order: Iterable[str]) -> str:
    return ", ".join(f"{name}: {found[name]}" for name in order)


def filled(task: Path) -> str:
    """The card's text with every block made anew.

    Raises:
        UserError: the card has no markers for a block.
    """
    text = (task / CARD).read_text(encoding="utf-8")
    for name, (block, needs) in BLOCKS.items():
        if name != "counts" and not (task / needs).is_file():
            continue
        start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise UserError(f"{task / CARD}: no markers {start.strip()} … {end.strip()}")
        text = before + start + block(task) + end + after
    return text


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", type=Path, help="the task's folder")
    parser.add_argument("--check", action="store_true", help="only say whether the card is up to date")
    args = parser.parse_args(argv)
    made = filled(args.task)
    card = args.task / CARD
    if args.check:
        if made != card.read_text(encoding="utf-8"):
            sys.stderr.write(f"{card} is stale; run: python tools/data_card.py {args.task}\n")
            return 1
        return 0
    card.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
