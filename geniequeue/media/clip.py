"""What a video is: its packets counted before anything is decoded, then its first frame looked at.

The size, colours and transparency are those of the first decoded frame, turned upright as ffmpeg's filters see it, not
what the container claims.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from geniequeue.errors import InputError, PolicyError
from geniequeue.media import ffmpeg, footage, footage_whole, packets
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.sandbox.inside import Limits

# Tracks whose formats carry transparency have names with an "a" beside the colours, or a palette.
_WITH_ALPHA = re.compile(r"(rgba|bgra|argb|abgr|yuva|gbrap|ya8|ya16|pal8|vuya|ayuv)")
_RGB = re.compile(r"(rgb|bgr|gbr|argb|abgr|pal8)")
_HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})
_UNKNOWN = "unknown"
_FACT = re.compile(r"\b(fmt|sar|s|i|color_range|color_space|color_primaries|color_trc):(\S+)")
_MIN_SIDE_PX = 2
# A tag of the file could say so, too; all it would gain is being encoded again.
_TURNED = re.compile(r"display ?matrix: rotation of", re.IGNORECASE)
# ffmpeg's own decoders of these leave the transparency out.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclass(frozen=True)
class Look:
    """What a decoded frame looks like.

    Attributes:
        width_px, height_px: upright, as stored; `sar` says how wide a pixel is.
        format: ffmpeg's name of the pixel format.
        range, space, primaries, transfer: ffmpeg's names, `unknown` where the file does not say.
        turned: the file says that its frames are to be turned, as `width_px` and `height_px` are already.
    """

    width_px: int
    height_px: int
    format: str
    sar: Fraction = Fraction(1)
    interlaced: bool = False
    range: str = _UNKNOWN
    space: str = _UNKNOWN
    primaries: str = _UNKNOWN
    transfer: str = _UNKNOWN
    turned: bool = False

    @property
    def alpha(self) -> bool:
        """Whether parts may be transparent."""
        return _WITH_ALPHA.match(self.format) is not None

    @property
    def rgb(self) -> bool:
        """Whether pixels are red, green and blue, not luma and chroma."""
        return _RGB.match(self.format) is not None

    @property
    def hdr(self) -> bool:
        """Whether brightness is coded as HDR10 (PQ) or HLG."""
        return self.transfer in _HDR_TRANSFERS

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height with square pixels."""
        return max(1, round(self.width_px * self.sar)), self.height_px


@dataclass(frozen=True)
class Clip:
    """A video that may be worked on.

    Attributes:
        sound: its first sound track, None for silence.
        tracks: how many video and sound tracks it has.
    """

    source: Source
    container: footage.Container
    video: packets.Track
    look: Look
    sound: packets.Track | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def times(self) -> list[int]:
        """When its frames are shown, in ticks of the video track, in order."""
        return sorted(self.video.pts)

    @property
    def frames(self) -> int:
        """Frames to be shown."""
        return len(self.video.pts)

    @property
    def duration_s(self) -> float:
        """How long pictures are shown, in seconds."""
        return self.video.end_s - self.video.start_s

    @property
    def fps(self) -> Fraction:
        """Frames in a second, on average; for constant rates the rate itself."""
        lasting = (self.times[-1] - self.times[0]) * self.video.tick if self.times else 0
        if not lasting:
            return Fraction(25)
        exact = Fraction(self.frames - 1) / lasting
        return _usual_rate(exact)


def probe(path: Path, limits: Limits) -> Clip:
    """Find out what a video is.

    Raises:
        InputError: not a video that is accepted, damaged, or without a picture (reason `no_video`).
        PolicyError: too large or too long.
    """
    container = footage.video_container(path)
    if container.sound_only:
        raise _no_video()
    source = Source(path, container.demuxer, limits.max_video_pixels)
    # Each takes longer to start than to work, so the second one starts meanwhile.
    with ThreadPoolExecutor(1) as pool:
        looked = pool.submit(look_at, source, limits)
        tracks = listed(source, limits)
    video = next((track for track in tracks if track.kind == "video"), None)
    if video is None or not video.pts:
        raise _no_video()
    sound = next((track for track in tracks if track.kind == "audio" and track.pts and track.sample_rate), None)
    if video.beside:
        source = replace(source, decoder=_ALPHA_DECODERS.get(video.codec))
    look = look_at(source, limits) if source.decoder else looked.result()
    source = replace(source, pixels=look.width_px * look.height_px)
    return Clip(source, container, video, look, sound, _facts(container, video, look, sound))


