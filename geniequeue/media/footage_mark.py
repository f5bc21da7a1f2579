"""The operation `apply_watermark` on videos: the picture that images get, laid over every frame by ffmpeg."""

from __future__ import annotations

from pathlib import Path

import pyvips

from geniequeue.errors import InputError, VerifyError
from geniequeue.media import filters, proof, remake
from geniequeue.media.clip import probe
from geniequeue.media.draw import Mark, draw_mark
from geniequeue.media.progress import Progress
from geniequeue.media.stills import frames_in
from geniequeue.sandbox.inside import Output, Work

# Files in the job's folder that hold pixels and nothing else: the drawn mark, frames without it, the same with it.
_RAW, _BEFORE, _AFTER = "mark.rgba", "before.rgb", "after.rgb"


def mark_footage(work: Work, overlay: pyvips.Image | None) -> list[Output]:
    """Put a text or an overlay picture on every frame, and prove on the first and the last one that it is there.

    Args:
        overlay: RGBA uchar sRGB; None for a text.

    Raises:
        InputError: not a video that is accepted, a picture's format was asked for, or the text does not show.
        VerifyError: the mark cannot be found in what was written.
    """
    if work.params["format"] != "auto":
        raise InputError(
            f"expected no format for a video, got {work.params['format']}; leave it out", reason="format_not_allowed"
        )
    clip, progress = probe(work.inputs["input"], work.limits), Progress(work)
    progress.tell(remake.PROBED)
    size = filters.even(*clip.look.shown)
    mark = on_even_places(draw_mark(work.params, *size, overlay))
    chosen = f"select=eq(n\\,0)+eq(n\\,{clip.frames - 1})"
    plain = filters.chain(filters.prepared(clip), filters.delivered(*clip.look.shown))
    drawn = mark_source(mark, work.out_dir)
    laid = filters.marked(drawn, filters.matrix_of(clip, size[1]), mark.left_px, mark.top_px)
    plan = remake.plan_of(
        clip,
        f"{plain},split[all][some];[some]{chosen}[before];[all]null{laid}",
        size,
        further=_pixels("[before]", work.out_dir / _BEFORE),
        looked_at=_pixels("0:v:0", work.out_dir / _AFTER, "-vf", chosen),
    )
    try:
        outputs = remake.remake(work, plan, [clip.source], progress, facts=clip.facts)
        _prove(mark, size, work.out_dir)
    finally:
        clean(work.out_dir)
    return outputs


def clean(folder: Path) -> None:
    """Remove the files of pixels."""
    for name in (_RAW, _BEFORE, _AFTER):
        (folder / name).unlink(missing_ok=True)


def on_even_places(mark: Mark) -> Mark:
    """Move a mark to even places and sides, because chroma is stored for two pixels at a time."""
    left, top = mark.left_px % 2, mark.top_px % 2
    width, height = (-(-side // 2) * 2 for side in (mark.image.width + left, mark.image.height + top))
    image = mark.image.embed(left, top, width, height).copy(interpretation="srgb")
    return Mark(image.copy_memory(), mark.left_px - left, mark.top_px - top)


def mark_source(mark: Mark, folder: Path) -> str:
    """Write the mark's pixels and return the filter that reads them, in an ffmpeg that runs in this folder.

    An input of ffmpeg may be held up while another output waits for its last frame, and all frames with it, in memory.
    A filter is asked when its frame is needed.
    """
    (folder / _RAW).write_bytes(bytes(mark.image.write_to_memory()))
    size = f"{mark.image.width}x{mark.image.height}"
    return rf"movie={_RAW}:f=rawvideo:format_opts='pixel_format=rgba\:video_size={size}'"


def _pixels(mapped: str, path: Path, *options: str) -> list[str]:
    """Return the arguments of an output of frames as they are, RGB."""
    raw = ("-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", f"file:{path}")
    return ["-map", mapped, *options, *raw]


def _prove(mark: Mark, size: tuple[int, int], folder: Path) -> None:
    """Compare the first and the last frame with what they are without the mark."""
    before, after = (frames_in(folder / name, size) for name in (_BEFORE, _AFTER))
    if not before or len(before) != len(after):
        raise VerifyError("the video that was made cannot be compared with the input; try again", reason="frames_lost")
    for plain, marked in zip(before, after, strict=True):
        proof.check_frame(mark, plain, marked)
