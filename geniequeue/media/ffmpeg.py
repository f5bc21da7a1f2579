"""The one place that starts ffmpeg: which binary, under which flags, heard as it works, dead when its parent is.

No text of a sender is ever on its command line or in a filter: inputs are files with names of our own, numbers come
through the schema, and words are drawn into pictures first.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imageio_ffmpeg

from geniequeue.errors import LostError, PolicyError, ToolError
from geniequeue.sandbox import processes

_MAX_THREADS = 8
# Each thread of a decoder or of x264 holds frames, and one of 4K takes 12 to 70 MB there (measured).
_LARGE_PIXELS, _MAX_THREADS_LARGE = 2560 * 1440, 4
_MAX_COMPLAINTS_BYTES = 65_536
_READ_BYTES = 65_536
_FULL = ("no space left on device", "disk quota exceeded")


class FfmpegFailed(Exception):
    """It ended with an error; `complaints` is what it wrote, for the operator's log."""

    def __init__(self, returncode: int, complaints: str) -> None:
        super().__init__(f"ffmpeg ended with {returncode}: {complaints[-1500:]}")
        self.returncode = returncode
        self.complaints = complaints


@dataclass(frozen=True)
class Source:
    """An input file and how it may be read.

    Attributes:
        demuxer: the only one that may read it, found by content.
        max_pixels: largest frame a decoder may make.
        decoder: of the video, where ffmpeg's own would leave something out.
        pixels: of a frame, where that is known; large ones get fewer threads.
    """

    path: Path
    demuxer: str
    max_pixels: int
    decoder: str | None = None
    pixels: int = 0

    def arguments(self, *options: str, one_of: int = 1) -> list[str]:
        """Return the arguments that open it.

        Args:
            options: such as `-ss`, which belong to this input alone.
            one_of: how many inputs are open at once; each thread of a decoder holds frames.
        """
        return [
            *("-threads", str(max(1, threads(self.pixels) // one_of))),
            # Never guess: a playlist that is called .mp4 must not reach the demuxer of playlists.
            *("-f", self.demuxer),
            # What a container embeds must not open another demuxer either.
            *("-format_whitelist", self.demuxer),
            # Nor a socket, nor a part of another file.
            *("-protocol_whitelist", "file"),
            # A frame header of a few bytes must not make a decoder take gigabytes.
            *("-max_pixels", str(self.max_pixels)),
            *(("-c:v", self.decoder) if self.decoder else ()),
            *options,
            *("-i", f"file:{self.path}"),
        ]


@cache
def binary() -> str:
    """Return the ffmpeg that moviepy configures: the setting FFMPEG_BINARY, which the sandbox hands in as a path, or
    the one of the package imageio-ffmpeg.
    """
    return os.environ.get("FFMPEG_BINARY") or str(imageio_ffmpeg.get_ffmpeg_exe())


def threads(pixels: int = 0) -> int:
    """Threads for one decoder or encoder of frames with so many pixels; more cost memory and bring little."""
    most = _MAX_THREADS_LARGE if is_large(pixels) else _MAX_THREADS
    return min(len(os.sched_getaffinity(0)), most)


def is_large(pixels: int) -> bool:
    """Whether frames are so large that every one held in memory counts."""
    return pixels > _LARGE_PIXELS


def command(arguments: Sequence[str]) -> list[str]:
    """Return the whole command line."""
    return [
        binary(),
        "-hide_banner",
        # The terminal is nobody's.
        "-nostdin",
        # Outputs have names of our own.
        "-y",
        *("-loglevel", "level+error"),
        *("-filter_threads", str(threads())),
        *("-filter_complex_threads", str(threads())),
        *arguments,
    ]


def lines(
    arguments: Sequence[str], *, cwd: Path, on_complaint: Callable[[str], None] | None = None
) -> Generator[str, None, None]:
    """Run it and yield what it writes to standard output, a line at a time; closing the iterator kills it.

    Args:
        cwd: the job's folder, for the files that ffmpeg names itself.
        on_complaint: takes all that it wrote to standard error, when it ended well.

    Raises:
        FfmpegFailed: it ended with an error.
        JobError: it ended for want of room, or was killed.
    """
    process = subprocess.Popen(
        command(arguments),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", "AV_LOG_FORCE_NOCOLOR": "1", "HOME": "/nonexistent"},
        # Without walls nobody else would end it; one call of the kernel, which no other thread can hold up.
        preexec_fn=processes.die_with_parent,  # noqa: PLW1509
    )
    complaints = bytearray()
    try:
        yield from _heard(process, complaints)
        returncode = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    text = complaints.decode(errors="replace")
    _judge(returncode, text)
    if on_complaint is not None:
        on_complaint(text)


def run(arguments: Sequence[str], *, cwd: Path, on_time: Callable[[float], None] = lambda _s: None) -> None:
    """Run it to its end.

    Args:
        on_time: takes how far the output has come, in seconds, about four times a second.

    Raises:
        FfmpegFailed, JobError: as `lines`.
    """
    for line in lines(["-progress", "pipe:1", "-stats_period", "0.25", *arguments], cwd=cwd):
        name, _, value = line.partition("=")
        if name == "out_time_us" and value.lstrip("-").isdigit():
            on_time(int(value) / 1_000_000)


def _heard(process: subprocess.Popen[bytes], complaints: bytearray) -> Iterator[str]:
    rest = b""
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None  # noqa: S101 - both are pipes
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, _READ_BYTES)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    complaints += data
                    del complaints[:-_MAX_COMPLAINTS_BYTES]
                else:
                    *whole, rest = (rest + data).split(b"\n")
                    yield from (line.decode(errors="replace") for line in whole)


def _judge(returncode: int, complaints: str) -> None:
    """Raise what the way it ended means."""
    if returncode == 0:
        return
    if any(words in complaints.lower() for words in _FULL):
        raise ToolError("there was no space left to write the output; try again later", reason="no_space")
    if -returncode == signal.SIGXFSZ or "file too large" in complaints.lower():
        raise PolicyError(
            "the output would be larger than this service allows; ask for a smaller or shorter one",
            reason="output_too_large",
        )
    if returncode < 0:
        name = signal.Signals(-returncode).name
        raise LostError(f"the program that did the work was ended by {name}", reason=name.lower())
    raise FfmpegFailed(returncode, complaints)
