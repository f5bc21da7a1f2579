"""The operation `join_videos`: clips one after the other, whatever their sizes, rates and sound.

The first clip decides the shape; others are scaled into it, with black bars where they are of another shape. The rate
is the highest of all, up to 60. A clip without sound is silent for as long as it lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from geniequeue.errors import InputError, PolicyError
from geniequeue.media import encoding, filters, remake
from geniequeue.media.clip import Clip, probe
from geniequeue.media.geometry import ResizePlan
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Limits, Output, Work

ROLE = "input_file_ids"
MAX_RATE = Fraction(60)
SOUND_RATE = 48_000
# Nine clips in 4K: each holds about 80 MB (measured) while the encoder holds 900.
_MOST_PIXELS = 75_000_000


def join_videos(work: Work) -> list[Output]:
    """Put the clips one after the other.

    Raises:
        InputError: there is only one (reason `one_clip`), or one is not a video that is accepted.
        PolicyError: together they are too long.
    """
    progress = Progress(work)
    paths = list(work.inputs.values())
    if len(paths) < 2:
        raise InputError("expected at least two clips to join, got one; name more in input_file_ids", reason="one_clip")
    clips = []
    for path in paths:
        clips.append(probe(path, work.limits))
        progress.tell(remake.PROBED * len(clips) / len(paths))
    _check(clips, work.limits)
    facts = {**clips[0].facts, "clips": len(clips)}
    return remake.remake(work, _plan(clips), [clip.source for clip in clips], progress, facts=facts)


def _check(clips: Sequence[Clip], limits: Limits) -> None:
    if sum(clip.duration_s for clip in clips) > limits.max_duration_s:
        raise PolicyError(
            f"expected clips of at most {limits.max_duration_s / 3600:g} hours together, got more; send fewer",
            reason="too_long",
        )
    if sum(clip.look.width_px * clip.look.height_px for clip in clips) > _MOST_PIXELS:
        raise PolicyError(
            f"expected clips whose frames have at most {_MOST_PIXELS // 1_000_000} megapixels together, got more; "
            "send fewer, or make them smaller first",
            reason="too_many_pixels",
        )


def rate_of(clips: Sequence[Clip]) -> Fraction:
    """Return the frame rate that all clips are brought to."""
    return min(MAX_RATE, max(clip.fps for clip in clips))


def _plan(clips: Sequence[Clip]) -> remake.Plan:
    size, rate = filters.even(*clips[0].look.shown), rate_of(clips)
    sounding = any(clip.sound for clip in clips)
    counts = [max(1, round(clip.duration_s * rate)) for clip in clips]
    graph = [_pictures(clip, number, size, rate, counts[number]) for number, clip in enumerate(clips)]
    if sounding:
        graph += [_sound(clip, number, float(counts[number] / rate)) for number, clip in enumerate(clips)]
    labels = "".join(f"[v{number}]" + (f"[a{number}]" if sounding else "") for number in range(len(clips)))
    ends = "[video][sound]" if sounding else "[video]"
    graph.append(f"{labels}concat=n={len(clips)}:v=1:a={int(sounding)}{ends}")
    frames = sum(counts)
    return remake.Plan(
        inputs=encoding.joined(*(clip.source.arguments(one_of=len(clips)) for clip in clips)),
        graph=";".join(graph),
        size=size,
        duration_s=float(frames / rate),
        frames=frames,
        sound=encoding.sound_encoded(encoding.sound_bps("stereo"), "stereo", SOUND_RATE) if sounding else ["-an"],
        sound_map="[sound]" if sounding else "",
        timing=("-r", f"{rate.numerator}/{rate.denominator}", "-fps_mode", "cfr"),
    )


def _pictures(clip: Clip, number: int, size: tuple[int, int], rate: Fraction, frames: int) -> str:
    """Filters that bring a clip's frames to the common size and rate, exactly `frames` of them."""
    inner = filters.even(*ResizePlan(*size, fit="inside", upscale=True).scaled(*clip.look.shown))
    inner = min(inner[0], size[0]), min(inner[1], size[1])
    chain = filters.chain(
        filters.prepared(clip, inner, name=f"p{number}"),
        "format=yuv420p",
        filters.in_common_colours(clip, size[1]),
        filters.padded(*size),
        filters.at_rate(rate, frames),
    )
    return f"[{number}:V:0]{chain}[v{number}]"


def _sound(clip: Clip, number: int, seconds: float) -> str:
    """Filters that bring a clip's sound to the common form and exactly the length of its pictures."""
    shape = f"aformat=sample_fmts=fltp:sample_rates={SOUND_RATE}:channel_layouts=stereo"
    if clip.sound is None:
        return f"anullsrc=r={SOUND_RATE}:cl=stereo,atrim=end={seconds:.6f},{shape}[a{number}]"
    begin = clip.video.start_s
    return (
        f"[{number}:a:0]aresample=async=1:first_pts=0,atrim=start={begin:.6f},asetpts=PTS-STARTPTS,"
        f"apad=whole_dur={seconds:.6f},atrim=end={seconds:.6f},{shape}[a{number}]"
    )
