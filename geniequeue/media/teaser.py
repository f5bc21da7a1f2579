"""The operation `create_teaser`: parts of a video, faded into each other, short enough to make people curious."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from geniequeue.errors import InputError
from geniequeue.media import encoding, ffmpeg, filters, footage, footage_mark, join, packets, remake, segments
from geniequeue.media.clip import Clip, probe
from geniequeue.media.draw import draw_mark
from geniequeue.media.encoding import Encoding, Rate
from geniequeue.media.ffmpeg import Source
from geniequeue.media.geometry import ResizePlan
from geniequeue.media.progress import Progress
from geniequeue.params import ApplyWatermarkParams
from geniequeue.sandbox.inside import Output, Work

# A part is at least three times as long as a fade, so that something is seen between two of them.
_FADES_IN_A_PART = 3
# Read a little more than is shown, because the last frame may begin before the end of a part and last beyond it.
_MARGIN_S = 0.5
_LARGEST = (1920, 1080)
# Slower than this, as of slides, a part would not have the length that is wanted, and no fade would be seen.
_LEAST_RATE, _RATE_OF_STILLS = 8, Fraction(25)
# A part begins with a whole frame when one comes so soon. A seek is to a little before it, as times are rounded.
_SOON_S, _NEAR_S = 0.05, 0.0005
# Parts of a 4K video that are open at once: each takes 150 MB (measured). More are made one by one first.
_OPEN_AT_ONCE = 4
_PARTS_MADE = 0.5
_BETWEEN = Encoding(preset="ultrafast", rate=Rate(crf=8))


@dataclass(frozen=True)
class Cut:
    """A teaser as it will be.

    Attributes:
        starts_s: where the parts begin in the video's own time, in seconds.
        late_s: how much later their sound begins; the last frame is opened where it begins, however late a part does.
        frames: how many each part has.
        fade: frames of a fade, which two parts share.
    """

    starts_s: Sequence[float]
    late_s: Sequence[float]
    frames: Sequence[int]
    fade: int
    rate: Fraction

    @property
    def total(self) -> int:
        """Frames in all."""
        return sum(self.frames) - self.fade * (len(self.frames) - 1)

    def seconds(self, frames: int) -> float:
        """How long so many frames last."""
        return float(frames / self.rate)


def create_teaser(work: Work) -> list[Output]:
    """Put parts of a video one after the other: those of `segments`, or `clips` of them spread over the video.

    Raises:
        InputError: a segment begins behind the end of the video (reason `outside_video`).
        PolicyError: together they are too long.
    """
    clip, progress = probe(work.inputs["input"], work.limits), Progress(work)
    progress.tell(remake.PROBED)
    cut = plan_cut(clip, work)
    facts = {**clip.facts, "parts_at_s": [round(sum(at), 3) for at in zip(cut.starts_s, cut.late_s, strict=True)]}
    made: list[Path] = []
    try:
        if ffmpeg.is_large(clip.source.pixels) and len(cut.frames) > _OPEN_AT_ONCE:
            made = segments.make_parts(work, _parts(work, clip, cut), progress, until=_PARTS_MADE)
        return remake.remake(work, _plan(work, clip, cut, made), [clip.source], progress, facts=facts)
    finally:
        footage_mark.clean(work.out_dir)
        for part in made:
            part.unlink(missing_ok=True)


def plan_cut(clip: Clip, work: Work) -> Cut:
    """Decide which parts of the video are shown."""
    params, rate = work.params, join.rate_of([clip])
    if rate < _LEAST_RATE:
        rate = _RATE_OF_STILLS
    if params.get("segments"):
        spans = [_inside(clip, float(start), float(end)) for start, end in params["segments"]]
    else:
        spans = spread(clip.duration_s, float(params["duration"]), int(params["clips"]), float(params["fade"]))
    frames = [max(1, round(length * rate)) for _, length in spans]
    fade = min(round(float(params["fade"]) * rate), min(frames) // _FADES_IN_A_PART)
    starts_s = _on_frames(clip, [start for start, _ in spans])
    opened_s = [min(start, _last_s(clip)) for start in starts_s]
    late_s = [start - opened for start, opened in zip(starts_s, opened_s, strict=True)]
    cut = Cut(opened_s, late_s, frames, fade, rate)
    packets.check_duration(cut.seconds(cut.total), work.limits)
    return cut


def _on_frames(clip: Clip, starts_s: Sequence[float]) -> list[float]:
    """Move each start to the next frame, if that comes soon, so that pictures and sound begin together."""
    tick, first_s = float(clip.video.tick), clip.video.start_s
    shown = [time * tick - first_s for time in clip.times]
    following = [shown[min(bisect_left(shown, start - _NEAR_S), len(shown) - 1)] for start in starts_s]
    return [
        next_s if 0 <= next_s - start <= _SOON_S else start for start, next_s in zip(starts_s, following, strict=True)
    ]


def _last_s(clip: Clip) -> float:
    """Return when the last frame is shown, counted from the first: a seek behind it finds nothing."""
    return float((clip.times[-1] - clip.times[0]) * clip.video.tick)


def spread(video_s: float, wanted_s: float, clips: int, fade_s: float) -> list[tuple[float, float]]:
    """Return start and length of parts that lie in the middles of equal shares of a video, all in seconds.

    The parts make up `wanted_s` with each fade shared by two of them; a video too short for that is shown whole, up to
    the length that is wanted.
    """
    wanted_s = min(wanted_s, video_s)
    length = (wanted_s + fade_s * (clips - 1)) / clips
    share = video_s / clips
    if clips == 1 or length > share or length < _FADES_IN_A_PART * fade_s:
        fewer = clips - 1
        return spread(video_s, wanted_s, fewer, fade_s) if fewer > 0 else [((video_s - wanted_s) / 2, wanted_s)]
    return [(number * share + (share - length) / 2, length) for number in range(clips)]


def _inside(clip: Clip, start_s: float, end_s: float) -> tuple[float, float]:
    if start_s >= clip.duration_s:
        raise InputError(
            f"expected segments inside a video of {clip.duration_s:.3f} seconds, got one that starts at {start_s:g}; "
            "give times inside the video",
            reason="outside_video",
        )
    return start_s, min(end_s, clip.duration_s) - start_s


def _plan(work: Work, clip: Clip, cut: Cut, made: Sequence[Path] = ()) -> remake.Plan:
    """Plan the teaser of parts that are open at once: of the video itself, or files `made` of it in final size."""
    size = _final(work, clip)
    sounding = clip.sound is not None and not work.params["mute"]
    opened = [_input(clip, cut, number, len(cut.frames)) for number in range(len(cut.frames))]
    parts = [Source(path, footage.MP4.demuxer, clip.source.max_pixels).arguments() for path in made]
    pictures = [_again(cut, number) if made else _part(clip, number, cut, size) for number in range(len(cut.frames))]
    plan = remake.Plan(
        inputs=encoding.joined(*parts, *opened),
        graph=";".join([*pictures, _pictures(cut)]) + "[video]",
        size=size,
        duration_s=cut.seconds(cut.total),
        frames=cut.total,
        timing=_timing(cut),
        begun=_PARTS_MADE if made else remake.PROBED,
    )
    if work.params.get("watermark_text"):
        plan = _marked(work, plan)
    if sounding:
        sound = encoding.sound_encoded(encoding.sound_bps("stereo"), "stereo", join.SOUND_RATE)
        plan = remake.with_sound(plan, _sound(cut, len(parts)), sound)
    return plan


def _parts(work: Work, clip: Clip, cut: Cut) -> list[tuple[remake.Plan, Source]]:
    """Plan a file of each part in its final size, so good that nobody sees that it is encoded twice."""
    size = _final(work, clip)
    return [
        (
            remake.Plan(
                inputs=_input(clip, cut, number, 1),
                graph=_part(clip, number, cut, size, opened=0).removesuffix(f"[v{number}]") + "[video]",
                size=size,
                duration_s=cut.seconds(frames),
                frames=frames,
                coding=_BETWEEN,
                timing=_timing(cut),
            ),
            clip.source,
        )
        for number, frames in enumerate(cut.frames)
    ]


def _input(clip: Clip, cut: Cut, number: int, one_of: int) -> list[str]:
    """Return the arguments that open the video at a part."""
    start_s = cut.starts_s[number] + clip.video.start_s - _NEAR_S
    length_s = cut.late_s[number] + cut.seconds(cut.frames[number]) + _MARGIN_S
    return clip.source.arguments("-ss", f"{max(0.0, start_s):.6f}", "-t", f"{length_s:.6f}", one_of=one_of)


def _timing(cut: Cut) -> tuple[str, ...]:
    return "-r", f"{cut.rate.numerator}/{cut.rate.denominator}", "-fps_mode", "cfr"


def _final(work: Work, clip: Clip) -> tuple[int, int]:
    return filters.even(*_plan_size(clip, work.params.get("width")))


def _plan_size(clip: Clip, width_px: int | None) -> tuple[int, int]:
    """Return the size that was asked for, or the video's own, but never larger than 1080p: many parts are open."""
    within = ResizePlan(*(_LARGEST if clip.look.shown[0] >= clip.look.shown[1] else _LARGEST[::-1]))
    largest = within.final(*clip.look.shown)
    wanted = ResizePlan(width_px, None).final(*clip.look.shown) if width_px else largest
    return min(wanted, largest)


