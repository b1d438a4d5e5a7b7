"""Put the real output of `make demo`'s run into the README, between its demo markers.

    python tools/readme.py        (make readme)

No number in the README is typed by hand.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ITEM = "sh-rooftop-leap.risky"


def output(*args: str, cwd: Path) -> str:
    """What a command prints to stdout.

    Raises:
        CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", "rsbench", *args]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def main() -> None:
    """Run the demo in an empty folder and rewrite the README."""
    with tempfile.TemporaryDirectory() as folder:
        table = output("run", "--subset", "demo", cwd=Path(folder))
        item = output("show", "runs/tiny-rsbench-demo", "--item", ITEM, cwd=Path(folder))
    shown = f"$ rsbench show runs/tiny-rsbench-demo --item {ITEM}\n{item}"
    block = f"```\n$ rsbench run --subset demo\n{table}\n\n{shown}\n```"
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    pattern = re.compile(r"(<!-- demo -->\n).*?(<!-- /demo -->)", re.DOTALL)
    readme.write_text(pattern.sub(lambda m: m.group(1) + block + "\n" + m.group(2), text), encoding="utf-8")


if __name__ == "__main__":
    main()
