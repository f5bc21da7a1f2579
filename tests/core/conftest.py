"""Run media functions as the sandbox does, and really inside it for what is hostile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geniequeue.operations import OPERATIONS
from geniequeue.sandbox import jail
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits, Output, Work
from geniequeue.sandbox.result import SandboxResult

Operate = Callable[..., tuple[Output, Path]]
RunInside = Callable[..., SandboxResult]


@pytest.fixture
def operate(tmp_path: Path) -> Operate:
    """Call an image operation on a file in this process; answers the output and where it is."""
    from geniequeue.media import image

    def call(operation: str, source: Path, limits: Limits | None = None, **params: Any) -> tuple[Output, Path]:
        out_dir = tmp_path / "out"
        out_dir.mkdir(exist_ok=True)
        given = OPERATIONS[operation].load_params(params)
        work = Work(inputs={"input": source}, out_dir=out_dir, params=given, limits=limits or Limits())
        [output] = getattr(image, operation)(work)
        return output, out_dir / output.name

    return call


@pytest.fixture(scope="session")
def media_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    walled = jail.available() is None
    with Sandbox(tmp_path_factory.mktemp("sandbox"), enabled=walled) as sandbox:
        yield sandbox


@pytest.fixture
def run_inside(media_sandbox: Sandbox) -> RunInside:
    """Run an operation on bytes through the sandbox."""
    (media_sandbox.root / "out").mkdir(exist_ok=True)

    def call(operation: str, content: bytes, name: str = "input", **params: Any) -> SandboxResult:
        source = media_sandbox.root / name
        source.write_bytes(content)
        try:
            return media_sandbox.run(
                OPERATIONS[operation].function,
                inputs={"input": source},
                out_dir=media_sandbox.root / "out",
                params=OPERATIONS[operation].load_params(params),
                limits=Limits(),
                timeout_s=120,
                should_stop=lambda: False,
                on_progress=lambda _share: None,
            )
        finally:
            source.unlink()

    return call
