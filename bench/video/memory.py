"""What a 4K source takes, by the threads of the machine: the largest process of each operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.video.job import Jobs
from bench.video.sources import footage

MAX_MIB = 1430  # 1.5 GB
SIZE = (3840, 2160)
SECONDS = 4.0  # all that is held in memory is there after one
THREADS = (2, 8)
TWENTY = [[number * 0.19, number * 0.19 + 0.2] for number in range(20)]
CASES: tuple[tuple[str, str, Mapping[str, Any], int], ...] = (
    ("resize to 1080p", "resize_video", {"resolution": "1080p"}, 1),
    ("crop to 4:5", "crop_video", {"aspect": "4:5"}, 1),
    ("compress", "compress_video", {}, 1),
    ("compress, hevc", "compress_video", {"codec": "hevc"}, 1),
    ("watermark", "apply_watermark", {"watermark_text": "@creator"}, 1),
    ("trim", "trim_videos", {"start": 0.5}, 1),
    ("join of 4", "join_videos", {"input_file_ids": ["0" * 8 + "-0000-4000-8000-" + "0" * 12]}, 4),
    ("teaser, 3 clips", "create_teaser", {"duration": 3, "clips": 3, "fade": 0.2}, 1),
    ("teaser, 20 clips", "create_teaser", {"segments": TWENTY, "fade": 0.06}, 1),
)


def measure(jobs: Jobs, *, quick: bool) -> Iterator[str]:
    """Yield one line for each operation."""
    footage(jobs.source, SECONDS, (640, 360) if quick else SIZE)
    yield f"peak of a 4K source by processors (aim {MAX_MIB} MiB)"
    for name, operation, params, clips in CASES:
        inputs = [jobs.source] * clips if clips > 1 else []
        peaks = [jobs.peak_mib(operation, params, inputs, count) for count in THREADS]
        told = "  ".join(f"{count}: {peak:5.0f} MiB" for count, peak in zip(THREADS, peaks, strict=True))
        yield f"{name:<17} {told}  {'ok' if max(peaks) <= MAX_MIB else 'MISSED'}"
