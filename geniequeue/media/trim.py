"""The operation `trim_videos`: copied where both cuts lie on key frames, else encoded, exact to the frame.

Which frames stay is decided by their times: those that are shown at or after `start` and before `end`. A frame that
is already on screen at `start` stays too, so that the cut does not begin with nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from geniequeue.errors import InputError
from geniequeue.media import clip as clips
from geniequeue.media import encoding, ffmpeg, filters, footage, footage_verify, packets, remake
from geniequeue.media.clip import Clip, probe
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.media.footage_verify import Made
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Output, Work

# Times come as decimal fractions of seconds, frames lie on thirds and the like: this near is the same instant.
_NEAR_S = 0.001
# Times are added as floating point numbers.
_SAME_S = 0.000_001
_COPIED_CODECS = frozenset({"h264", "hevc"})
# In video range or, as some phones record, in full range.
_COPIED_PIXELS = frozenset({"yuv420p", "yuvj420p"})
_INDEXED = (footage.MP4, footage.MATROSKA)
# A recording that starts in the middle of a group of pictures has frames before its first key frame.
_MISSING_AT_START = 2
# Share of the work after which a part that is copied is written, and has to be read back.
_COPIED = 0.6


@dataclass(frozen=True)
class Span:
    """The frames that stay: from number `first` to before number `end`, in the order they are shown.

    Attributes:
        start_s, last_s: when the first and the last of them are shown, counted from the first frame of the video.
        end_s: when the last one has been shown.
    """

    first: int
    end: int
    start_s: float
    last_s: float
    end_s: float

    @property
    def frames(self) -> int:
        """How many."""
        return self.end - self.first

    @property
    def duration_s(self) -> float:
        """How long they are shown, in seconds."""
        return self.end_s - self.start_s


def trim_videos(work: Work) -> list[Output]:
    """Keep what is between `start` and `end`.

    Raises:
        InputError: the times lie outside the video (reason `outside_video`).
    """
    clip, progress = probe(work.inputs["input"], work.limits), Progress(work)
    progress.tell(remake.PROBED)
    span = span_of(clip, float(work.params["start"]), work.params.get("end"))
    facts = {**clip.facts, "start_s": round(span.start_s, 3), "end_s": round(span.end_s, 3)}
    if _can_be_copied(clip, span):
        output = _copied(work, clip, span, progress, facts)
        if output is not None:
            return [output]
    plan = _plan(clip, span)
    return remake.remake(work, plan, [clip.source], progress, facts={**facts, "lossless": False})


def span_of(clip: Clip, start_s: float, end_s: float | None) -> Span:
    """Return which frames are shown between two times of a video, counted from its first frame.

    Raises:
        InputError: none is (reason `outside_video`).
    """
    tick, first_s = float(clip.video.tick), clip.video.start_s
    shown = [time * tick - first_s for time in clip.times]
    first = max(0, bisect_right(shown, start_s + _NEAR_S) - 1)
    end = len(shown) if end_s is None else bisect_left(shown, end_s - _NEAR_S)
    if start_s >= clip.duration_s - _SAME_S or first >= end:
        raise InputError(
            f"expected a part of a video of {clip.duration_s:.3f} seconds, got one from {start_s:g} to "
            f"{'its end' if end_s is None else f'{end_s:g}'}; give times inside the video",
            reason="outside_video",
        )
    ended_s = shown[end] if end < len(shown) else clip.duration_s
    return Span(first, end, shown[first], shown[end - 1], ended_s)


def _plan(clip: Clip, span: Span) -> remake.Plan:
    shown = clip.look.shown
    # Only where there is an index is a seek as exact as reading from the start; one to 0 may end in the middle, too.
    seek_s = _before(span, clip) if span.first and clip.container in _INDEXED else 0.0
    offset_s = clip.video.start_s - seek_s
    begin_s, end_s = span.start_s + offset_s - _NEAR_S / 2, span.end_s + offset_s - _NEAR_S / 2
    cut = f"trim=start={max(0.0, begin_s):.6f}:end={end_s:.6f},setpts=PTS-STARTPTS"
    plan = remake.plan_of(
        clip,
        filters.chain(cut, filters.prepared(clip), filters.delivered(*shown)),
        filters.even(*shown),
        duration_s=span.duration_s,
        frames=span.frames,
        last_s=span.last_s - span.start_s,
        missing=0 if span.first else _MISSING_AT_START,
    )
    plan = replace(plan, inputs=clip.source.arguments(*(("-ss", f"{seek_s:.6f}") if seek_s else ())))
    if clip.sound is None or not _sounds(clip, clip.sound, span):
        return replace(plan, sound=("-an",), sound_map="")
    sound = f"aresample=async=1:first_pts=0,atrim=start={max(0.0, begin_s):.6f}:end={end_s:.6f},asetpts=PTS-STARTPTS"
    return remake.with_sound(plan, f"[0:a:0]{sound}[sound]", encoding.sound_again(clip.sound))


def _sounds(clip: Clip, sound: packets.Track, span: Span) -> bool:
    """Whether there is sound between the cuts; it may end before the pictures, or begin after."""
    start_s, end_s = span.start_s + clip.video.start_s, span.end_s + clip.video.start_s
    return sound.start_s < end_s - _NEAR_S and sound.end_s > start_s + _NEAR_S


def _before(span: Span, clip: Clip) -> float:
    """Return a time just before the span in the file's own time: one rounded up would begin with the next frame."""
    return max(0.0, span.start_s + clip.video.start_s - _NEAR_S / 2)


