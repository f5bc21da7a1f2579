"""Make the videos that the tests work on, and look at what came out with ffmpeg alone, not through our own code."""

from __future__ import annotations

import re
import subprocess
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pyvips

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
DIGIT_PX = 24
BITS = 10


def ffmpeg(*arguments: str | Path) -> str:
    """Run ffmpeg and return what it says."""
    command = [FFMPEG, "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def scene(width_px: int = 320, height_px: int = 180, *, fps: str = "30", seconds: float = 1.0) -> list[str]:
    """Arguments of a moving picture in colour without flat areas."""
    return ["-f", "lavfi", "-i", f"testsrc2=s={width_px}x{height_px}:r={fps}:d={seconds}"]


def tone(seconds: float = 1.0, *, layout: str = "stereo", rate: int = 44_100) -> list[str]:
    """Arguments of a sound."""
    return ["-f", "lavfi", "-i", f"sine=440:r={rate}:d={seconds},aformat=channel_layouts={layout}"]


def numbered(path: Path, frames: int, *, size: tuple[int, int] = (320, 180), extra: Sequence[str] = ()) -> Path:
    """Write a video whose frames carry their number as ten black or white squares, from the highest bit down."""
    wide, high = size
    raw = ["-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", f"{wide}x{high}", "-framerate", "30", "-i", "-"]
    coding = extra or ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12")
    command = [FFMPEG, "-hide_banner", "-loglevel", "error", "-y", *raw, *coding, str(path)]
    pixels = b"".join(_numbered_frame(number, wide, high) for number in range(frames))
    done = subprocess.run(command, input=pixels, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def _numbered_frame(number: int, wide: int, high: int) -> bytes:
    """Planes of one frame: the squares, below them slanted stripes that move, without colour."""
    bits = (number >> (BITS - 1 - bit) & 1 for bit in range(BITS))
    squares = b"".join(bytes([16 + 219 * bit]) * DIGIT_PX for bit in bits)
    top = squares + bytes([16]) * (wide - len(squares))
    stripes = bytes(60 + (place + 4 * number) % 128 for place in range(wide + high))
    rest = b"".join(stripes[row : row + wide] for row in range(DIGIT_PX, high))
    return top * DIGIT_PX + rest + bytes([128]) * (wide // 2 * (high // 2) * 2)


def number_of(frame: pyvips.Image, *, scale: float = 1.0) -> int:
    """Read the number of a frame of `numbered`, scaled by `scale`."""
    number = 0
    for bit in range(BITS):
        left, side = round((bit + 0.25) * DIGIT_PX * scale), max(1, round(DIGIT_PX * scale / 2))
        number = number * 2 + (frame.crop(left, round(DIGIT_PX * scale / 4), side, side).avg() > 128)
    return number


def frames_of(path: Path, *options: str) -> list[pyvips.Image]:
    """Decode every frame to sRGB."""
    command = [FFMPEG, "-nostdin", "-loglevel", "error", "-i", str(path), "-map", "0:v:0", *options]
    raw = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    ).stdout
    wide, high = shown_size(path)
    size = wide * high * 3
    assert raw and len(raw) % size == 0
    return [
        pyvips.Image.new_from_memory(raw[at : at + size], wide, high, 3, "uchar").copy(interpretation="srgb")
        for at in range(0, len(raw), size)
    ]


def pixels_of(path: Path) -> list[str]:
    """Hash the pixels of every decoded frame."""
    text = ffmpeg("-loglevel", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framehash", "-")
    return [line.rsplit(",", 1)[1].strip() for line in text.splitlines() if line.startswith("0,")]


def numbers_of(path: Path, *, scale: float = 1.0) -> list[int]:
    """Read the numbers of all frames."""
    return [number_of(frame, scale=scale) for frame in frames_of(path)]


@cache
def _info(path: str, _mtime: int) -> str:
    command = [FFMPEG, "-nostdin", "-hide_banner", "-i", path, "-map", "0:v:0", "-frames:v", "1", "-vf", "showinfo"]
    return subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=False).stderr


def info(path: Path) -> str:
    """What ffmpeg prints about a file and its first frame."""
    return _info(str(path), path.stat().st_mtime_ns)


def shown_size(path: Path) -> tuple[int, int]:
    """Width and height of the first decoded frame, upright."""
    found = re.search(r" s:(\d+)x(\d+) ", info(path))
    assert found, info(path)
    return int(found[1]), int(found[2])


def is_tagged_turned(path: Path) -> bool:
    """Whether players are told to turn the frames."""
    return "matrix: rotation of" in info(path).lower()


def times_of(path: Path, stream: str = "v:0") -> list[float]:
    """When each packet is shown, in seconds, in order."""
    text = ffmpeg("-loglevel", "error", "-i", path, "-map", f"0:{stream}", "-c", "copy", "-f", "framecrc", "-")
    found = re.search(r"#tb 0: (\d+)/(\d+)", text)
    assert found, text
    tick = int(found[1]) / int(found[2])
    rows = [line.split(",") for line in text.splitlines() if line.startswith("0,")]
    return sorted(int(row[2]) * tick for row in rows if "F=0x5" not in "".join(row[6:7]))


def psnr(first: Path, second: Path, *, transform: str = "null") -> float:
    """Least PSNR of a frame of `second` against the transformed frame of `first`, in dB; frame by frame."""
    stats = second.parent / "psnr.log"
    graph = f"[0:v]{transform},format=yuv420p,settb=AVTB,setpts=N[a];[1:v]format=yuv420p,settb=AVTB,setpts=N[b];"
    ffmpeg("-i", first, "-i", second, "-lavfi", f"{graph}[a][b]psnr=f={stats}", "-f", "null", "-")
    rows = re.findall(r"psnr_avg:(\S+)", stats.read_text())
    assert rows
    return min(float(row) for row in rows)


def flash_and_beep(path: Path, at_s: Sequence[float], seconds: float, *extra: str, fps: str = "30") -> Path:
    """Write a black, silent video with a white flash and a beep of 0.1 s at the same instants."""
    on = "+".join(f"between(t,{at - 0.001},{at + 0.099})" for at in at_s)
    heard = "+".join(f"between(t,{at},{at + 0.1})" for at in at_s)
    picture = f"color=black:s=160x90:r={fps}:d={seconds},drawbox=color=white:t=fill:enable='{on}'"
    sound = f"aevalsrc='0.8*sin(2*PI*1000*t)*({heard})':s=48000:d={seconds},aformat=channel_layouts=stereo"
    codecs = extra or ("-c:v", "libx264", "-g", "15", "-c:a", "aac")
    ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codecs, path)
    return path


def flashes(path: Path) -> list[float]:
    """When the picture turns white, in seconds."""
    times = times_of(path)
    bright = [frame.avg() > 128 for frame in frames_of(path)]
    return [t for t, on, before in zip(times, bright, [False, *bright], strict=False) if on and not before]


def beeps(path: Path) -> list[float]:
    """When the sound starts, in seconds of the file's time."""
    command = [
        FFMPEG,
        "-nostdin",
        "-loglevel",
        "error",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-af",
        "aresample=async=1:first_pts=0",
    ]
    raw = subprocess.run(
        [*command, "-ac", "1", "-ar", "48000", "-f", "s16le", "-"], capture_output=True, check=True
    ).stdout
    levels = map(abs, array("h", raw))
    starts, quiet_since = [], -4800
    for n, level in enumerate(levels):
        if level > 3000:
            if n - quiet_since > 2400:
                starts.append(n / 48_000)
            quiet_since = n
    return starts


def out_of_step(path: Path) -> float:
    """Largest distance between a flash and its beep, in seconds."""
    seen, heard = flashes(path), beeps(path)
    assert len(seen) == len(heard) > 0, (seen, heard)
    return max(abs(a - b) for a, b in zip(seen, heard, strict=True))


def progress_of(shares: Sequence[float]) -> None:
    """Check that progress never goes back and ends at 1."""
    assert list(shares) == sorted(shares)
    assert shares[-1] == 1.0


Run = Callable[..., Any]
