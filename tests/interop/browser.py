"""Pages as headless Chromium renders them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.interop.node import missing

FLAGS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1280,900"),
    # containers have a small /dev/shm
    "--disable-dev-shm-usage",
    # the page's clock jumps ahead whenever nothing is under way: it is rendered without waiting
    "--virtual-time-budget=15000",
)
RENDER_WITHIN_S = 90.0


def dom(url: str, profile: Path) -> str:
    """Return the HTML of a page after its scripts have run.

    Args:
        profile: folder for the browser's own files.
    """
    return _run(url, profile, "--dump-dom")


def screenshot(url: str, profile: Path, target: Path) -> None:
    """Save a picture of a page as PNG."""
    _run(url, profile, f"--screenshot={target}")


def _run(url: str, profile: Path, what: str) -> str:
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("chromium")
    # Chromium's own sandbox refuses to start as root; the pages are our own
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [chromium, *FLAGS, *as_root, f"--user-data-dir={profile}", what, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RENDER_WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
