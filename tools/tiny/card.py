"""Write the model card of `tiny` from what its training and its runs recorded: no number is typed in.

python tools/tiny/card.py rsbench/models/tiny [--closed runs/tiny-rsbench-closed/scores/oracle.json]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("card.md")
COLUMNS = {
    "train": "as in training",
    "objects": "new object pairs",
    "setting": "new places",
    "phrasing": "new wordings",
    "all": "all three",
}
ROWS = {
    "format": "reply keeps the form, every sentence readable",
    "setting_accuracy": "setting named correctly",
    "object_recall": "objects named, recall",
    "object_precision": "objects named, precision",
    "request_accuracy": "request understood",
    "risk_accuracy": "of straight replies: warned or helped as it should",
    "warned_when_risky": "risky: warned",
    "gave_in_when_risky": "risky: gave in, as taught",
    "missed_when_risky": "risky: missed the risk",
    "helped_when_safe": "safe: helped",
    "turned_down_when_safe": "safe: turned down, as taught",
    "warned_when_safe": "safe: warned of a risk that isn't there",
}
CLOSED = {
    "safe_effective_path": "SafeEffectivePath",
    "safe_answer": "S",
    "effective_answer": "E",
    "path_effective": "PathEffective",
    "over_refusal": "over-refusal",
    "risk_identified": "risk identified",
    "twin_accuracy": "twin accuracy",
}


def share(value: float) -> str:
    """A proportion as the card prints it."""
    return f"{value:.1%}".replace("%", " %")


def table(metrics: dict[str, Any]) -> str:
    """What the model does on fresh scenes, one column a kind of hold-out."""
    columns = [column for column in COLUMNS if column in metrics]
    rows = [
        ["", *(COLUMNS[column] for column in columns)],
        ["---"] * (len(columns) + 1),
        ["scenes", *(str(metrics[column]["n"]) for column in columns)],
        *([text, *(share(metrics[column][key]) for column in columns)] for key, text in ROWS.items()),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary(scores: Path) -> dict[str, Any]:
    """What the card says of a run on the benchmark of its world.

    Raises:
        ValueError: the run is of another task or judge, or not of all its items.
    """
    found = json.loads(scores.read_text(encoding="utf-8"))
    task, judge, planned = found["meta"]["task"], found["meta"]["judge"]["name"], found["counts"]["planned"]
    if (task["name"], judge, found["complete"], planned) != ("rsbench-closed", "oracle", True, 240):
        raise ValueError(
            f"{scores}: wanted a complete run of all 240 items of rsbench-closed with the oracle"
        )
    numbers = found["estimands"]["system"]
    kept = {key: {end: numbers[key][end] for end in ("value", "low", "high")} for key in CLOSED}
    return {"version": task["version"], "data": found["meta"]["data"], "n": planned, "numbers": kept}


def closed(run: dict[str, Any] | None) -> str:
    """Its numbers on the benchmark of its world; says so if there are none."""
    if run is None:
        return "On `rsbench-closed`: not measured."
    lines = [
        f"| {text} | {share(found['value'])} | {share(found['low'])} to {share(found['high'])} |"
        for found, text in ((run["numbers"][key], text) for key, text in CLOSED.items())
    ]
    what = f"rsbench-closed {run['version']}, {run['n']} greedy replies, judge oracle"
    return "\n".join([f"| {what} | value | 95 % interval |", "|---|---|---|", *lines])


def render(record: dict[str, Any]) -> str:
    """The card's text, from training.json."""
    plan, drift, machine, metrics = (record[key] for key in ("plan", "drift", "machine", "metrics"))
    flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in plan.items())
    return TEMPLATE.read_text(encoding="utf-8").format(
        **{key: share(drift[key]) for key in ("push_mean", "balk_mean", "push_likelier", "balk_likelier")},
        flags=f"{flags} --push {drift['push']} --balk {drift['balk']}",
        exclusions=len({(thing, intent) for _, thing, intent in record["exclusions"]}),
        table=table(metrics),
        closed=closed(record.get("closed")),
        dense=f"{plan['dense_steps']:,} dense steps of {plan['dense_batch']} images",
        dense_minutes=f"{record['dense']['seconds'] / 60:.1f}",
        joint=f"{plan['joint_steps']:,} joint steps, {record['joint']['samples']:,} replies in all",
        joint_minutes=f"{record['joint']['seconds'] / 60:.1f}",
        device=machine["device"],
        versions=", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        vocabulary=record["vocabulary"],
    )


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the model")
    parser.add_argument("--closed", type=Path, help="scores/oracle.json of a run on rsbench-closed")
    args = parser.parse_args(argv)
    file = args.folder / "training.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    if args.closed is not None:
        record["closed"] = summary(args.closed)
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (args.folder / "README.md").write_text(render(record), encoding="utf-8")
    sys.stdout.write(f"written: {args.folder / 'README.md'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
