"""A trace of a video, inside the sandbox; see `leak`, which calls this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from geniequeue.errors import InputError
from geniequeue.media import fan_footage, footage_frames, leak_picture
from geniequeue.media.clip import Clip, probe
from geniequeue.media.ffmpeg import FfmpegFailed
from geniequeue.media.leak_scores import hits_of, shown
from geniequeue.sandbox.inside import Output, Work
from geniequeue.watermark.blind import read_blind_frames
from geniequeue.watermark.video import LaidVideo, chips_of_video, lay_video, plane_size

BLIND_FRAMES = 24

T = TypeVar("T")


def read_bits(work: Work) -> Mapping[str, Any]:
    """Read the bits of a mark without knowing the asset."""
    clip = probe(work.inputs["input"], work.limits)
    facts = {**clip.facts, "kind": "video"}
    with_bits: dict[str, str] = {}
    frames = _readable(lambda: footage_frames.spread(clip, BLIND_FRAMES, work.out_dir))
    for key_id, key in work.params["keys"].items():
        found = read_blind_frames(frames, bytes.fromhex(key))
        if found is not None:
            with_bits = {"key_id": key_id, "payload": f"{found.payload:012x}"}
            break
    return {**facts, **with_bits}


def trace(work: Work) -> tuple[Mapping[str, Any], Output | None]:
    """Read the leak against one video; return what is told, and a picture of a moment that both show."""
    if "original" not in work.inputs:
        raise InputError("expected a picture, for the asset is one; got a video", reason="type_not_allowed")
    leak, original = (probe(work.inputs[role], work.limits) for role in ("input", "original"))
    thumbnails, sha256 = fan_footage.thumbnails_of(work.inputs["plane"])
    between = footage_frames.around(original, plane_size(original.look.shown), work.out_dir)
    frames = _readable(lambda: footage_frames.telling(leak, work.out_dir))
    work.report(0.2)
    laid = _readable(lambda: lay_video(thumbnails, between, frames))
    work.report(0.7)
    hits = _hits(work, laid)
    work.report(1.0)
    registration = shown(laid.registration)
    facts = {**leak.facts, "kind": "video", "plane_sha256": sha256, "registration": registration, "hits": hits}
    return facts, _picture(work, leak, original, laid)


def _hits(work: Work, laid: LaidVideo) -> list[list[Any]]:
    """Score the copies of each key."""
    if not laid.registration.accepted:
        return []
    keys = {key_id: bytes.fromhex(key) for key_id, key in work.params["keys"].items()}
    asset, hits = str(work.params["asset"]), list[list[Any]]()
    read = chips_of_video(laid, list(keys.values()), asset)
    for (key_id, key), chips in zip(keys.items(), read, strict=True):
        hits += hits_of(chips, key, asset, work.inputs[f"copies.{key_id}"])
    return hits


def _readable(read: Callable[[], T]) -> T:
    """Do what decodes an input.

    Raises:
        InputError: it is damaged.
    """
    try:
        return read()
    except FfmpegFailed as error:
        message = "expected a complete video, got one that is damaged or cut off; upload the file again"
        raise InputError(message, reason="corrupt_file") from error


def _picture(work: Work, leak: Clip, original: Clip, laid: LaidVideo) -> Output | None:
    """Draw the moment in the middle of what was read."""
    if not laid.registration.accepted or not laid.seen_s:
        return None
    there_s, here_s = laid.seen_s[len(laid.seen_s) // 2]
    moments = []
    sizes = footage_frames.fitted(leak, footage_frames.LONGEST_PX), plane_size(original.look.shown)
    for clip, size, time_s in zip((leak, original), sizes, (there_s, here_s), strict=True):
        near = list(footage_frames.around(clip, size, work.out_dir)(time_s - 0.02, time_s + 0.02))
        if not near:
            return None
        moments.append(min(near, key=lambda frame: abs(frame.time_s - time_s)).luma)
    shown_leak = np.ascontiguousarray(np.repeat(moments[0][..., None], 3, axis=2))
    return leak_picture.draw(work.out_dir, shown_leak, moments[1], laid.registration)
