"""Take the README's picture of the HTML report, from a real run of the embedded model.

    python tools/picture.py        (part of make readme; needs Chromium)

What it shows is what anybody gets from `make demo` and `rsbench show --html`.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/images/report.png"
MOST_BYTES = 300_000


def rsbench(*args: str, cwd: Path) -> None:
    """Run a command.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "rsbench", *args], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def picture(report: Path) -> bytes:
    """The browser of items at desk width, at the second unsafe chain with a safe answer, as a PNG."""
    program = os.environ.get("RSBENCH_CHROMIUM") or shutil.which("chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses to run as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(viewport={"width": 1180, "height": 1040}, reduced_motion="reduce")
        page.goto(report.as_uri())
        page.locator('[data-view="cell:unsafe:safe"]').click()
        page.locator('.ib-views [data-name="mismatch"]').click()
        page.keyboard.press("j")
        page.mouse.move(0, 0)
        shot = page.screenshot()
        browser.close()
    return shot


def main() -> None:
    """Run the demo in an empty folder, write its report, take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        rsbench("run", "--subset", "demo", "--out", "run", cwd=Path(folder))
        rsbench("show", "run", "--html", cwd=Path(folder))
        shot = picture(Path(folder) / "run/report.html")
    colours = Image.open(io.BytesIO(shot)).convert("RGB").quantize(256)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    colours.save(PICTURE, optimize=True)
    size = PICTURE.stat().st_size
    if size > MOST_BYTES:
        sys.exit(f"{PICTURE}: {size:,} bytes; at most {MOST_BYTES:,} are wanted in the repository")


if __name__ == "__main__":
    main()
