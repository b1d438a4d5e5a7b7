"""A whole run against a server with latency, beside the least code that makes the same calls.

    python benchmarks/throughput.py [--items 1000] [--repeat 5] [--out throughput.json]

1,000 items with images of 100 KB, one model and one judge call each, a local server that takes 200 ms a call,
100 connections; each way several times in turn, medians. Floors: `floor.py` on the same SDK and transport,
and on raw aiohttp. Goals: wall within 1.3 × the SDK floor, processor time within 3 ms an item above it, peak
memory within 200 MB and flat to 10,000 items.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from measure import ROOT, Took, as_row, middle, report, run

CONNECTIONS = 100
LATENCY_S = 0.2


def write_task(folder: Path, items: int) -> Path:
    """A task of `items` items, each with an image of about 100 KB of noise that no codec can shrink."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    (folder / "prompt.jinja").write_text("{{ query }}\nThink in numbered steps, then answer.\n")
    rows = []
    for n in range(items):
        name = f"images/{n}.png"
        Image.frombytes("RGB", (192, 180), os.urandom(192 * 180 * 3)).save(folder / name)
        rows.append(
            {
                "id": f"item-{n}",
                "images": [{"path": name}],
                "query": f"What should I do with number {n}?",
                "category": "any",
                "kind": "benign",
            }
        )
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = {
        "schema": 1,
        "name": "throughput",
        "title": "throughput",
        "version": "1",
        "description": "Made by benchmarks/throughput.py.",
        "license": "CC0-1.0",
        "data": {"file": "items.jsonl"},
        "prompts": {"default": "prompt.jinja"},
        "pairs": False,
    }
    (folder / "task.yaml").write_text(json.dumps(card))  # JSON is YAML
    return folder


class Server:
    """tests/servers.py in a process of its own."""

    def __enter__(self) -> "Server":
        command = [sys.executable, "-m", "tests.servers", "--port", "0", "--latency", str(LATENCY_S)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline().strip().rsplit(" ", 1)[-1])
        self.url = f"http://127.0.0.1:{port}/v1"
        urllib.request.urlopen(f"{self.url}/models").read()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()


def ours(url: str, task: Path, out: Path) -> Took:
    """`rsbench run` on the task."""
    model = ["--model", "openai/gpt-fast", "--base-url", url]
    judge = ["--judge", "openai/qwen-judge", "--judge-base-url", url]
    calls = ["--max-connections", str(CONNECTIONS)]
    args = ["run", *model, *judge, *calls, "--task", str(task), "--out", str(out)]
    return run([sys.executable, "-m", "rsbench", *args], ROOT)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    floor = [sys.executable, str(ROOT / "benchmarks" / "floor.py")]
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        place = Path(folder)
        task = write_task(place / "task", args.items)
        tail = [server.url, str(task), str(place / "floor.jsonl"), str(CONNECTIONS)]
        ways: dict[str, Callable[[Path], Took]] = {
            "raw aiohttp floor": lambda _: run([*floor, "raw", *tail], ROOT),
            "SDK floor": lambda _: run([*floor, "sdk", *tail], ROOT),
            "rsbench run": lambda out: ours(server.url, task, out),
        }
        rounds = [{name: way(place / f"run-{n}") for name, way in ways.items()} for n in range(args.repeat)]
        took = {name: middle([one[name] for one in rounds]) for name in ways}
        kept = sum(path.stat().st_size for path in (place / "run-0").glob("*.jsonl")) / 2**20
    sdk = took["SDK floor"]
    rows = {
        name: as_row(
            t,
            wall_ratio=round(t.wall_s / sdk.wall_s, 2),
            cpu_ms_above_sdk=round((t.cpu_s - sdk.cpu_s) / args.items * 1000, 2),
            records_mib=round(kept, 2) if name == "rsbench run" else "",
        )
        for name, t in took.items()
    }
    report(f"throughput, {args.items} items", rows, args.out)


if __name__ == "__main__":
    main()