def _part(clip: Clip, number: int, cut: Cut, size: tuple[int, int], *, opened: int | None = None) -> str:
    """Filters that bring a part into its shape; it is input `number`, or `opened`."""
    chain = filters.chain(
        # Where no frame begins with the part, the next one comes in for what is on screen, in step with the sound.
        filters.at_rate(cut.rate, cut.frames[number], first_at_0=False),
        filters.prepared(clip, size, name=f"p{number}"),
        "format=yuv420p",
        filters.in_common_colours(clip, size[1]),
    )
    return f"[{number if opened is None else opened}:V:0]{chain}[v{number}]"


def _again(cut: Cut, number: int) -> str:
    """Filters that take a part which is in its shape already."""
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    return f"[{number}:V:0]{filters.at_rate(cut.rate, cut.frames[number])},format=yuv420p,{tags}[v{number}]"


def _pictures(cut: Cut) -> str:
    """Fade the parts into each other, from black and to black; the end of the graph is not labelled."""
    parts = len(cut.frames)
    if not cut.fade:
        return "".join(f"[v{number}]" for number in range(parts)) + f"concat=n={parts}:v=1:a=0"
    fade_s = cut.seconds(cut.fade)
    ends = [total - cut.fade * number for number, total in enumerate(accumulate(cut.frames))]
    steps, last = [], "v0"
    for number in range(1, parts):
        offset_s = cut.seconds(ends[number - 1] - cut.fade)
        steps.append(f"[{last}][v{number}]xfade=transition=fade:duration={fade_s:.6f}:offset={offset_s:.6f}[x{number}]")
        last = f"x{number}"
    closing = f"fade=t=in:st=0:d={fade_s:.6f},fade=t=out:st={cut.seconds(cut.total - cut.fade):.6f}:d={fade_s:.6f}"
    whole = filters.at_rate(cut.rate, cut.total)
    return ";".join([*steps, f"[{last}]{whole},{closing}"])


