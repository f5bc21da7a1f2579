"""What a function sees that runs inside the sandbox.

It is called as `function(work)`, decodes `work.inputs`, writes files into `work.out_dir` and returns the outputs it
made. It raises `geniequeue.errors.JobError` to fail the job with a sentence for the sender.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What a picture may take in an operation that takes videos too.
PICTURE_LIMIT_S = 120


@dataclass(frozen=True)
class Limits:
    """What an input may be.

    Attributes:
        max_pixels: width times height of one frame.
        max_frames: frames of an animation.
        max_total_pixels: pixels of all frames together.
        max_video_pixels: width times height of a video, 8K as it is.
        max_video_frames: frames of a video: `max_duration_s` at 60 a second.
        max_duration_s: length of a video or a sound recording, in seconds.
    """

    max_pixels: int = 100_000_000
    max_frames: int = 2_000
    max_total_pixels: int = 600_000_000
    max_video_pixels: int = 36_000_000
    max_video_frames: int = 864_000
    max_duration_s: float = 14_400.0

    @classmethod
    def of(cls, max_pixels: int, max_frames: int) -> Limits:
        """Return limits where an animation may have as many pixels in all as six of the largest pictures."""
        return cls(max_pixels, max_frames, 6 * max_pixels)


@dataclass(frozen=True)
class Pace:
    """How fast a job is at this moment.

    Attributes:
        speed: seconds of video that are done, or read again, in a second; None where there are none.
        left_s: seconds until the work is done, by what it took so far.
    """

    speed: float | None
    left_s: float


@dataclass(frozen=True)
class Work:
    """One operation's task inside the sandbox.

    Attributes:
        inputs: files by role, in this order: `input`, and one for each of the operation's `file_params`; the files of a
            param that is a list have roles such as `input_file_ids.0`.
        out_dir: folder for the outputs; nothing else is writable.
        params: validated params with defaults filled in.
        limits: what an input may be.
        report: takes progress from 0.0 to 1.0.
        pace: takes how fast it is, where that is known.
        end_after: lets this job be killed when it lasts longer than so many seconds from now; for work that needs
            less than its operation may take.
    """

    inputs: Mapping[str, Path]
    out_dir: Path
    params: Mapping[str, Any]
    limits: Limits = field(default_factory=Limits)
    report: Callable[[float], None] = lambda _share: None
    pace: Callable[[Pace], None] = lambda _pace: None
    end_after: Callable[[int], object] = lambda _seconds: None


@dataclass(frozen=True)
class Output:
    """One file that the function made and verified.

    Attributes:
        name: file name in `out_dir`.
        mime: media type.
        width_px, height_px: size as a viewer shows it; None where it has none.
        duration_s: length of the first frame sequence; None for stills.
        facts: further figures for the record: `format_in`, `width_in_px`, `height_in_px`, `frames`, `icc`, …
    """

    name: str
    mime: str
    width_px: int | None
    height_px: int | None
    duration_s: float | None = None
    role: str = "output"
    facts: Mapping[str, Any] = field(default_factory=dict)
