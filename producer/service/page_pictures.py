"""Pictures of the gateway's pages, taken by a Chromium that is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ledger.scratch_folders import ScratchFolder

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SIZE = "1280,1600"
_TIMEOUT_SECONDS = 60.0
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    f"--window-size={_SIZE}",
)


def find_browser() -> str | None:
    """Return the path of a Chromium, None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def take_pictures(browser: str, url: str, pages: Mapping[str, str], folder: Path) -> list[Path]:
    """Take a picture of each page and return those that were taken.

    Parameters
    ----------
    browser
        Path of a Chromium.
    url
        Address of the gateway.
    pages
        Path of each page by the name of its picture.
    folder
        Where the pictures go; made if it is absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for name, path in pages.items():
        picture = folder / f"{name}.png"
        picture.unlink(missing_ok=True)
        with ScratchFolder("browser") as scratch:
            # Chromium has no sandbox for root. It shows nothing here but pages of this gateway.
            sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
            options = [*_FLAGS, *sandbox, f"--user-data-dir={scratch.path}", f"--screenshot={picture}"]
            command = [browser, *options, url + path]
            try:
                subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)
            except (OSError, subprocess.TimeoutExpired):
                continue
        if picture.exists():
            taken.append(picture)
    return taken