def _sound(cut: Cut, first: int) -> str:
    """Do with the sound of the inputs from `first` on what is done with the pictures; it ends in `[sound]`."""
    shape = f"aformat=sample_fmts=fltp:sample_rates={join.SOUND_RATE}:channel_layouts=stereo"
    parts = len(cut.frames)
    steps = [
        f"[{first + number}:a:0]aresample=async=1:first_pts=0,atrim=start={cut.late_s[number]:.6f},"
        f"asetpts=PTS-STARTPTS,{shape},"
        f"apad=whole_dur={cut.seconds(frames):.6f},atrim=end={cut.seconds(frames):.6f}[a{number}]"
        for number, frames in enumerate(cut.frames)
    ]
    if not cut.fade:
        return ";".join([*steps, "".join(f"[a{n}]" for n in range(parts)) + f"concat=n={parts}:v=0:a=1[sound]"])
    fade_s, last = cut.seconds(cut.fade), "a0"
    for number in range(1, parts):
        steps.append(f"[{last}][a{number}]acrossfade=d={fade_s:.6f}[y{number}]")
        last = f"y{number}"
    out_s = cut.seconds(cut.total - cut.fade)
    return ";".join(
        [*steps, f"[{last}]afade=t=in:st=0:d={fade_s:.6f},afade=t=out:st={out_s:.6f}:d={fade_s:.6f}[sound]"]
    )


def _marked(work: Work, plan: remake.Plan) -> remake.Plan:
    params = ApplyWatermarkParams().load({"watermark_text": work.params["watermark_text"]})
    mark = footage_mark.on_even_places(draw_mark(params, *plan.size))
    drawn = footage_mark.mark_source(mark, work.out_dir)
    laid = filters.marked(drawn, filters.COMMON, mark.left_px, mark.top_px)
    return replace(
        plan,
        graph=plan.graph.removesuffix("[video]") + f"{laid}[video]",
    )
