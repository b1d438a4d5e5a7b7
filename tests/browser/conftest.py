"""Chromium for the browser tests: the machine's own, driven by Playwright. Without it they fail."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running browser. RSBENCH_CHROMIUM names the program; else `chromium` on the PATH."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("RSBENCH_CHROMIUM") or shutil.which("chromium")
    assert program, "no Chromium: install it (apt-get install chromium) or name it in RSBENCH_CHROMIUM"
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses to run as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
