"""The `params` of the operations on videos; see `params` for how strict they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from geniequeue.params import (
    FITS,
    MAX_TEXT_CHARS,
    Between,
    CropImageParams,
    FanText,
    OneOf,
    ParamsSchema,
    StrictFloat,
    StrictInteger,
    Text,
    UuidText,
    side,
)

RESOLUTIONS = ("480p", "720p", "1080p")
CODECS = ("h264", "hevc")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")
MAX_SECONDS = 14_400
MAX_CLIPS = 20
DEFAULT_FADE_S, MAX_FADE_S = 0.5, 2.0


class ResizeVideoParams(ParamsSchema):
    """One side or both, or a `resolution`, which is the shorter side; without `upscale` nothing becomes larger."""

    width = side()
    height = side()
    resolution = fields.String(validate=OneOf(RESOLUTIONS))
    fit = fields.String(load_default="inside", validate=OneOf(FITS))
    upscale = fields.Boolean(load_default=False, truthy={True}, falsy={False})

    @validates_schema
    def _one_way_to_say_it(self, data: Mapping[str, Any], **_: Any) -> None:
        sides = [name for name in ("width", "height") if name in data]
        if "resolution" in data and sides:
            raise ValidationError("give either resolution or width and height, not both", sides[0])
        if "resolution" not in data and not sides:
            raise ValidationError("give width, height or both, or a resolution", "width")


class CropVideoParams(CropImageParams):
    """As for pictures; a side that is odd becomes one pixel smaller."""


class CompressVideoParams(ParamsSchema):
    """One of `crf`, `target_size_mb` (of 1,000,000 bytes) and `bitrate_kbps`; crf 28 where none is given."""

    crf = StrictInteger(validate=Between(18, 40))
    target_size_mb = StrictFloat(validate=Between(0, 4096, min_inclusive=False))
    bitrate_kbps = StrictInteger(validate=Between(50, 100_000))
    codec = fields.String(load_default="h264", validate=OneOf(CODECS))
    preset = fields.String(load_default="fast", validate=OneOf(PRESETS))

    @validates_schema
    def _one_goal(self, data: Mapping[str, Any], **_: Any) -> None:
        given = [name for name in ("crf", "target_size_mb", "bitrate_kbps") if name in data]
        if len(given) > 1:
            raise ValidationError("give only one of crf, target_size_mb and bitrate_kbps", given[1])


def seconds(**options: Any) -> StrictFloat:
    """A time in a video, in seconds."""
    return StrictFloat(validate=Between(0, MAX_SECONDS), **options)


class TrimVideosParams(ParamsSchema):
    """From `start` to `end`, in seconds; to the end of the video where `end` is not given."""

    start = seconds(load_default=0.0)
    end = seconds()

    @validates_schema
    def _a_part(self, data: Mapping[str, Any], **_: Any) -> None:
        if "end" in data and data["end"] <= data.get("start", 0.0):
            raise ValidationError("expected a time after start", "end")
        if "end" not in data and not data.get("start"):
            raise ValidationError("give start, end or both", "start")


class JoinVideosParams(ParamsSchema):
    """The clips in their order; an `input_file_id` beside them comes first, where it is not among them."""

    input_file_ids = fields.List(
        UuidText(metadata={"format": "uuid"}), required=True, validate=validate.Length(1, MAX_CLIPS)
    )


class FadeSeconds(StrictFloat):
    """Seconds of a fade; `true` is as good as 0.5 and `false` as 0."""

    def _validated(self, value: Any) -> float:
        return super()._validated({True: DEFAULT_FADE_S, False: 0.0}[value] if isinstance(value, bool) else value)


class CreateTeaserParams(ParamsSchema):
    """`clips` parts spread over the video, `duration` seconds in all; or the `segments` themselves.

    With `fan_id` it carries an invisible mark for that fan, with `mark` alone one that names this teaser.
    """

    duration = StrictFloat(load_default=10.0, validate=Between(1, 300))
    clips = StrictInteger(load_default=3, validate=Between(1, MAX_CLIPS))
    segments = fields.List(
        fields.List(seconds(), validate=validate.Length(2, 2)), validate=validate.Length(1, MAX_CLIPS)
    )
    width = side()
    mute = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    fade = FadeSeconds(load_default=DEFAULT_FADE_S, validate=Between(0, MAX_FADE_S))
    watermark_text = Text(validate=validate.Length(1, MAX_TEXT_CHARS))
    fan_id = FanText()
    mark = fields.Boolean(load_default=False, truthy={True}, falsy={False})

    @validates_schema
    def _parts(self, data: Mapping[str, Any], **_: Any) -> None:
        if any(end <= start for start, end in data.get("segments", ())):
            raise ValidationError("expected [start, end] with end after start", "segments")
        if "watermark_text" in data and not data["watermark_text"].strip():
            raise ValidationError("expected text that shows, got only blanks", "watermark_text")
