"""The registry: every operation with its queue, inputs, limits, retry policy, feature and function.

This is the only place a new operation is announced. The API validates against it, the producer routes by it, the
worker runs what it names. Names are stored in records and messages, so they are never reused for something else; to
rename one, keep the old name as a second entry until no run with it is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from marshmallow import Schema

from geniequeue import params, params_video

MEDIA_QUEUE = "media-jobs"
SCRAPE_QUEUE = "scrape-jobs"
ONBOARDING_QUEUE = "onboarding-jobs"
MARKING, TEASING, TRACING = "apply_steganographic_watermark", "create_teaser", "trace_leak"
"""The operations that need keys and records of issues besides their files."""
PICTURE_TIME_LIMIT_S = 120.0
# 1080p takes about as long as it plays on two cores; what takes more than an hour is sent in parts.
VIDEO_TIME_LIMIT_S = 3600.0
SEVERAL_INPUTS = "input_file_ids"
LEAST_TOGETHER = 2
QUEUES = (MEDIA_QUEUE, SCRAPE_QUEUE, ONBOARDING_QUEUE)


@dataclass(frozen=True)
class Operation:
    """One kind of work.

    Attributes:
        name: as the API takes it and the records keep it.
        queue: the named queue that serves it.
        params: marshmallow schema class of `params`; unknown members are refused.
        requires: inputs a request must carry: `input_file_id` or `creator_profile_id`.
        function: dotted name `module:function`, called inside the sandbox with a `geniequeue.sandbox.inside.Work`.
        time_limit_s: wall clock of one attempt's sandboxed work, in seconds.
        max_tries: attempts in all before a transient failure is final.
        feature: what the quota counts it as; None is not counted.
        file_params: params that name a further input file, or a list of them, checked and fetched like `input_file_id`.
        internal: enqueued by the system itself only; the API refuses it.
    """

    name: str
    queue: str
    params: type[Schema]
    requires: tuple[str, ...]
    function: str
    time_limit_s: float
    feature: str | None
    max_tries: int = 3
    file_params: tuple[str, ...] = ()
    internal: bool = False

    def load_params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validate `given` and fill in defaults; the result is plain JSON.

        Raises:
            marshmallow.ValidationError: messages by parameter name.
        """
        loaded: dict[str, Any] = self._schema.load(given)
        return loaded

    @property
    def takes_several(self) -> bool:
        """Whether one job has several inputs, `LEAST_TOGETHER` or more, which the param `input_file_ids` lists."""
        return SEVERAL_INPUTS in self.file_params

    @cached_property
    def _schema(self) -> Schema:
        """One for all: a schema costs more to make than to use, and keeps nothing of what it loads."""
        return self.params()


def _image(name: str, schema: type[Schema], function: str) -> Operation:
    return Operation(
        name=name,
        queue=MEDIA_QUEUE,
        params=schema,
        requires=("input_file_id",),
        function=f"geniequeue.media.{function}",
        time_limit_s=PICTURE_TIME_LIMIT_S,
        feature="media_modifications",
    )


def _video(
    name: str,
    schema: type[Schema],
    function: str,
    feature: str | None = "media_modifications",
    *,
    requires: tuple[str, ...] = ("input_file_id",),
    file_params: tuple[str, ...] = (),
) -> Operation:
    return Operation(
        name=name,
        queue=MEDIA_QUEUE,
        params=schema,
        requires=requires,
        file_params=file_params,
        function=f"geniequeue.media.{function}",
        time_limit_s=VIDEO_TIME_LIMIT_S,
        feature=feature,
    )


_REGISTERED = (
    _image("convert_image", params.ConvertImageParams, "image:convert_image"),
    _image("resize_image", params.ResizeImageParams, "image:resize_image"),
    _image("crop_image", params.CropImageParams, "image:crop_image"),
    # These two take pictures as well, which end themselves after `inside.PICTURE_LIMIT_S`.
    _video("strip_metadata", params.StripMetadataParams, "metadata:strip_metadata"),
    _video(
        "apply_watermark",
        params.ApplyWatermarkParams,
        "mark:apply_watermark",
        "watermark_ops",
        file_params=("watermark_file_id",),
    ),
    _video(MARKING, params.FanMarkParams, f"fan_mark:{MARKING}", "watermark_ops"),
    _video(TRACING, params.TraceLeakParams, "leak:trace_leak", None),
    _video("resize_video", params_video.ResizeVideoParams, "video:resize_video"),
    _video("compress_video", params_video.CompressVideoParams, "compress:compress_video"),
    _video("crop_video", params_video.CropVideoParams, "video:crop_video"),
    _video("trim_videos", params_video.TrimVideosParams, "trim:trim_videos"),
    _video(TEASING, params_video.CreateTeaserParams, "teaser:create_teaser", "ai_clip_ops"),
    _video(
        "join_videos",
        params_video.JoinVideosParams,
        "join:join_videos",
        requires=(),
        file_params=(SEVERAL_INPUTS,),
    ),
)

OPERATIONS: Mapping[str, Operation] = {operation.name: operation for operation in _REGISTERED}
PUBLIC_OPERATIONS: Mapping[str, Operation] = {
    name: operation for name, operation in OPERATIONS.items() if not operation.internal
}
