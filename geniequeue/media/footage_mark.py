"""The operation `apply_watermark` on videos: the picture that images get, laid over every frame by ffmpeg."""

from __future__ import annotations

from pathlib import Path

import pyvips

from geniequeue.errors import InputError, VerifyError
from geniequeue.media import ffmpeg, filters, proof, remake
from geniequeue.media.clip import Clip, probe
from geniequeue.media.draw import Mark, draw_mark
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Output, Work

# Files in the job's folder that hold pixels and nothing else: the drawn mark, a frame to look at.
_RAW, _FRAME = "mark.rgba", "frame.rgb"


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
    clip, progress = probe(work.inputs["input"], work.limits), Progress(work.report)
    progress.tell(remake.PROBED)
    size = filters.even(*clip.look.shown)
    mark = on_even_places(draw_mark(work.params, *size, overlay))
    plain = filters.chain(filters.prepared(clip), filters.delivered(*clip.look.shown))
    chain = plain + filters.marked(clip, mark.left_px, mark.top_px, size[1])
    try:
        plan = remake.plan_of(clip, chain, size, inputs=mark_input(mark, work.out_dir))
        outputs = remake.remake(work, plan, [clip.source], progress, facts=clip.facts)
        _prove(clip, plain, mark, work.out_dir)
    finally:
        clean(work.out_dir)
    return outputs


def clean(folder: Path) -> None:
    """Remove the files of pixels."""
    for name in (_RAW, _FRAME):
        (folder / name).unlink(missing_ok=True)


def on_even_places(mark: Mark) -> Mark:
    """Move a mark to even places and sides, because chroma is stored for two pixels at a time."""
    left, top = mark.left_px % 2, mark.top_px % 2
    width, height = (-(-side // 2) * 2 for side in (mark.image.width + left, mark.image.height + top))
    image = mark.image.embed(left, top, width, height).copy(interpretation="srgb")
    return Mark(image.copy_memory(), mark.left_px - left, mark.top_px - top)


def mark_input(mark: Mark, folder: Path) -> list[str]:
    """Write the mark's pixels and return the arguments that open them as an input of one frame."""
    (folder / _RAW).write_bytes(bytes(mark.image.write_to_memory()))
    return [
        *("-f", "rawvideo", "-pixel_format", "rgba"),
        *("-video_size", f"{mark.image.width}x{mark.image.height}"),
        *("-protocol_whitelist", "file"),
        *("-i", f"file:{folder / _RAW}"),
    ]


def _prove(clip: Clip, plain: str, mark: Mark, folder: Path) -> None:
    """Compare the first and the last frame with what they are without the mark."""
    made = Source(folder / remake.NAME, "mov", clip.source.max_pixels)
    size = filters.even(*clip.look.shown)
    for at_s in sorted({None, _just_before_last(clip)}, key=lambda at: at or 0.0):
        try:
            before, after = (
                _frame(source, at_s, graph, folder / _FRAME, size)
                for source, graph in ((clip.source, plain), (made, "null"))
            )
        except FfmpegFailed as error:
            raise VerifyError("the video that was made cannot be compared with the input; try again") from error
        proof.check_frame(mark, before, after)


def _just_before_last(clip: Clip) -> float | None:
    """Return a time from which on the last frame is the next one, in seconds; None for a single frame."""
    if clip.frames < 2:
        return None
    return float((clip.times[-2] + clip.times[-1]) / 2 * clip.video.tick)


def _frame(source: Source, at_s: float | None, graph: str, raw: Path, size: tuple[int, int]) -> pyvips.Image:
    """Decode one frame to sRGB."""
    seek = [] if at_s is None else ["-ss", f"{at_s:.6f}"]
    arguments = [
        *source.arguments(*seek),
        *("-filter_complex", f"[0:V:0]{graph}[video]", "-map", "[video]"),
        *("-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", f"file:{raw}"),
    ]
    ffmpeg.run(arguments, cwd=raw.parent)
    pixels = raw.read_bytes()
    if len(pixels) != size[0] * size[1] * 3:
        raise VerifyError("the video that was made ends too early; try again", reason="frames_lost")
    return pyvips.Image.new_from_memory(pixels, *size, 3, "uchar").copy(interpretation="srgb")
