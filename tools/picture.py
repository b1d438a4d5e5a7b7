"""Take the README's pictures: the HTML report of a real run of the embedded model, and the leaderboard.

    python tools/picture.py        (part of make readme; needs Chromium)

What they show is what anybody gets from `make demo` with `rsbench show --html`, and from `rsbench leaderboard
build` on the rows of the repository.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs/images"
MOST_BYTES = 300_000


def rsbench(*args: str, cwd: Path) -> None:
    """Run a command.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "rsbench", *args], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def opened(file: Path) -> Iterator[Page]:
    """A file in Chromium, at desk width."""
    program = os.environ.get("RSBENCH_CHROMIUM") or shutil.which("chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses to run as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(viewport={"width": 1180, "height": 1040}, reduced_motion="reduce")
        page.goto(file.as_uri())
        yield page
        browser.close()


def of_report(report: Path) -> bytes:
    """The browser of items, at the second unsafe chain with a safe answer."""
    with opened(report) as page:
        page.locator('[data-view="cell:unsafe:safe"]').click()
        page.locator('.ib-views [data-name="mismatch"]').click()
        page.keyboard.press("j")
        page.mouse.move(0, 0)
        return page.screenshot()


def of_board(site: Path) -> bytes:
    """The leaderboard's first page as a window shows it: whole, it is as long as its rows are many."""
    with opened(site / "index.html") as page:
        page.locator("#filters, main h2").first.wait_for()
        return page.screenshot()


def save(name: str, shot: bytes) -> None:
    """Write a picture in 256 colours."""
    path = PICTURES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(256).save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        size = path.stat().st_size
        sys.exit(f"{path}: {size:,} bytes; at most {MOST_BYTES:,} are wanted in the repository")


def main() -> None:
    """Run the demo and build the site in an empty folder, take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rsbench("run", "--subset", "demo", "--out", "run", cwd=place)
        rsbench("show", "run", "--html", cwd=place)
        save("report.png", of_report(place / "run/report.html"))
        rsbench("leaderboard", "build", "--out", str(place / "site"), cwd=ROOT)
        save("leaderboard.png", of_board(place / "site"))


if __name__ == "__main__":
    main()
