"""`apply_steganographic_watermark` on videos: the encode that runs anyway lays pictures of the mark over the luma.

What is kept of the asset are five thumbnails a second, which find the moment that a frame of a leak shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geniequeue.errors import InputError
from geniequeue.media import fan_kept, filters, footage_frames, remake
from geniequeue.media.clip import Clip, probe
from geniequeue.media.ffmpeg import FfmpegFailed
from geniequeue.media.pixels import Bytes
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Output, Work
from geniequeue.watermark.blind import read_blind_frames
from geniequeue.watermark.derivation import CHIPS
from geniequeue.watermark.detector import frame_chips
from geniequeue.watermark.embedding import CannotCarry
from geniequeue.watermark.pattern import carrier
from geniequeue.watermark.registration.alignment import Alignment
from geniequeue.watermark.registration.register import Match
from geniequeue.watermark.residual import residual_of
from geniequeue.watermark.scoring import scores
from geniequeue.watermark.timeline import PER_SECOND, SIDE_PX, Thumbnails
from geniequeue.watermark.video import FADE_S, GROUP_S, Frame, group_of, mark_pictures, plane_size

PLANE_NAME = "plane.npz"
LOOKED_AT = 8
"""Frames that are read for a mark that is there already, and to prove the one that was made."""
LEAST_KEYS = 4
"""With fewer key frames, others are read besides, for which everything has to be decoded."""
READ_BACK_SCORE = 12.0
ENCODED_SHARE = 0.8
_SAME_S = 0.1
_MARKS, _THUMBS = "marks.gray", "thumbs.gray"


def mark_footage(work: Work) -> list[Output]:
    """Mark every frame, and prove that the mark can be read.

    Raises:
        InputError: no video that is accepted, one that cannot carry a mark, or a picture's format was asked for.
        VerifyError: what was written is not what was promised.
    """
    if work.params["format"] != "auto":
        message = f"expected no format for a video, got {work.params['format']}; leave it out"
        raise InputError(message, reason="format_not_allowed")
    clip = probe(work.inputs["input"], work.limits)
    found = mark_inside(clip, work.params["keys"], work.out_dir)
    progress = Progress(replace(work, report=lambda share: work.report(ENCODED_SHARE * share)))
    progress.tell(remake.PROBED)
    size, small = filters.even(*clip.look.shown), thumbnail_size(clip)
    try:
        plan = planned(work, clip, size, small)
        [output] = remake.remake(work, plan, [clip.source], progress, facts=clip.facts)
        pictures = np.fromfile(work.out_dir / _THUMBS, np.uint8).reshape(-1, small[1], small[0])
    finally:
        for name in (_MARKS, _THUMBS):
            (work.out_dir / name).unlink(missing_ok=True)
    kept = _kept(work, pictures)
    score = _read_back(work, clip, work.out_dir / output.name)
    work.report(1.0)
    facts = {**output.facts, "mark_score": round(score, 1), "marked_with": found}
    return [replace(output, facts=facts), kept]


def mark_inside(clip: Clip, keys: list[str], folder: Path) -> str | None:
    """Return the bits of a mark that the video carries already, 12 hex digits; None where none can be read.

    This is no search: a copy as delivered, cut or compressed again is known, not one that was turned.
    """
    few = len(clip.video.keys) < LEAST_KEYS
    try:
        frames = (footage_frames.spread if few else footage_frames.keys)(clip, LOOKED_AT, folder)
    except FfmpegFailed:
        return None  # whoever encodes it will say what is wrong with it
    for key in keys:
        found = read_blind_frames(frames, bytes.fromhex(key), thorough=False)
        if found is not None:
            return f"{found.payload:012x}"
    return None


def thumbnails_of(path: Path) -> tuple[Thumbnails, str]:
    """Read the thumbnails that were kept of an asset; return them and the hash of their pixels."""
    pictures = fan_kept.pictures_kept(path)
    return _thumbnails(pictures), fan_kept.sha256_of(pictures)


def _thumbnails(pictures: Bytes) -> Thumbnails:
    return Thumbnails([n / PER_SECOND for n in range(len(pictures))], pictures)


def thumbnail_size(clip: Clip) -> tuple[int, int]:
    """Return width and height of the thumbnails that are kept of a clip."""
    width, height = clip.look.shown
    share = SIDE_PX / max(width, height)
    return max(1, round(width * share)), max(1, round(height * share))


def planned(work: Work, clip: Clip, size: tuple[int, int], small: tuple[int, int]) -> remake.Plan:
    """Write the pictures of the mark and plan the encode that lays them over and keeps the thumbnails.

    Args:
        size: width and height of the copy, even.
        small: of a thumbnail.

    Raises:
        InputError: the video cannot carry a mark.
    """
    params = work.params
    marks, thumbs = work.out_dir / _MARKS, work.out_dir / _THUMBS
    key, trace_id = bytes.fromhex(params["key"]), int(params["trace_id"], 16)
    # of a format that ffmpeg can blend, which plain grey is not
    grey = bytes([128]) * (size[0] * size[1] // 2)
    try:
        with marks.open("wb") as file:
            for picture in mark_pictures(size, key, params["asset"], trace_id, strength=params["strength"]):
                file.write(picture.tobytes() + grey)
    except CannotCarry as error:
        raise _cannot_carry(str(error)) from None
    plain = filters.chain(filters.prepared(clip), filters.delivered(*clip.look.shown))
    kept = f"fps={PER_SECOND}:start_time=0:round=near,scale={small[0]}:{small[1]}:flags=area,format=gray"
    raw = ["-fps_mode", "passthrough", "-f", "rawvideo", f"file:{thumbs}"]
    return remake.plan_of(
        clip,
        f"{plain},split[all][some];[some]{kept}[thumbs];[all]{laid_over(clip, size)}",
        size,
        inputs=[
            *("-stream_loop", "-1", "-f", "rawvideo", "-pixel_format", "yuv420p"),
            *("-video_size", f"{size[0]}x{size[1]}", "-framerate", f"1/{GROUP_S:g}"),
            *("-protocol_whitelist", "file", "-i", f"file:{marks}"),
        ],
        further=["-map", "[thumbs]", *raw],
    )


def laid_over(clip: Clip, size: tuple[int, int]) -> str:
    """Return the filters that lay the pictures of input 1 over delivered frames, weaker where they are flat."""
    width, height = size
    # frames at their own times show the picture of that time, also where the rate varies
    rate = max(1, round(clip.fps))
    return (
        f"extractplanes=y+u+v[y][u][v];{_faded(rate)}[p];[y]split=3[a][b][c];"
        f"[b][p]blend=all_mode=grainmerge:shortest=1[s];"
        f"[c]scale={max(2, width // 4)}:{max(2, height // 4)}:flags=area,sobel,gblur=sigma=2,"
        f"lut=y='clip(100+val*5,0,255)',scale={width}:{height}:flags=bilinear[m];[a][s][m]maskedmerge[o];"
        f"[o][u][v]mergeplanes=map0p=0:map1s=1:map1p=0:map2s=2:map2p=0:format=yuv420p{_colours(clip)}"
    )


def _faded(rate: int) -> str:
    """Return the filters that show each picture of input 1 until the next one takes over, slowly: a change from one
    frame to the next would be seen in a dark sky.
    """
    # the filter blends two frames along the whole way from one to the next, so there is a frame for each way
    return f"[1:v]fps={1 / FADE_S:g},framerate=fps={rate}:interp_start=0:interp_end=255:flags=0,extractplanes=y"


def _colours(clip: Clip) -> str:
    """Return the filter that says again how frames code colours, which single planes do not know."""
    look = clip.look
    if look.hdr or look.rgb:
        return ",setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    named = {"range": look.range, "color_primaries": look.primaries, "color_trc": look.transfer,
             "colorspace": look.space}  # fmt: skip
    known = {name: value for name, value in named.items() if value != "unknown"}
    known.setdefault("range", "tv")
    return ",setparams=" + ":".join(f"{name}={value}" for name, value in known.items())


def _kept(work: Work, pictures: Bytes) -> Output:
    """Write the thumbnails; where some are kept already, they have to be those of this video."""
    kept = fan_kept.pictures_kept(work.inputs[fan_kept.ROLE]) if fan_kept.ROLE in work.inputs else pictures
    fan_kept.check_pictures(pictures, kept)
    facts = {"sha256": fan_kept.sha256_of(pictures), "kept_sha256": fan_kept.sha256_of(kept)}
    np.savez_compressed(work.out_dir / PLANE_NAME, pictures=pictures)
    return Output(PLANE_NAME, "application/octet-stream", None, None, role=fan_kept.ROLE, facts=facts)


def _read_back(work: Work, original: Clip, path: Path) -> float:
    """Read the mark from what was encoded, and return its score.

    A copy lies on its original as it is, frame by frame, so nothing has to be found first.

    Raises:
        InputError: it does not come through the encoder.
    """
    params: Mapping[str, Any] = work.params
    key, asset, size = bytes.fromhex(params["key"]), params["asset"], plane_size(original.look.shown)
    between = footage_frames.around(original, size, work.out_dir)
    chips = np.zeros(CHIPS, np.float32)
    for frame in footage_frames.telling(probe(path, work.limits), work.out_dir, LOOKED_AT, size):
        near = between(frame.time_s - _SAME_S, frame.time_s + _SAME_S)
        same = min(near, key=lambda each: abs(each.time_s - frame.time_s), default=None)
        if same is not None:
            chips += _chips_of(frame, same, key, asset)
    score = float(scores(chips, key, asset, np.array([int(params["trace_id"], 16)], np.uint64))[0])
    if score < READ_BACK_SCORE:
        raise _cannot_carry("the mark can not be read from the copy: there is too little detail, or it is too short")
    return score


def _chips_of(frame: Frame, original: Frame, key: bytes, asset: str) -> NDArray[np.float32]:
    plane = original.luma.astype(np.float32)
    laid = Match("delivered", frame.luma.astype(np.float32), False, Alignment(np.eye(3), 1.0))
    return frame_chips(
        plane, residual_of(plane, laid), carrier(key, f"{asset}#{group_of(original.time_s)}", plane.shape)
    )


def _cannot_carry(why: str) -> InputError:
    message = f"{why}; send a larger or longer video with more detail"
    return InputError(message, reason="cannot_carry_mark")
