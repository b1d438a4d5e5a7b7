"""Write RSBench-open as a dataset folder that `datasets.load_dataset` opens, with Croissant metadata.

    python tools/hf_export.py tasks/rsbench OUT          README.md, data/metadata.jsonl, data/*.png,
    croissant.json python tools/hf_export.py tasks/rsbench --croissant  rewrite only
    tasks/rsbench/croissant.json

The dataset card is the task's data card with the YAML header the hub reads. Nothing is uploaded.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rsbench.cards import TaskCard, load_task

LICENCES = {"CC-BY-4.0": ("cc-by-4.0", "https://creativecommons.org/licenses/by/4.0/")}
CITE = "The rsbench authors. RSBench-open, part of rsbench."
# Croissant 1.0's own JSON-LD context, cut to the terms used below.
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "jsonPath": "cr:jsonPath",
    "recordSet": "cr:recordSet",
    "sc": "https://schema.org/",
    "source": "cr:source",
}
FIELDS = {
    "id": "Unique id of the item.",
    "query": "What the user asks.",
    "category": "One of the task's categories.",
    "kind": "risky or benign.",
    "pair": "Id shared by the two items of a twin pair.",
    "swap": "Whether the twins differ in the image or in the query.",
    "key_element": "What matters in the image.",
    "trigger_element": "What matters in the query.",
    "note": "What image and query mean together.",
}


def croissant(task: Path, card: TaskCard) -> dict[str, Any]:
    """Croissant 1.0 description of the task's items and images."""
    items = task / "items.jsonl"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": card.title,
        "version": f"{card.version}.0",
        "description": card.description,
        "license": LICENCES[card.license][1],
        "citeAs": CITE,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "items.jsonl",
                "name": "items.jsonl",
                "contentUrl": "items.jsonl",
                "encodingFormat": "application/jsonlines",
                "sha256": hashlib.sha256(items.read_bytes()).hexdigest(),
            },
            {
                "@type": "cr:FileSet",
                "@id": "images",
                "name": "images",
                "encodingFormat": "image/png",
                "includes": "images/*.png",
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "items",
                "name": "items",
                "field": [_field(name, text, "sc:Text", f"$.{name}") for name, text in FIELDS.items()]
                + [_field("image", "File of the item's image.", "sc:Text", "$.images[0].path")],
            }
        ],
    }


def _field(name: str, text: str, kind: str, path: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"items/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
        "source": {"fileObject": {"@id": "items.jsonl"}, "extract": {"jsonPath": path}},
    }


def write_dataset(task: Path, card: TaskCard, out: Path) -> int:
    """Write the dataset folder; returns the number of items."""
    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    lines = []
    for line in (task / "items.jsonl").read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        image = item.pop("images")[0]
        name = f"{item['id']}.png"  # one file an item: the image-folder loader matches rows by file name
        shutil.copyfile(task / image["path"], data / name)
        lines.append(json.dumps({"file_name": name, "caption": image["caption"], **item}, ensure_ascii=False))
    (data / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    header = {
        "license": LICENCES[card.license][0],
        "language": ["en"],
        "pretty_name": card.title,
        "task_categories": ["visual-question-answering"],
        "tags": ["safety", "reasoning", "multimodal", "benchmark"],
        "size_categories": ["n<1K" if len(lines) < 1000 else "1K<n<10K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "test", "path": "data/*"}]}],
    }
    text = (task / "README.md").read_text(encoding="utf-8")
    (out / "README.md").write_text(
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{text}", encoding="utf-8"
    )
    _write_json(out / "croissant.json", croissant(task, card))
    return len(lines)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", type=Path, help="the task's folder")
    parser.add_argument("out", type=Path, nargs="?", help="the dataset folder to write")
    parser.add_argument("--croissant", action="store_true", help="rewrite the task's own croissant.json")
    args = parser.parse_args(argv)
    card, _ = load_task(str(args.task.resolve()))
    if args.croissant:
        _write_json(args.task / "croissant.json", croissant(args.task, card))
    if args.out is not None:
        written = write_dataset(args.task, card, args.out)
        sys.stdout.write(f"{written} items in {args.out}\n")
    if args.out is None and not args.croissant:
        parser.error("give OUT, --croissant, or both")
    return 0


if __name__ == "__main__":
    sys.exit(main())
