"""Some frames of a video as pictures, to be looked at."""

from __future__ import annotations

from pathlib import Path

import pyvips

from geniequeue.errors import ToolError
from geniequeue.media import ffmpeg, filters
from geniequeue.media.clip import Clip
from geniequeue.media.ffmpeg import FfmpegFailed

_RAW = "stills.rgb"


def stills(clip: Clip, count: int, box: tuple[int, int], folder: Path) -> list[pyvips.Image]:
    """Decode up to `count` frames, the middles of equal shares of the video, as sRGB that fits into `box`.

    Args:
        folder: of the job; a file lies there meanwhile.
    """
    wide, high = clip.look.shown
    share = min(1.0, box[0] / wide, box[1] / high)
    size = filters.even(round(wide * share), round(high * share))
    numbers = sorted({clip.frames * (2 * place + 1) // (2 * count) for place in range(count)})
    chosen = "+".join(f"eq(n\\,{number})" for number in numbers)
    raw = folder / _RAW
    arguments = [
        *clip.source.arguments(),
        *("-filter_complex", f"[0:V:0]select={chosen},{filters.prepared(clip, size)},format=rgb24[stills]"),
        *("-map", "[stills]", "-fps_mode", "passthrough", "-f", "rawvideo", f"file:{raw}"),
    ]
    try:
        ffmpeg.run(arguments, cwd=folder)
        return frames_in(raw, size)
    except FfmpegFailed as error:
        raise ToolError("the video program failed on this video; try again", reason="ffmpeg") from error
    finally:
        raw.unlink(missing_ok=True)


def frames_in(path: Path, size: tuple[int, int]) -> list[pyvips.Image]:
    """Read a file of frames of RGB pixels and nothing else."""
    pixels, step = path.read_bytes(), size[0] * size[1] * 3
    pieces = [pixels[at : at + step] for at in range(0, len(pixels) - step + 1, step)]
    # `new_from_memory` keeps a pointer into each piece, `copy_memory` makes the picture its own
    images = [pyvips.Image.new_from_memory(each, *size, 3, "uchar") for each in pieces]
    return [image.copy(interpretation="srgb").copy_memory() for image in images]
