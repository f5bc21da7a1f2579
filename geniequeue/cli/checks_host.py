"""Checks of this machine: Python, Redis' binary, sandbox, fonts, ImageMagick, ffmpeg, disk."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from geniequeue.cli.embedded import redis_server
from geniequeue.cli.finding import Finding
from geniequeue.config import Settings
from geniequeue.errors import SettingsError
from geniequeue.sandbox.jail import available, walls

# A character of each script that watermarks are likely to be written in, and the package that draws it.
SCRIPTS = (
    ("Latin", "A", "fonts-noto-core"),
    ("Arabic", "\u0645", "fonts-noto-core"),
    ("Chinese", "\u4f60", "fonts-wqy-zenhei"),
    ("emoji", "\U0001f9a6", "fonts-noto-color-emoji"),
)
# Encoders and filters that videos are made with.
FFMPEG_PARTS = ("libx264", "libx265", "aac", "overlay", "scale", "tonemap", "xfade", "zscale")
PROBE_TIMEOUT_S = 20
_FFMPEG_PROBE = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
_WAND_PROBE = "import wand.version as v; print(v.MAGICK_VERSION)"


def host_findings(settings: Settings | None) -> Iterator[Finding]:
    """Look at this machine."""
    yield Finding("Python", "ok", platform.python_version())
    yield _redis_binary()
    yield _sandbox(settings)
    yield _fonts()
    yield _imagemagick()
    yield _ffmpeg(settings)
    if settings is not None:
        yield _disk(settings)


def _redis_binary() -> Finding:
    try:
        return Finding("redis-server", "ok", str(redis_server()))
    except SettingsError:
        return Finding("redis-server", "warning", "none", "needed for the embedded Redis only: install redis-server")


def _sandbox(settings: Settings | None) -> Finding:
    if settings is not None and not settings.sandbox:
        advice = "unset SANDBOX: outside files are decoded without a jail"
        return Finding("sandbox", "warning", "SANDBOX=off", advice)
    why_not = available()
    if why_not is None:
        return Finding("sandbox", "ok", "bwrap builds one here")
    return Finding("sandbox", "problem", why_not, "the media worker does not start without it")


def _fonts() -> Finding:
    if shutil.which("fc-list") is None:
        return Finding("fonts", "problem", "no fontconfig", "apt-get install fontconfig")
    missing = [(script, package) for script, char, package in SCRIPTS if not _drawn(char)]
    if not missing:
        return Finding("fonts", "ok", ", ".join(script for script, _, _ in SCRIPTS))
    packages = " ".join(sorted({package for _, package in missing}))
    found = f"none for {', '.join(script for script, _ in missing)}"
    return Finding("fonts", "problem", found, f"watermarks show blanks: apt-get install {packages}")


def _drawn(char: str) -> bool:
    return bool(_output_of(["fc-list", f":charset={ord(char):x}", "family"]))


def _imagemagick() -> Finding:
    # In a process of its own: the library is no guest in this one.
    found = _output_of([sys.executable, "-c", _WAND_PROBE])
    if found is None:
        advice = "apt-get install libmagickwand-6.q16-6, and pip install 'geniequeue[media]'"
        return Finding("ImageMagick", "problem", "Wand does not find its library", advice)
    return Finding("ImageMagick", "ok", " ".join(found.split()[:3]))


def _ffmpeg(settings: Settings | None) -> Finding:
    """Run it where it will run, inside the walls, and ask what videos need that not every build has."""
    chosen = settings.ffmpeg_binary if settings is not None else None
    binary = str(chosen) if chosen else _output_of([sys.executable, "-c", _FFMPEG_PROBE])
    if binary is None:
        return Finding("ffmpeg", "problem", "the package imageio-ffmpeg has none", "pip install 'geniequeue[media]'")
    walled = (settings is None or settings.sandbox) and available() is None
    inside = [*walls(Path("/tmp"), ffmpeg=chosen), "--"] if walled else []  # noqa: S108 - nothing is written
    command = [*inside, binary, "-hide_banner"]
    told = [_output_of([*command, option]) for option in ("-version", "-encoders", "-filters")]
    advice = "unset FFMPEG_BINARY, or name a full build" if chosen else "pip install --force-reinstall imageio-ffmpeg"
    if None in told or not str(told[0]).startswith("ffmpeg version "):
        return Finding("ffmpeg", "problem", f"{binary} does not run", f"no video can be worked on: {advice}")
    version = str(told[0]).partition(" Copyright")[0].removeprefix("ffmpeg version ")
    words = {word for text in told[1:] for word in str(text).split()}
    missing = [part for part in FFMPEG_PARTS if part not in words]
    if missing:
        return Finding("ffmpeg", "problem", f"{version} at {binary} lacks {', '.join(missing)}", advice)
    return Finding("ffmpeg", "ok", f"{version}{f' at {binary}' if chosen else ''}")


def _disk(settings: Settings) -> Finding:
    folder = settings.var_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free at {folder}"
    if free < settings.min_free_bytes:
        return Finding("disk", "problem", found, f"free at least {settings.min_free_bytes / 1e6:.0f} MB (MIN_FREE_MB)")
    return Finding("disk", "ok", found)


def _output_of(command: list[str]) -> str | None:
    """Return what a program prints, None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
