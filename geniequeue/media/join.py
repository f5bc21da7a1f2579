"""The operation `join_videos`: clips one after the other, whatever their sizes, rates and sound.

The first clip decides the shape; others are scaled into it, with black bars where they are of another shape. The rate
is the highest of all, up to 60. A clip without sound is silent for as long as it lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from geniequeue.errors import InputError, PolicyError
from geniequeue.media import encoding, filters, remake, segments
from geniequeue.media.clip import Clip, probe
from geniequeue.media.ffmpeg import Source
from geniequeue.media.geometry import ResizePlan
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Limits, Output, Work

ROLE = "input_file_ids"
MAX_RATE = Fraction(60)
SOUND_RATE = 48_000
# Two clips in 4K: each that is open holds about 200 MB there (measured), and the encoder 900.
_OPEN_AT_ONCE_PIXELS = 2 * 3840 * 2160


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
    if sum(clip.look.width_px * clip.look.height_px for clip in clips) > _OPEN_AT_ONCE_PIXELS:
        return [segments.joined(work, _whole(clips), _parts(clips), progress, facts=facts)]
    return remake.remake(work, _plan(clips), [clip.source for clip in clips], progress, facts=facts)


def _check(clips: Sequence[Clip], limits: Limits) -> None:
    if sum(clip.duration_s for clip in clips) > limits.max_duration_s:
        raise PolicyError(
            f"expected clips of at most {limits.max_duration_s / 3600:g} hours together, got more; send fewer",
            reason="too_long",
        )


def rate_of(clips: Sequence[Clip]) -> Fraction:
    """Return the frame rate that all clips are brought to."""
    return min(MAX_RATE, max(clip.fps for clip in clips))


def _plan(clips: Sequence[Clip]) -> remake.Plan:
    """Plan the join with all clips open at once."""
    size, rate = filters.even(*clips[0].look.shown), rate_of(clips)
    counts = _counts(clips, rate)
    graph = [_pictures(clip, number, size, rate, counts[number]) for number, clip in enumerate(clips)]
    graph.append("".join(f"[v{number}]" for number in range(len(clips))) + f"concat=n={len(clips)}:v=1:a=0[video]")
    plan = remake.Plan(
        inputs=encoding.joined(*(clip.source.arguments(one_of=len(clips)) for clip in clips)),
        graph=";".join(graph),
        size=size,
        duration_s=float(sum(counts) / rate),
        frames=sum(counts),
        timing=_timing(rate),
    )
    return _sounding(plan, clips, 0)


def _whole(clips: Sequence[Clip]) -> remake.Plan:
    """Plan the join of parts that have been made; they are input 0, the clips follow for their sound."""
    plan = _plan([replace(clip, sound=None) for clip in clips])
    sounds = [clip.source.arguments() for clip in clips] if any(clip.sound for clip in clips) else []
    return _sounding(replace(plan, inputs=encoding.joined(*sounds), graph=""), clips, 1)


def _parts(clips: Sequence[Clip]) -> list[tuple[remake.Plan, Source]]:
    """Plan a part of each clip, as it will be in the whole, without sound."""
    size, rate = filters.even(*clips[0].look.shown), rate_of(clips)
    plans = []
    for clip, frames in zip(clips, _counts(clips, rate), strict=True):
        plan = remake.Plan(
            inputs=clip.source.arguments(),
            graph=_pictures(clip, 0, size, rate, frames).removesuffix("[v0]") + "[video]",
            size=size,
            duration_s=float(frames / rate),
            frames=frames,
            timing=_timing(rate),
        )
        plans.append((plan, clip.source))
    return plans


def _counts(clips: Sequence[Clip], rate: Fraction) -> list[int]:
    return [max(1, round(clip.duration_s * rate)) for clip in clips]


def _timing(rate: Fraction) -> tuple[str, ...]:
    return "-r", f"{rate.numerator}/{rate.denominator}", "-fps_mode", "cfr"


def _sounding(plan: remake.Plan, clips: Sequence[Clip], first: int) -> remake.Plan:
    """Add the sound of the clips, which are the inputs from `first` on; those without are silent."""
    if not any(clip.sound for clip in clips):
        return plan
    rate = rate_of(clips)
    lengths = [float(count / rate) for count in _counts(clips, rate)]
    graph = [_sound(clip, first + number, lengths[number]) for number, clip in enumerate(clips)]
    labels = "".join(f"[a{first + number}]" for number in range(len(clips)))
    graph.append(f"{labels}concat=n={len(clips)}:v=0:a=1[sound]")
    coding = encoding.sound_encoded(encoding.sound_bps("stereo"), "stereo", SOUND_RATE)
    return remake.with_sound(plan, ";".join(graph), coding)


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
