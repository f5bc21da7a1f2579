"""The operations that are timed, and what moviepy's documentation shows for each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MARK = "@creator"


@dataclass(frozen=True)
class Case:
    """One operation.

    Attributes:
        moviepy: an expression over `clip`, and `MARK`, the path of a picture.
        crf: of the operation, and so of moviepy's encoder.
    """

    name: str
    operation: str
    params: Mapping[str, Any]
    moviepy: str
    crf: int = 20

    @property
    def is_chosen(self) -> bool:
        """Whether it is to be timed: all are, or those named in `BENCH_CASES`, with commas between."""
        return self.name in os.environ.get("BENCH_CASES", self.name).split(",")


CASES = (
    Case("resize", "resize_video", {"resolution": "720p"}, "clip.resized(height=720)"),
    Case("crop", "crop_video", {"aspect": "4:5"}, "clip.cropped(x1=528, y1=0, width=864, height=1080)"),
    Case("compress", "compress_video", {"crf": 28}, "clip", crf=28),
    Case(
        "watermark",
        "apply_watermark",
        {"watermark_text": MARK},
        "CompositeVideoClip([clip, ImageClip('MARK').with_duration(clip.duration).with_position((1600, 1000))])",
    ),
    Case("trim", "trim_videos", {"start": 2.5}, "clip.subclipped(2.5)"),
    Case(
        "teaser",
        "create_teaser",
        {"duration": 10, "clips": 3},
        "concatenate_videoclips([clip.subclipped(s * clip.duration, (s + 0.183) * clip.duration)"
        ".with_effects([vfx.CrossFadeIn(0.5)]) for s in (0.075, 0.408, 0.742)], padding=-0.5)",
    ),
)
MOVIEPY = """
import sys
from moviepy import CompositeVideoClip, ImageClip, VideoFileClip, concatenate_videoclips, vfx
with VideoFileClip(sys.argv[1]) as clip:
    made = {expression}
    made.write_videofile(sys.argv[2], codec="libx264", preset="{preset}", audio_codec="aac", logger=None,
                         ffmpeg_params=["-crf", "{crf}", "-pix_fmt", "yuv420p"])
"""
