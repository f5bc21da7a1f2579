"""How videos are encoded: H.264 or HEVC and AAC in an MP4 that browsers and phones play while it still loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geniequeue.media import ffmpeg
from geniequeue.media.packets import Track

MIME = "video/mp4"
# The fastest whose pictures and sizes are nearly those of the best; bench/results/video.txt has the table.
DEFAULT_PRESET = "fast"
# Nobody sees the difference to the source: for what only changes size or shape. VMAF 98 in a measured table.
TRANSPARENT_CRF = 20
# Frames that the encoder looks ahead, 40 or 50 by default. 20 save a third of the memory and cost no quality that is
# seen; at 4K each takes 22 MB (measured), so there are fewer.
_AHEAD, _AHEAD_LARGE = 20, 10
_STEREO_BPS, _BPS_PER_CHANNEL = 160_000, 64_000
_LAYOUTS = {"mono": 1, "stereo": 2, "2.1": 3, "3.0": 3, "4.0": 4, "5.0": 5, "5.1": 6, "5.1(side)": 6, "7.1": 8}
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})

# A table of the index has at most this many bytes for each packet (ISO/IEC 14496-12: stsz, ctts, stts, co64, stss).
_INDEX_BYTES, _INDEX_BASE_BYTES = 40, 1 << 16


@dataclass(frozen=True)
class Rate:
    """How much room pictures get.

    Attributes:
        crf: quality that is kept, 0 to 51, lower is better; None where `bits_per_s` counts.
        bits_per_s: average of the video track.
        run: 1 or 2 of two passes; None for one pass.
    """

    crf: int | None = None
    bits_per_s: int | None = None
    run: int | None = None


@dataclass(frozen=True)
class Encoding:
    """Codec, effort and room."""

    codec: str = "h264"
    preset: str = DEFAULT_PRESET
    rate: Rate = Rate(crf=TRANSPARENT_CRF)

    def arguments(self, pixels: int) -> list[str]:
        """Return the arguments for the video of one output with so many pixels in a frame."""
        ahead, threads = _AHEAD_LARGE if ffmpeg.is_large(pixels) else _AHEAD, ffmpeg.threads(pixels)
        encoder = _x265(self, ahead, threads) if self.codec == "hevc" else _x264(self, ahead, threads)
        return [*encoder, *("-pix_fmt", "yuv420p")]


def _x264(encoding: Encoding, ahead: int, threads: int) -> list[str]:
    tuned = ["-rc-lookahead", str(ahead)]
    if encoding.rate.run:
        tuned += ["-pass", str(encoding.rate.run), "-passlogfile", "pass"]
    return [
        *("-c:v", "libx264"),
        *("-preset", encoding.preset),
        # What every phone of the last ten years decodes.
        *("-profile:v", "high"),
        *tuned,
        *_room(encoding.rate),
        *("-threads", str(threads)),
    ]


def _x265(encoding: Encoding, ahead: int, threads: int) -> list[str]:
    # One frame at a time: each further one that is encoded at once holds a dozen of them.
    own = [f"pools={threads}", "frame-threads=1", "log-level=error", f"rc-lookahead={ahead}"]
    if encoding.rate.run:
        own += [f"pass={encoding.rate.run}", "stats=pass.log"]
    return [
        *("-c:v", "libx265"),
        *("-preset", encoding.preset),
        # Without it Apple's players do not take HEVC in MP4.
        *("-tag:v", "hvc1"),
        *("-x265-params", ":".join(own)),
        *_room(encoding.rate),
    ]


def _room(rate: Rate) -> list[str]:
    if rate.bits_per_s is not None:
        return ["-b:v", str(rate.bits_per_s)]
    return ["-crf", str(rate.crf)]


def sound_copied() -> list[str]:
    """Return the arguments for sound that stays bit by bit."""
    return ["-c:a", "copy"]


def sound_encoded(bits_per_s: int, layout: str = "", sample_rate: int = 48_000) -> list[str]:
    """Return the arguments for sound as AAC; layouts that players do not know become stereo."""
    return [
        *("-c:a", "aac"),
        *("-b:a", str(bits_per_s)),
        *(() if layout in _LAYOUTS else ("-ac", "2")),
        *("-ar", str(sample_rate if sample_rate in _AAC_RATES else 48_000)),
    ]


def sound_of(sound: Track | None, *, bits_per_s: int | None = None) -> list[str]:
    """Return the arguments that deliver a sound track: copied where it is AAC, else encoded.

    Args:
        bits_per_s: most that it may take; None for what its channels need.
    """
    if sound is None:
        return ["-an"]
    if sound.codec == "aac" and sound.layout in _LAYOUTS and (bits_per_s is None or bps_of(sound) <= bits_per_s):
        return sound_copied()
    return sound_encoded(bits_per_s, sound.layout, sound.sample_rate) if bits_per_s else sound_again(sound)


def sound_again(sound: Track) -> list[str]:
    """Return the arguments that encode a track as good as it can be heard, because its timing changes."""
    return sound_encoded(sound_bps(sound.layout), sound.layout, sound.sample_rate)


def sound_bps(layout: str) -> int:
    """Return the bits per second that are good for a layout of channels."""
    channels = _LAYOUTS.get(layout, 2)
    return _STEREO_BPS if channels == 2 else _BPS_PER_CHANNEL * channels + 32_000


def bps_of(track: Track) -> int:
    """Return the average bits per second of a track."""
    return round(track.size_bytes * 8 / max(track.end_s - track.start_s, 0.05))


def container_arguments(*, index_bytes: int = 0) -> list[str]:
    """Return the arguments for the MP4 around it.

    Args:
        index_bytes: what `index_room` says, where the packets are known; otherwise all is written twice.
    """
    return [
        # Nothing of the input's tags, chapters or encoder names.
        *("-map_metadata", "-1"),
        *("-map_chapters", "-1"),
        *("-fflags", "+bitexact"),
        # The index first, so that it plays before it has loaded.
        *(("-moov_size", str(index_bytes)) if index_bytes else ("-movflags", "+faststart")),
        *("-f", "mp4"),
    ]


def index_room(packets: int) -> int:
    """Return how many bytes the index of an MP4 of so many packets has at most."""
    return _INDEX_BASE_BYTES + _INDEX_BYTES * packets


def timing_arguments() -> list[str]:
    """Return the arguments that keep each frame at its time, also where the rate varies."""
    return [*("-fps_mode", "passthrough"), *("-enc_time_base:v", "1:90000")]


def joined(*parts: Sequence[str]) -> list[str]:
    """Return one list of arguments."""
    return [argument for part in parts for argument in part]