def listed(
    source: Source,
    limits: Limits,
    *,
    maps: tuple[str, ...] = ("0:V:0?", "0:a:0?"),
    on_bytes: Callable[[float], None] = lambda _bytes: None,
) -> list[packets.Track]:
    """List the packets of a file's tracks without decoding one.

    Args:
        on_bytes: takes how many bytes have been read.

    Raises:
        InputError: damaged (reason `corrupt_file`), or without any such track (`no_video`).
        PolicyError: too large or too long.
    """
    if footage_whole.is_cut_off(source):
        raise corrupt()
    mapped = [part for name in maps for part in ("-map", name)]
    arguments = ["-xerror", *source.arguments(), *mapped, "-c", "copy", "-f", "framecrc", "pipe:1"]
    running = ffmpeg.lines(arguments, cwd=source.path.parent)
    try:
        tracks = packets.read(packets.watched(running, on_bytes), limits)
    except (FfmpegFailed, packets.Unreadable) as error:
        raise _why_not(error) from error
    finally:
        running.close()
    if not any(track.pts for track in tracks) or not footage_whole.settle(source, tracks):
        raise corrupt()
    for track in tracks:
        packets.check_duration(track.end_s - track.start_s, limits)
    return tracks


def look_at(
    source: Source, limits: Limits, *, further: Sequence[str] = (), on_line: Callable[[str], None] = lambda _line: None
) -> Look:
    """Decode the first frame and say what it looks like.

    Args:
        further: arguments of a further output, to standard output.
        on_line: takes the lines of that output.

    Raises:
        InputError: it does not decode.
        PolicyError: it is larger than the container said, and too large.
    """
    # The name of the filter is nobody's to guess, so no tag of the file can pass for its words.
    name = f"showinfo@{secrets.token_hex(8)}"
    heard: list[str] = []
    try:
        for line in ffmpeg.lines(
            [
                *("-loglevel", "level+info"),
                *source.arguments(),
                *("-map", "0:V:0", "-map_metadata", "-1", "-frames:v", "1"),
                *("-vf", name, "-f", "null", "-"),
                *further,
            ],
            cwd=source.path.parent,
            on_complaint=heard.append,
        ):
            on_line(line)
    except FfmpegFailed as error:
        raise _why_not(error) from error
    facts: dict[str, str] = {}
    for line in "".join(heard).splitlines():
        if line.startswith(f"[{name} ") and " config " not in line:
            for key, value in _FACT.findall(line):
                facts.setdefault(key, value)
    return replace(_look(facts, limits), turned=_TURNED.search("".join(heard)) is not None)


def corrupt() -> InputError:
    """The error of a damaged video."""
    return InputError(
        "expected a complete video, got one that is damaged or whose end is missing; upload it again",
        reason="corrupt_file",
    )


def _look(facts: Mapping[str, str], limits: Limits) -> Look:
    try:
        width_px, height_px = (int(side) for side in facts["s"].split("x"))
        sar = Fraction(facts.get("sar", "1/1").replace("0/1", "1/1"))
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise corrupt() from error
    packets.check_pixels(width_px, height_px, limits)
    if not Fraction(1, 20) < sar < 20:
        sar = Fraction(1)
    span, space, primaries, transfer = (
        facts.get(f"color_{name}", _UNKNOWN) for name in ("range", "space", "primaries", "trc")
    )
    look = Look(
        width_px,
        height_px,
        facts.get("fmt", _UNKNOWN),
        sar,
        interlaced=facts.get("i", "P") in ("T", "B"),
        range=span,
        space=space,
        primaries=primaries,
        transfer=transfer,
    )
    packets.check_pixels(*look.shown, limits)
    if min(look.shown) < _MIN_SIDE_PX:
        raise InputError(f"expected a video of at least 2 x 2 pixels, got {width_px} x {height_px}", reason="too_small")
    return look


def _usual_rate(exact: Fraction) -> Fraction:
    """Return the rate that was meant: containers round times, so 30000/1001 comes out as 29.9706."""
    for rate in (Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)):
        if abs(exact / rate - 1) < Fraction(1, 4000):
            return rate
    whole = Fraction(round(exact))
    return (
        whole
        if whole and abs(exact / whole - 1) < Fraction(1, 500)
        else max(exact.limit_denominator(1001), Fraction(1, 1001))
    )


def _facts(
    container: footage.Container, video: packets.Track, look: Look, sound: packets.Track | None
) -> dict[str, Any]:
    return {
        "format_in": container.name,
        "width_in_px": look.width_px,
        "height_in_px": look.height_px,
        "duration_in_s": round(video.end_s - video.start_s, 3),
        "frames_in": len(video.pts),
        "codec_in": video.codec,
        "pixels_in": look.format,
        "hdr_in": look.hdr,
        "sound_in": sound.codec if sound else None,
    }


def _why_not(error: Exception) -> InputError | PolicyError:
    """Say what ffmpeg's complaint about an input means."""
    text = error.complaints.lower() if isinstance(error, FfmpegFailed) else ""
    if "exceeds specified max pixel count" in text:
        return PolicyError("expected a smaller video, got one with too many pixels", reason="too_many_pixels")
    if "does not contain any stream" in text or "matches no streams" in text:
        return _no_video()
    return corrupt()


def _no_video() -> InputError:
    return InputError(
        "expected a video, got a file without moving pictures, such as a sound recording with a cover; send a video",
        reason="no_video",
    )
