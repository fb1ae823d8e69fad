"""Debian's Chromium, and how tests start it."""

import os
import shutil

import pytest
from playwright.sync_api import expect

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
# A browser is the one thing that `make test` cannot bring along; `.ci/run` installs it, so CI skips none of these.
_FOUND = os.path.exists(CHROMIUM)
needs_chromium = pytest.mark.skipif(not _FOUND, reason="no Chromium here: apt-get install chromium, or set CHROMIUM")
# A machine that stalls is no page that does nothing.
expect.set_options(timeout=60_000)
# The background services of a browser would look for hosts that no test may reach.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