def _can_be_copied(clip: Clip, span: Span) -> bool:
    """Whether the span is whole groups of pictures that need nothing from outside, in a form that MP4 players take."""
    plays = (
        clip.container in _INDEXED
        and clip.video.codec in _COPIED_CODECS
        and clip.look.format in _COPIED_PIXELS
        and not clip.look.turned
        and (clip.sound is None or clip.sound.codec == "aac")
    )
    return plays and all(_is_clean_cut(clip.video, clip.times[at]) for at in (span.first, span.end) if at < clip.frames)


def _is_clean_cut(video: packets.Track, time: int) -> bool:
    """Whether a key frame is shown at `time`, and everything after it in the file is shown after it, too."""
    place = next((place for place in video.keys if video.pts[place] == time), None)
    if place is None:
        return False
    return min(video.pts[place:]) == time and max(video.pts[:place], default=time - 1) < time


def _copied(work: Work, clip: Clip, span: Span, progress: Progress, facts: dict[str, object]) -> Output | None:
    """Copy the span's packets; None where the result is not exactly that, bit by bit.

    What is copied is as good as the input was: nothing is decoded but the first frame.
    """
    path = work.out_dir / remake.NAME
    # A seek ends at the last key frame before a time, so it has to be a little after the one that is meant.
    begin = ["-ss", f"{span.start_s + clip.video.start_s + _NEAR_S / 2:.6f}"] if span.first else []
    sounds = len(clip.sound.pts) if clip.sound else 0
    arguments = [
        *clip.source.arguments(*begin),
        *("-map", "0:V:0", "-map", "0:a:0?", "-c", "copy"),
        # By number, because a time would be compared with when frames are decoded, which is earlier than shown.
        *("-frames:v", str(span.frames)),
        *(("-t", f"{span.duration_s:.6f}") if span.end < clip.frames else ()),
        *(("-tag:v", "hvc1") if clip.video.codec == "hevc" else ()),
        # Behind a seek sound begins before the pictures, and is kept; from the start on all times stay as they are.
        *(("-avoid_negative_ts", "make_zero") if span.first else ()),
        *encoding.container_arguments(index_bytes=encoding.index_room(clip.frames + sounds)),
        f"file:{path}",
    ]
    copied = progress.part(remake.PROBED, _COPIED, span.duration_s)
    try:
        ffmpeg.run(arguments, cwd=work.out_dir, on_time=copied)
        copy = Source(path, footage.MP4.demuxer, clip.source.max_pixels)
        on_bytes = progress.part(_COPIED, 1.0, path.stat().st_size, in_time=False)
        with ThreadPoolExecutor(1) as pool:
            looked = pool.submit(clips.look_at, copy, work.limits)
            tracks = clips.listed(copy, work.limits, on_bytes=on_bytes)
        look = looked.result()
    except (FfmpegFailed, InputError):
        return None
    made = Made(tracks[0], tracks[1] if len(tracks) > 1 else None)
    if look.shown != clip.look.shown or not _is_of(made, clip, span):
        return None
    progress.tell(1.0)
    return remake.output_of(path, made, look.shown, {**facts, "lossless": True})


def _is_of(made: Made, clip: Clip, span: Span) -> bool:
    """Whether what was made is the packets of a span, bit by bit, and as long as it."""
    first = clip.video.pts.index(clip.times[span.first])
    same = (made.video.codec, made.video.sums) == (clip.video.codec, clip.video.sums[first : first + span.frames])
    lasting = abs(made.duration_s - span.duration_s) <= footage_verify.DURATION_S
    if made.sound is None or clip.sound is None:
        return same and lasting and made.sound is clip.sound
    return same and lasting and _is_within(made.sound, clip.sound)


def _is_within(part: packets.Track, whole: packets.Track) -> bool:
    """Whether a track is a part of another one, without a gap."""
    inner, outer = part.content, whole.content
    starts = (place for place, found in enumerate(outer) if found == inner[0])
    return any(outer[place : place + len(inner)] == inner for place in starts)
