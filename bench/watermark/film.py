"""Clips made from the photographs, and ffmpeg around them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from bench.watermark.attacks import Picture, as_picture
from geniequeue.media import clip as clips
from geniequeue.media import fan_footage, filters, remake
from geniequeue.media import ffmpeg as ffmpeg_of_jobs
from geniequeue.sandbox.inside import Limits, Work
from geniequeue.watermark.following import Frame
from geniequeue.watermark.timeline import PER_SECOND, Thumbnails, thumbnail
from geniequeue.watermark.video import MOST_FRAMES, plane_size

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
WIDTH, HEIGHT, RATE, SECONDS = 1280, 720, 30, 20
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]


def ffmpeg(*arguments: str) -> bytes:
    """Run it and return what it wrote to its standard output."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-y", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def make_clip(path: Path, scenes: list[Picture], *, moving: bool) -> None:
    """Pan and zoom over each scene; `moving`: two pieces of it move across the frame on paths of their own besides."""
    encode(path, _frames(scenes, moving))


def encode(path: Path, pictures: Iterable[Picture]) -> None:
    """Write frames as an MP4."""
    command = [FFMPEG, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}"]
    command += ["-r", str(RATE), "-i", "-", *X264, "-crf", "18", "-f", "mp4", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin
        for frame in pictures:
            encoder.stdin.write(frame.tobytes())
        encoder.stdin.close()


def _frames(scenes: list[Picture], moving: bool) -> Iterator[Picture]:
    rng, count = np.random.default_rng(0), SECONDS * RATE
    each = count / len(scenes)
    for index in range(count):
        scene = scenes[int(index / each)]
        frame = _panned(scene, index / each % 1)
        if moving:
            _pass_across(frame, scene, index / RATE)
        yield as_picture(frame + rng.normal(0, 1.5, (HEIGHT, WIDTH, 1)))


def _panned(scene: Picture, t: float) -> NDArray[np.float32]:
    height, width = scene.shape[:2]
    wide = min(width, height * WIDTH / HEIGHT) * (0.86 - 0.12 * t)
    tall = wide * HEIGHT / WIDTH
    left, top = (width - wide) * (0.15 + 0.7 * t), (height - tall) * (0.5 + 0.3 * np.sin(2 * t))
    matrix = np.float32([[wide / WIDTH, 0, left], [0, tall / HEIGHT, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(scene, matrix, (WIDTH, HEIGHT), flags=flags).astype(np.float32)


def _pass_across(frame: NDArray[np.float32], scene: Picture, time_s: float) -> None:
    """Two discs cut out of the scene, on curves of their own, turning."""
    for number, (speed, radius) in enumerate(((0.31, 150), (0.47, 90))):
        x = int(WIDTH * (0.5 + 0.38 * np.sin(speed * time_s * 2 + number)))
        y = int(HEIGHT * (0.5 + 0.3 * np.cos(speed * time_s * 3 + number)))
        height, width = scene.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 40 * time_s * (1 - 2 * number), 0.8)
        turn[:, 2] += [x - width / 2, y - height / 2]
        piece = cv2.warpAffine(scene, turn, (WIDTH, HEIGHT))
        disc = cv2.circle(np.zeros((HEIGHT, WIDTH), np.float32), (x, y), radius, 1.0, -1)
        disc = cv2.GaussianBlur(disc, (0, 0), 2)[..., None]
        frame += disc * (piece - frame)


def mark(source: Path, target: Path, key: bytes, asset: str, trace_id: int) -> None:
    """Encode a copy as the worker does."""
    plan = marked(clips.probe(source, Limits()), target.parent, key, asset, trace_id)
    ffmpeg_of_jobs.run(remake.arguments_of(plan, target), cwd=target.parent)


def marked(clip: clips.Clip, folder: Path, key: bytes, asset: str, trace_id: int) -> remake.Plan:
    """What the worker runs, with its pictures of the mark and its thumbnails in the folder."""
    params = {"key": key.hex(), "asset": asset, "trace_id": f"{trace_id:016x}", "strength": 1.0}
    work, size = Work({"input": clip.source.path}, folder, params), filters.even(*clip.look.shown)
    return fan_footage.planned(work, clip, size, fan_footage.thumbnail_size(clip))


@cache
def probe(path: Path) -> tuple[int, int, float]:
    """Width, height, frames per second."""
    said = subprocess.run([FFMPEG, "-nostdin", "-i", str(path)], capture_output=True, text=True, check=False).stderr
    line = next(line for line in said.splitlines() if "Video:" in line)
    size, rate = re.search(r", (\d{2,5})x(\d{2,5})", line), re.search(r"([\d.]+) fps", line)
    assert size
    assert rate
    return int(size[1]), int(size[2]), float(rate[1])


def frames(
    path: Path, size: tuple[int, int], *, start_s: float = 0, end_s: float | None = None, rate: float = 0
) -> Iterator[Frame]:
    """Luma of the frames between two times."""
    start_s = max(0.0, start_s)
    step = 1 / (rate or probe(path)[2])
    first = round(start_s / step + 0.499)
    cut = ["-ss", f"{max(0.0, first * step - step / 4):.4f}"] if first else []
    length = [] if end_s is None else ["-t", f"{max(step, end_s - start_s):.4f}"]
    graph = (f"fps={rate}," if rate else "") + f"scale={size[0]}:{size[1]}:flags=area,format=gray"
    data = ffmpeg(*cut, "-i", str(path), *length, "-vf", graph, "-f", "rawvideo", "-")
    pictures = np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0])
    yield from (Frame((first + i) * step, picture) for i, picture in enumerate(pictures))


def thumbnails(path: Path) -> Thumbnails:
    """As they are stored of an original."""
    found = [(f.time_s, thumbnail(f.luma)) for f in frames(path, plane_size(probe(path)[:2]), rate=PER_SECOND)]
    return Thumbnails([time_s for time_s, _ in found], np.stack([picture for _, picture in found]))


def telling_frames(path: Path) -> list[Frame]:
    """The leak's I-frames and the frame after each, and four spread ones."""
    show = [FFMPEG, "-nostdin", "-skip_frame", "nokey", "-i", str(path), "-fps_mode", "passthrough"]
    show += ["-vf", "showinfo", "-f", "null", "-"]
    said = subprocess.run(show, capture_output=True, text=True, check=True).stderr
    width, height, rate = probe(path)
    factor = min(1.0, 1280 / max(width, height))
    every = list(frames(path, (round(width * factor), round(height * factor))))
    keys = [round(float(time) * rate) for time in re.findall(r"pts_time:\s*([\d.]+)", said)]
    numbers = {n + after for n in keys for after in (0, 1)} | set(
        np.linspace(len(every) * 0.1, len(every) * 0.9, 4).astype(int)
    )
    chosen = sorted(n for n in numbers if n < len(every))
    thinned = chosen[:: -(-len(chosen) // MOST_FRAMES)]
    return [every[n] for n in thinned]
