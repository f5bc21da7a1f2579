"""Read back a video that was made: every frame decodes, and it is what was promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geniequeue.errors import VerifyError
from geniequeue.media import ffmpeg, movie_boxes, packets
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.sandbox.inside import Limits

DURATION_S = 0.1
_NO_LIMITS = Limits(max_video_frames=1 << 40, max_duration_s=1e9, max_video_pixels=1 << 30)
_COUNTED = "frames.txt"


@dataclass(frozen=True)
class Promise:
    """What the video should be.

    Attributes:
        duration_s: of the pictures, in seconds.
        frames: how many; None where only the duration is promised.
        missing: how many may be missing, where the input itself cannot be decoded from its first frame on.
        sound: whether there is a sound track.
    """

    codec: str
    width_px: int
    height_px: int
    duration_s: float
    frames: int | None = None
    missing: int = 0
    sound: bool = False


@dataclass(frozen=True)
class Made:
    """What was read back."""

    video: packets.Track
    sound: packets.Track | None

    @property
    def duration_s(self) -> float:
        """How long pictures are shown, in seconds."""
        return self.video.end_s - self.video.start_s


def verify(
    path: Path,
    promise: Promise,
    on_time: Callable[[float], None] = lambda _s: None,
    *,
    looked_at: Sequence[str] = (),
) -> Made:
    """Decode the video to its last frame and compare it with the promise.

    Args:
        on_time: takes the seconds that have been read.
        looked_at: arguments of a further output, for who wants to see some of the frames that are decoded anyway.

    Raises:
        VerifyError: it does not decode, or is not what was promised.
    """
    source = Source(path, "mov", _NO_LIMITS.max_video_pixels)
    counted = path.parent / _COUNTED
    arguments = [
        # A part that does not decode is an error, not a grey picture.
        "-xerror",
        *("-err_detect", "explode"),
        # Smoothing block edges costs a third of the time and cannot fail.
        *("-skip_loop_filter", "all"),
        *("-progress", f"file:{counted}"),
        *source.arguments(),
        *("-map", "0:v:0", "-fps_mode", "passthrough", "-f", "null", "-"),
        *("-map", "0:v:0", "-map", "0:a?", "-c", "copy", "-f", "framecrc", "pipe:1"),
        *looked_at,
    ]
    running = ffmpeg.lines(arguments, cwd=path.parent)
    try:
        tracks = packets.read(_watched(running, on_time), _NO_LIMITS)
        decoded = _last_count(counted)
    except (FfmpegFailed, packets.Unreadable) as error:
        raise VerifyError("the video that was made does not decode to its end; try again") from error
    finally:
        running.close()
        counted.unlink(missing_ok=True)
    tracks[0].settle(movie_boxes.shown_s(path))
    made = Made(tracks[0], tracks[1] if len(tracks) > 1 else None)
    _compare(made, promise, decoded)
    return made


def _compare(made: Made, promise: Promise, decoded: int) -> None:
    video = made.video
    got = (video.codec, video.width_px, video.height_px, made.sound is not None)
    expected = (promise.codec, promise.width_px, promise.height_px, promise.sound)
    if got != expected:
        raise VerifyError(f"expected to have made {expected}, got {got}; try again", reason="other_streams")
    if decoded != len(video.pts):
        raise VerifyError(f"only {decoded} of {len(video.pts)} frames decode; try again", reason="frames_lost")
    if promise.frames is not None and not promise.frames - promise.missing <= decoded <= promise.frames:
        raise VerifyError(f"expected {promise.frames} frames, got {decoded}; try again", reason="frames_lost")
    if abs(made.duration_s - promise.duration_s) > DURATION_S + promise.missing * promise.duration_s / max(
        promise.frames or 1, 1
    ):
        raise VerifyError(
            f"expected {promise.duration_s:.3f} seconds, got {made.duration_s:.3f}; try again", reason="other_duration"
        )


def _watched(lines: Iterator[str], on_time: Callable[[float], None]) -> Iterator[str]:
    """Pass the table on and tell the time of every hundredth packet of the video."""
    tick = 0.0
    for number, line in enumerate(lines):
        if line.startswith("#tb 0: "):
            above, _, below = line[7:].partition("/")
            tick = int(above) / int(below)
        elif line.startswith("0,") and number % 100 == 0:
            on_time(int(line.split(",")[2]) * tick)
        yield line


def _last_count(path: Path) -> int:
    """Return the last `frame=` of ffmpeg's progress, which is that of the first output's video."""
    counts = [line[6:] for line in path.read_text().splitlines() if line.startswith("frame=")]
    return int(counts[-1]) if counts and counts[-1].strip().isdigit() else 0
