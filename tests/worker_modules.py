"""Modules of the workers, for tests that use them in their own process: importing `tasks` reads the settings."""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import Any
from unittest.mock import patch


def worker_module(name: str) -> Any:
    """Import `tasks.<name>` with settings of nobody; what it is given decides which Redis it uses."""
    settings = {"VAR_DIR": tempfile.gettempdir(), "REDIS_URL": "redis://127.0.0.1:1/0", "DIRECTUS_SECRET": "x" * 64}
    with patch.dict(os.environ, settings):
        return importlib.import_module(f"tasks.{name}")
