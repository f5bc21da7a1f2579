"""A film from a photograph: the camera moves over it, a tone sounds. What the demo works on.

Called inside the sandbox as `function(work)`; `params`: `seconds`.
"""

from __future__ import annotations

from geniequeue.media import colour, encoding, ffmpeg
from geniequeue.media.decode import load
from geniequeue.sandbox.inside import Output, Work

SIZE = (1280, 720)
RATE = 30
# The still is larger than the film, so that there is something to move over.
_STILL = (1600, 900)
_RAW = "still.rgb"
# Where the upper left corner of what is shown is after `t` seconds: once around within nine.
_WAY = "x='(iw-ow)*(0.5-0.5*cos(2*PI*t/9))':y='(ih-oh)*(0.5-0.5*sin(2*PI*t/9))'"


def pan(work: Work) -> list[Output]:
    """Make an MP4 with sound."""
    seconds, path = float(work.params["seconds"]), work.out_dir / "film.mp4"
    picture = load(work.inputs["input"], work.limits, shrink_to=_covering, animated=False)
    still = colour.for_target(picture.image, "gif").colourspace("srgb")
    still = colour.flattened(still, "#ffffff") if still.hasalpha() else still
    left, top = (still.width - _STILL[0]) // 2, (still.height - _STILL[1]) // 2
    raw = work.out_dir / _RAW
    raw.write_bytes(bytes(still.crop(left, top, *_STILL).cast("uchar").write_to_memory()))
    arguments = [
        *("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{_STILL[0]}x{_STILL[1]}"),
        *("-framerate", str(RATE), "-i", f"file:{raw}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"),
        *("-vf", f"loop=loop=-1:size=1,crop={SIZE[0]}:{SIZE[1]}:{_WAY},format=yuv420p", "-t", str(seconds)),
        *("-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac"),
        *encoding.container_arguments(),
        f"file:{path}",
    ]
    try:
        ffmpeg.run(arguments, cwd=work.out_dir, on_time=lambda done: work.report(min(1.0, done / seconds)))
    finally:
        raw.unlink()
    return [Output(path.name, encoding.MIME, *SIZE, duration_s=seconds)]


def _covering(width_px: int, height_px: int) -> tuple[int, int]:
    share = max(_STILL[0] / width_px, _STILL[1] / height_px)
    return max(_STILL[0], round(width_px * share)), max(_STILL[1], round(height_px * share))
