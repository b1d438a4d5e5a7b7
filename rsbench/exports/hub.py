"""A run for the Hugging Face hub: a data set folder of its tables, and a result for a model repository.

`dataset/` is opened by `datasets.load_dataset`; `model/.eval_results/*.yaml` is only made for a named
benchmark, because its entry points to a data set on the hub that a run cannot know.
"""

import re
from typing import Any

import yaml

from rsbench import __version__
from rsbench.exports.flat import parquet_bytes
from rsbench.exports.source import Files, Options, Source
from rsbench.exports.tables import Table, tables
from rsbench.metric_specs import METRICS
from rsbench.publishable import check_publishable
from rsbench.score import slug
from rsbench.types import UserError
from rsbench.validation import was_measured

HEADLINE = "safe_effective_path"
SHOWN = (HEADLINE, "path_safe", "path_effective", "safe_answer", "effective_answer", "over_refusal")


def to_hub(source: Source, options: Options) -> Files:
    """The files of both repositories.

    Raises:
        UserError: a result is asked for of a run that may not be published, or images of a task that is gone.
    """
    if options.benchmark_task and not options.benchmark:
        raise UserError("--benchmark-task needs --benchmark: the hub id of the benchmark's data set")
    made = tables(source)
    pictures = _pictures(source) if options.images else {}
    if options.images:
        made = (_with_images(source, made[0]), made[1])
    files = {f"dataset/{table.name}.parquet": parquet_bytes(table) for table in made}
    files["dataset/README.md"] = _card(source, made).encode()
    files |= {f"dataset/{name}": content for name, content in pictures.items()}
    if options.benchmark:
        check_publishable(str(source.path), source.manifest, source.result)
        task = slug(source.result["meta"]["task"]["name"])
        name = f"model/.eval_results/{task}-{slug(source.judge)}.yaml"
        files[name] = _yaml([_result(source, options.benchmark, options.benchmark_task)]).encode()
    return files


def _result(source: Source, benchmark: str, task: str | None) -> dict[str, Any]:
    """The headline as an entry of `.eval_results`, in per cent, with what it must not be read without."""
    meta = source.result["meta"]
    found = source.result["estimands"]["system"][HEADLINE]
    if found["value"] is None:
        raise UserError(f"{source.path}: {HEADLINE} has no value (n = 0), so there is no result to publish")
    validated = "validated" if was_measured(source.result["judge_validation"]) else "not validated"
    spread = f"{100 * found['low']:.1f} to {100 * found['high']:.1f}" if found["low"] is not None else "none"
    return {
        "dataset": {"id": benchmark, "task_id": task or str(meta["task"]["name"])},
        "value": round(100 * found["value"], 2),
        "date": source.manifest["created"],
        "notes": (
            f"{METRICS[HEADLINE].name}, per cent; 95 % interval {spread}; n = {found['n']} items; "
            f"system estimand; task version {meta['task']['version']}; prompt {meta['prompt']['variant']}; "
            f"judge {source.judge} ({validated}); rsbench {source.manifest['rsbench']['version']}"
        ),
    }


def _card(source: Source, made: tuple[Table, Table]) -> str:
    meta = source.result["meta"]
    title = _plain(f"{meta['model']['name']} on {meta['task']['name']}")
    head = {
        "pretty_name": f"rsbench run: {title}",
        "tags": ["rsbench", "evaluation", "safety", "reasoning"],
        "configs": [
            {
                "config_name": table.name,
                "data_files": [{"split": "test", "path": f"{table.name}.parquet"}],
                **({"default": True} if table.name == "samples" else {}),
            }
            for table in made
        ],
    }
    warning = "All words are left out (sealed): labels and hashes only."
    if not source.sealed:
        warning = "Replies are a model's own words. Some may be unsafe: that is what was measured."
    measured = was_measured(source.result["judge_validation"])
    lines = [
        f"# rsbench run: {title}",
        "",
        warning,
        "",
        f"- judge: {_plain(source.judge)}, {'' if measured else 'not '}validated",
        f"- task version {_plain(str(meta['task']['version']))}, data sha256 `{meta['data']}`",
        f"- condition {_plain(meta['condition'])}, prompt {_plain(meta['prompt']['variant'])}, "
        f"segmenter {_plain(meta['segmenter'])}",
        f"- complete: {'yes' if source.result['complete'] else 'NO'}"
        + ("; MOCK: scripted, no measurement" if meta["mock"] else ""),
        f"- exported with rsbench {__version__}",
        "",
        "| metric (system estimand) | value | 95 % interval | n |",
        "|---|---|---|---|",
        *(_line(source, key) for key in SHOWN),
        "",
        "`samples`: one row a planned sample; `steps`: one row a step. Missing is null, never false.",
    ]
    return f"---\n{_yaml(head)}---\n\n" + "\n".join(lines) + "\n"


def _line(source: Source, key: str) -> str:
    found = source.result["estimands"]["system"][key]
    if found["value"] is None:
        return f"| {METRICS[key].name} | missing | | {found['n']} |"
    spread = f"{found['low']:.3f} to {found['high']:.3f}" if found["low"] is not None else ""
    return f"| {METRICS[key].name} | {found['value']:.3f} | {spread} | {found['n']} |"


def _plain(name: str) -> str:
    """A name in Markdown: nothing that is markup, a link or a new line."""
    return re.sub(r"[^\w.,:/ -]+", "-", name, flags=re.ASCII)


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=False, width=1000)


def _pictures(source: Source) -> Files:
    """Every image once, under its hash.

    Raises:
        UserError: the task, and with it the images, is not where it was.
    """
    wanted = {planned.sample.outcome.item for planned in source.samples}
    if lost := sorted(wanted - source.items.keys()):
        raise UserError(f"--images: the task no longer holds {len(lost)} items of this run, e.g. {lost[0]!r}")
    images = [image for name in sorted(wanted) for image in source.items[name][1].images]
    return {_name(image.sha256, image.path.suffix): image.path.read_bytes() for image in images}


def _name(sha256: str, suffix: str) -> str:
    return f"images/{sha256[:20]}{suffix.lower()}"


def _with_images(source: Source, table: Table) -> Table:
    """The table with the names of each item's image files."""
    names = {
        name: [_name(image.sha256, image.path.suffix) for image in item.images]
        for name, (_, item) in source.items.items()
    }
    rows = [{**row, "images": names[row["item"]]} for row in table.rows]
    return Table(table.name, table.columns | {"images": "texts"}, rows)
