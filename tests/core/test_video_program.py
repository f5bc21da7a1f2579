"""Which ffmpeg runs, and under which flags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.errors import ToolError
from geniequeue.media import ffmpeg
from geniequeue.sandbox import jail


@pytest.fixture(autouse=True)
def _forget_the_binary() -> Iterator[None]:
    ffmpeg.binary.cache_clear()
    yield
    ffmpeg.binary.cache_clear()


def test_it_is_the_one_that_moviepy_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FFMPEG_BINARY", raising=False)
    import moviepy.config

    assert ffmpeg.binary() == moviepy.config.FFMPEG_BINARY


def test_an_operator_can_choose_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg-7"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("FFMPEG_BINARY", str(program))
    assert ffmpeg.binary() == str(program)
    assert jail.environment(tmp_path)["FFMPEG_BINARY"] == str(program)
    walls = jail.walls(tmp_path)
    assert walls[walls.index(str(program), walls.index("--ro-bind")) - 1] == "--ro-bind"


def test_one_that_is_not_there_is_a_failure_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFMPEG_BINARY", "/nowhere/ffmpeg")
    with pytest.raises(ToolError):
        ffmpeg.binary()


def test_an_input_is_opened_by_one_demuxer_from_one_file(tmp_path: Path) -> None:
    arguments = ffmpeg.Source(tmp_path / "0", "mov", 1000).arguments("-ss", "1")
    pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert pairs["-f"] == pairs["-format_whitelist"] == "mov"
    assert pairs["-protocol_whitelist"] == "file"
    assert pairs["-max_pixels"] == "1000"
    assert arguments[-2:] == ["-i", f"file:{tmp_path}/0"]
    assert "-nostdin" in ffmpeg.command([])
