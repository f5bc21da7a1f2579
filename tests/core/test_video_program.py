"""Which ffmpeg runs, and under which flags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.cli.checks_host import host_findings
from geniequeue.cli.finding import Finding
from geniequeue.config import Settings, load_settings
from geniequeue.errors import SettingsError
from geniequeue.media import ffmpeg
from geniequeue.sandbox import jail
from tests.accounts import SECRET


@pytest.fixture(autouse=True)
def _forget_the_binary() -> Iterator[None]:
    ffmpeg.binary.cache_clear()
    yield
    ffmpeg.binary.cache_clear()


def test_it_is_the_one_that_moviepy_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FFMPEG_BINARY", raising=False)
    import moviepy.config

    assert ffmpeg.binary() == moviepy.config.FFMPEG_BINARY


def program(path: Path, script: str = "") -> Path:
    """Write a program that stands for an ffmpeg."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def settings(**environ: str) -> Settings:
    return load_settings({"REDIS_URL": "redis://127.0.0.1:1/0", "DIRECTUS_SECRET": SECRET, **environ})


def test_an_operator_can_choose_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = program(tmp_path / "ffmpeg-7")
    chosen = settings(FFMPEG_BINARY=str(own)).ffmpeg_binary
    assert chosen == own
    environ = jail.environment(tmp_path, chosen)
    monkeypatch.setenv("FFMPEG_BINARY", environ["FFMPEG_BINARY"])
    assert ffmpeg.binary() == str(own)
    walls = jail.walls(tmp_path, ffmpeg=chosen)
    assert walls[walls.index(str(own), walls.index("--ro-bind")) - 1] == "--ro-bind"


def test_the_words_of_moviepys_configuration_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settings().ffmpeg_binary is None
    assert settings(FFMPEG_BINARY="ffmpeg-imageio").ffmpeg_binary is None
    monkeypatch.setenv("PATH", str(tmp_path))
    own = program(tmp_path / "ffmpeg")
    assert settings(FFMPEG_BINARY="auto-detect").ffmpeg_binary == own
    assert settings(FFMPEG_BINARY="ffmpeg").ffmpeg_binary == own
    assert "FFMPEG_BINARY" not in jail.environment(tmp_path)


def test_one_that_is_not_there_is_told_with_all_other_faults(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no program")
    for name in ("/nowhere/ffmpeg", str(tmp_path / "plain")):
        with pytest.raises(SettingsError) as caught:
            settings(FFMPEG_BINARY=name, PORT="no")
        assert [fault.split(":")[0] for fault in caught.value.faults] == ["PORT", "FFMPEG_BINARY"]


def doctor(**environ: str) -> Finding:
    [found] = [each for each in host_findings(settings(**environ)) if each.name == "ffmpeg"]
    return found


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_the_doctor_runs_it_and_says_which_version_it_is(sandbox: str) -> None:
    found = doctor(SANDBOX=sandbox)
    assert (found.verdict, found.advice) == ("ok", "")
    assert re.match(r"n?\d+\.\d", found.found)


@pytest.mark.parametrize("script", ["exit 1", "kill -SEGV $$", "exec /nowhere/lib/ffmpeg"])
def test_the_doctor_says_what_to_do_about_one_that_does_not_run(tmp_path: Path, script: str) -> None:
    own = program(tmp_path / "ffmpeg", script)
    found = doctor(FFMPEG_BINARY=str(own))
    assert (found.verdict, found.found) == ("problem", f"{own} does not run")
    assert "unset FFMPEG_BINARY" in found.advice


def test_the_doctor_names_what_a_small_build_lacks(tmp_path: Path) -> None:
    parts = "libx264 aac overlay scale tonemap xfade"
    own = program(tmp_path / "ffmpeg", f"echo 'ffmpeg version 7.0 Copyright {parts}'")
    found = doctor(FFMPEG_BINARY=str(own))
    assert (found.verdict, found.found) == ("problem", f"7.0 at {own} lacks libx265, zscale")


def test_an_input_is_opened_by_one_demuxer_from_one_file(tmp_path: Path) -> None:
    arguments = ffmpeg.Source(tmp_path / "0", "mov", 1000).arguments("-ss", "1")
    pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert pairs["-f"] == pairs["-format_whitelist"] == "mov"
    assert pairs["-protocol_whitelist"] == "file"
    assert pairs["-max_pixels"] == "1000"
    assert arguments[-2:] == ["-i", f"file:{tmp_path}/0"]
    assert "-nostdin" in ffmpeg.command([])
