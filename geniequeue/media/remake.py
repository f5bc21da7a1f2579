"""Make a video from others: one run of ffmpeg (or two, for two passes), then the proof that it is what was promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from geniequeue.errors import InputError, JobError, ToolError, VerifyError
from geniequeue.media import clip as clips
from geniequeue.media import encoding, ffmpeg, footage_verify
from geniequeue.media.clip import Clip
from geniequeue.media.encoding import Encoding
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.media.footage_verify import Made, Promise
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Output, Work

NAME = "output.mp4"
# Decoding what was made is a tenth of the work of making it.
PROBED, MADE = 0.02, 0.92
# A recording that starts in the middle of a group of pictures has frames before its first key frame.
_MISSING_SHARE = 0.01
# Nearer than any two frames.
_NEAR_S = 0.0005


@dataclass(frozen=True)
class Plan:
    """What to make.

    Attributes:
        inputs: arguments that open the inputs.
        graph: filters, from the inputs to the labels `[video]` and, where `sound_map` says so, `[sound]`.
        size: width and height of the result, even.
        sound: arguments of the sound, `-an` for none.
        sound_map: what is mapped as sound; empty for none.
        timing: arguments that place frames in time.
        last_s: time from the first frame to the last one, which stays until the end; None for a constant rate.
        begun: share of the work that is done before ffmpeg is run.
        missing: frames that may be missing, where the input cannot be decoded from its first one on.
        further, looked_at: arguments of a further output, beside the video and beside its proof.
    """

    inputs: Sequence[str]
    graph: str
    size: tuple[int, int]
    duration_s: float
    frames: int | None
    sound: Sequence[str] = ("-an",)
    sound_map: str = ""
    coding: Encoding = field(default_factory=Encoding)
    timing: Sequence[str] = field(default_factory=encoding.timing_arguments)
    last_s: float | None = None
    missing: int = 0
    begun: float = PROBED
    further: Sequence[str] = ()
    looked_at: Sequence[str] = ()


def plan_of(clip: Clip, chain: str, size: tuple[int, int], *, inputs: Sequence[str] = (), **changes: Any) -> Plan:
    """Plan what one clip becomes by a chain of filters, its sound as it is.

    Args:
        chain: from the video of input 0; unlabelled at both ends.
        inputs: arguments of further inputs.
    """
    plan = Plan(
        inputs=[*clip.source.arguments(), *inputs],
        graph=f"[0:V:0]{chain}[video]",
        size=size,
        duration_s=clip.duration_s,
        frames=clip.frames,
        last_s=float((clip.times[-1] - clip.times[0]) * clip.video.tick),
        missing=max(2, int(clip.frames * _MISSING_SHARE)),
        sound=encoding.sound_of(clip.sound),
        sound_map="0:a:0" if clip.sound else "",
    )
    return replace(plan, **changes)


def with_sound(plan: Plan, graph: str, sound: Sequence[str]) -> Plan:
    """Return the plan with a chain of filters that ends in `[sound]`, and how that is encoded."""
    return replace(plan, graph=f"{plan.graph};{graph}".removeprefix(";"), sound_map="[sound]", sound=sound)


def remake(
    work: Work, plan: Plan, sources: Sequence[Source], progress: Progress, *, facts: Mapping[str, Any]
) -> list[Output]:
    """Make the video in one pass, prove it and describe it.

    Raises:
        InputError: an input turned out to be damaged.
        ToolError: ffmpeg failed on good input.
        VerifyError: what was made is not what was promised.
    """
    path = work.out_dir / NAME
    on_time = progress.part(plan.begun, MADE, plan.duration_s)
    make(plan, path, sources, on_time)
    return [proved(path, plan, sources, progress, facts=facts)]


def make(plan: Plan, path: Path, sources: Sequence[Source], on_time: Callable[[float], None]) -> None:
    """Run ffmpeg once.

    Raises:
        InputError: an input turned out to be damaged.
        ToolError: ffmpeg failed on good input.
    """
    try:
        ffmpeg.run(arguments_of(plan, path), cwd=path.parent, on_time=on_time)
    except FfmpegFailed as error:
        raise blamed(sources, path.parent) from error


def proved(
    path: Path, plan: Plan, sources: Sequence[Source], progress: Progress, *, facts: Mapping[str, Any]
) -> Output:
    """Verify what was made and describe it.

    Raises:
        InputError: it is not what was promised, because an input is damaged.
        VerifyError: it is not what was promised.
    """
    promise = Promise(
        codec=plan.coding.codec,
        width_px=plan.size[0],
        height_px=plan.size[1],
        duration_s=plan.duration_s,
        frames=plan.frames,
        missing=plan.missing,
        sound=bool(plan.sound_map),
    )
    # Reading back is ten times as fast as making, so a speed of it would look like a leap of the job.
    on_time = progress.part(MADE, 1.0, promise.duration_s, in_time=False)
    try:
        made = footage_verify.verify(path, promise, on_time, looked_at=plan.looked_at)
    except VerifyError as error:
        why = blamed(sources, path.parent)
        raise why if isinstance(why, InputError) else error from None
    progress.tell(1.0)
    return output_of(path, made, plan.size, facts)


def output_of(path: Path, made: Made, shown: tuple[int, int], facts: Mapping[str, Any]) -> Output:
    """Describe an MP4 that was read back."""
    return Output(
        name=path.name,
        mime=encoding.MIME,
        width_px=shown[0],
        height_px=shown[1],
        duration_s=round(made.duration_s, 3),
        facts={
            **facts,
            "format": "mp4",
            "codec": made.video.codec,
            "frames": len(made.video.pts),
            "sound": made.sound.codec if made.sound else None,
        },
    )


def blamed(sources: Sequence[Source], cwd: Path) -> JobError:
    """Say whose fault a failure was: an input that does not decode, or ours."""
    for source in sources:
        try:
            ffmpeg.run(["-xerror", *source.arguments(), "-map", "0:V:0", "-map", "0:a:0?", "-f", "null", "-"], cwd=cwd)
        except FfmpegFailed:
            return clips.corrupt()
    return ToolError("the video program failed on this video; try again or send another", reason="ffmpeg")


def arguments_of(plan: Plan, path: Path) -> list[str]:
    """Return the arguments of the run of ffmpeg that makes the video; a first pass makes none."""
    first_pass = plan.coding.rate.run == 1
    sound = [] if first_pass else ["-map", plan.sound_map] if plan.sound_map else []
    return encoding.joined(
        # What does not decode would be a repeated picture, of which a graph that counts its frames says nothing.
        ("-max_error_rate", str(_MISSING_SHARE)),
        plan.inputs,
        ("-filter_complex", plan.graph),
        ("-map", "[video]"),
        sound,
        plan.coding.arguments(plan.size[0] * plan.size[1]),
        plan.timing,
        ["-an"] if first_pass else plan.sound,
        ["-f", "null", "-"] if first_pass else [*_held(plan), *encoding.container_arguments(), f"file:{path}"],
        plan.further,
    )


def _held(plan: Plan) -> list[str]:
    """Return the arguments that show the last frame until the end, whatever the input's index said of it."""
    if plan.last_s is None:
        return []
    lasting_s = max(0.0, plan.duration_s - plan.last_s)
    is_last = f"gte((PTS-STARTPTS)*TB,{plan.last_s - _NEAR_S:.6f})"
    return ["-bsf:v", f"setts=pts=PTS:dts=DTS:duration='if({is_last},{lasting_s:.6f}/TB,DURATION)'"]
