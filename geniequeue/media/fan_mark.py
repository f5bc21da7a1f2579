"""The operation `apply_steganographic_watermark`: embed, encode, decode again and read the mark back.

On pictures here, on videos by `fan_footage`.

Params that the worker adds, because nobody else has them: `trace_id` (16 hex digits) and `asset`, what is marked;
`key` and `keys`, derived keys in hex, the one that marks and all that may have marked the input. Who the fan is, this
module is never told. The input `plane` is what was kept of the asset with an earlier copy, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

from geniequeue.errors import InputError, VerifyError
from geniequeue.media import fan_footage, fan_kept, footage, frames, mark, pixels
from geniequeue.media.decode import blamed_on, load
from geniequeue.media.encode import ANIMATED_FORMATS, same_or, save
from geniequeue.sandbox.inside import PICTURE_LIMIT_S, Output, Work
from geniequeue.watermark.blind import read_blind
from geniequeue.watermark.embedding import CannotCarry, embed
from geniequeue.watermark.plane import luma_of, plane_of
from geniequeue.watermark.reading import read, reference
from geniequeue.watermark.scoring import scores

READ_BACK_SCORE = 15.0
"""What a fresh copy has to score: far above the threshold of any trace (10 for a million copies), or it is no use."""
_PLANE_NAME = "plane.png"
_READ_BACK_PX = 1536
"""Longest side of the copy as it is read back, half as much again as of what is kept of the asset."""


def apply_steganographic_watermark(work: Work) -> list[Output]:
    """Mark the picture, each frame of an animation or a video, and prove that the mark can be read.

    Returns: the copy, and in the role `plane` what registers leaks to the asset: the small luma of the first frame.

    Raises:
        InputError: no picture or video that is accepted, or one that cannot carry a mark.
        VerifyError: what was written is not what was promised.
    """
    path, params = work.inputs["input"], work.params
    if footage.is_footage(path):
        return fan_footage.mark_footage(work)
    work.end_after(PICTURE_LIMIT_S)
    wanted = params["format"]
    picture = load(path, work.limits, animated=wanted == "auto" or wanted in ANIMATED_FORMATS)
    wanted = same_or(picture) if wanted == "auto" else wanted
    with blamed_on(path):
        image = mark.canvas(picture, wanted, params["background"]).copy_memory()
        luma = luma_of(pixels.rgb_of(_first_frame(image)))
    plane = plane_of(luma)
    found = _mark_inside(luma, params["keys"])
    work.report(0.2)
    marked = replace(picture, image=frames.each_frame(image, lambda frame: _marked(frame, params)))
    work.report(0.5)
    output = save(marked, work.out_dir, format=wanted, quality=params["quality"], limits=work.limits)
    work.report(0.7)
    kept = fan_kept.plane_kept(work) if fan_kept.ROLE in work.inputs else plane
    score = _read_back(work, output.name, plane, kept, luma.shape)
    work.report(1.0)
    facts = {**output.facts, "mark_score": round(score, 1), "marked_with": found}
    return [replace(output, facts=facts), _kept(work, plane, kept)]


def _first_frame(image: pyvips.Image) -> pyvips.Image:
    return image.crop(0, 0, image.width, frames.frame_height(image))


def _mark_inside(luma: pixels.Bytes, keys: list[str]) -> str | None:
    """Return the bits of a mark that the picture carries already, 12 hex digits; None where none can be read."""
    for key in keys:
        found = read_blind(luma, bytes.fromhex(key), thorough=False)
        if found is not None:
            return f"{found.payload:012x}"
    return None


def _marked(frame: pyvips.Image, params: Mapping[str, Any]) -> pyvips.Image:
    rgb = pixels.rgb_of(frame)
    try:
        changed = embed(
            rgb,
            plane_of(luma_of(rgb)),
            bytes.fromhex(params["key"]),
            params["asset"],
            int(params["trace_id"], 16),
            strength=params["strength"],
        )
    except CannotCarry as error:
        raise _cannot_carry(str(error)) from None
    return pixels.changed(frame, rgb, changed)


def _read_back(work: Work, name: str, plane: pixels.Bytes, kept: pixels.Bytes, shape: tuple[int, ...]) -> float:
    """Decode what was written and return the score of its mark by the plane that traces will use.

    Args:
        plane: of the picture that was marked.
        kept: of the asset, as it is stored.

    Raises:
        InputError: the mark does not come through the encoder, or the asset is another picture.
    """
    copy = load(work.out_dir / name, work.limits, animated=False)
    luma = luma_of(pixels.rgb_of(copy.image))
    if luma.shape != shape:
        raise VerifyError(f"expected a copy of {shape[1]} x {shape[0]} pixels, got another size; try again")
    share = min(1.0, _READ_BACK_PX / max(shape))
    size = max(1, round(shape[1] * share)), max(1, round(shape[0] * share))
    leak = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.float32)
    score = _score(leak, plane, shape, work.params)
    if score < READ_BACK_SCORE:
        raise _cannot_carry("the mark can not be read from the copy: there is too little detail, or too much was lost")
    if np.array_equal(plane, kept):
        return score
    by_kept = _score(leak, kept, shape, work.params) if plane.shape == kept.shape else 0.0
    if by_kept < max(READ_BACK_SCORE, fan_kept.LEAST_SHARE * score):
        raise fan_kept.another_picture()
    return by_kept


def _score(leak: NDArray[np.float32], plane: pixels.Bytes, shape: tuple[int, ...], params: Mapping[str, Any]) -> float:
    """Score of the copy, (H, W) luma 0 to 255, by a plane; 0 where it does not lie on that."""
    key, asset = bytes.fromhex(params["key"]), params["asset"]
    reading = read(reference(plane, (shape[1], shape[0])), leak, key, asset, thorough=False)
    if not reading.registration.accepted:
        return 0.0
    return float(scores(reading.chips, key, asset, np.array([int(params["trace_id"], 16)], np.uint64))[0])


def _cannot_carry(why: str) -> InputError:
    return InputError(f"{why}; send a larger picture with more detail, or ask for a better quality",
                      reason="cannot_carry_mark")  # fmt: skip


def _kept(work: Work, plane: pixels.Bytes, kept: pixels.Bytes) -> Output:
    """Write the plane as PNG, without loss; say by which plane, kept before or this one, the copy was proved."""
    pixels.grey(plane).pngsave(str(work.out_dir / _PLANE_NAME), compression=9)
    height_px, width_px = plane.shape
    facts = {"sha256": fan_kept.sha256_of(plane), "kept_sha256": fan_kept.sha256_of(kept)}
    return Output(_PLANE_NAME, "image/png", width_px, height_px, role=fan_kept.ROLE, facts=facts)
