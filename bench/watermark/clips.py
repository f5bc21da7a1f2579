"""Attacks on videos: ten clips, each under twelve attacks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from bench.watermark.film import X264, ffmpeg, frames, make_clip, mark, probe, telling_frames, thumbnails
from bench.watermark.marked import KEY, LEAKED, NAMED_FROM, OTHERS
from bench.watermark.photographs import PHOTOGRAPHS, load
from geniequeue.watermark.scoring import scores
from geniequeue.watermark.video import VideoReading, plane_size, read_video

CLIPS = 10
MOVING = frozenset({0, 3, 6, 9})
_WIDE = "drawbox=x=iw*0.1:y=ih*0.75:w=iw*0.5:h=ih*0.12:color=red@0.9:t=fill"
BOXES = f"{_WIDE},drawbox=x=iw*0.7:y=20:w=200:h=60:color=white:t=fill"
ATTACKS: dict[str, list[str]] = {
    "as delivered": ["-c", "copy"],
    "first 5 s cut off": ["-ss", "5", *X264, "-crf", "20"],
    "24 fps": ["-vf", "fps=24", *X264, "-crf", "20"],
    "25 fps, 480p": ["-vf", "fps=25,scale=854:480", *X264, "-crf", "28"],
    "480p crf 33": ["-vf", "scale=854:480", *X264, "-crf", "33"],
    "5 s cut off, 24 fps, 480p crf 33": ["-ss", "5", "-vf", "fps=24,scale=854:480", *X264, "-crf", "33"],
    "x1.1, 480p crf 28": ["-vf", "setpts=PTS/1.1,scale=854:480", *X264, "-crf", "28", "-r", "30"],
    "x0.9, 480p crf 28": ["-vf", "setpts=PTS/0.9,scale=854:480", *X264, "-crf", "28", "-r", "30"],
    "80 % of each side, 480p crf 28": ["-vf", "crop=iw*.8:ih*.8:iw*.15:ih*.05,scale=854:480", *X264, "-crf", "28"],
    "mirrored, crf 28": ["-vf", "hflip", *X264, "-crf", "28"],
    "two pieces, crf 28": ["-vf", "select='not(between(t,8,12))',setpts=N/30/TB", *X264, "-crf", "28", "-r", "30"],
    "boxes over it, crf 28": ["-vf", BOXES, *X264, "-crf", "28"],
}
Result = tuple[str, int, float, float, int, float]


def read_leak(original: Path, leak: Path, asset: str) -> VideoReading:
    """As the worker does, with the original's file at hand."""
    size = plane_size(probe(original)[:2])
    return read_video(
        thumbnails(original),
        lambda start_s, end_s: frames(original, size, start_s=start_s, end_s=end_s),
        telling_frames(leak),
        KEY,
        asset,
    )


def attacked(number: int) -> list[Result]:
    """All attacks on one clip: attack, clip, its score, the highest other, frames read, seconds."""
    cv2.setNumThreads(1)
    scenes = [load(PHOTOGRAPHS[(number + 5 * part) % len(PHOTOGRAPHS)]) for part in range(3)]
    ids, results = np.concatenate([np.array([LEAKED], np.uint64), OTHERS]), []
    with tempfile.TemporaryDirectory() as folder:
        source, copy = Path(folder) / "source.mp4", Path(folder) / "copy.mp4"
        make_clip(source, scenes, moving=number in MOVING)
        mark(source, copy, KEY, f"clip {number}", LEAKED)
        for index, (name, options) in enumerate(ATTACKS.items()):
            leak = Path(folder) / f"leak{index}.mp4"
            ffmpeg("-i", str(copy), *options, str(leak))
            started = time.process_time()
            reading = read_leak(source, leak, f"clip {number}")
            z = scores(reading.chips, KEY, f"clip {number}", ids)
            spent = time.process_time() - started
            results.append((name, number, float(z[0]), float(z[1:].max()), len(reading.seen_s), spent))
    return results


def run(_folder: Path, *, quick: bool = False) -> Iterable[str]:
    """A line for each clip when it is done, as all take an hour; then one for each attack, and the sum."""
    results: list[Result] = []
    with ProcessPoolExecutor(2) as pool:
        for found in pool.map(attacked, range(1) if quick else range(CLIPS)):
            yield _of_clip(found)
            results += found
    yield f"{'clips of 20 s, 1280x720':38s} named    z least  median  highest other  frames  CPU s"
    for name in ATTACKS:
        yield _of_attack(name, [row for row in results if row[0] == name])
    yield f"videos, all: {sum(row[2] >= NAMED_FROM for row in results)}/{len(results)}"


def _of_clip(rows: list[Result]) -> str:
    least = min(rows, key=lambda row: row[2])
    named, other = sum(row[2] >= NAMED_FROM for row in rows), max(row[3] for row in rows)
    figures = f"named {named}/{len(rows)}, least {least[2]:.1f} ({least[0]}), highest other {other:.1f}"
    return f"clip {rows[0][1]}: {figures}, {np.median([row[5] for row in rows]):.0f} s of CPU a trace"


def _of_attack(name: str, rows: list[Result]) -> str:
    z = np.array([row[2] for row in rows])
    count, frames_read = f"{(z >= NAMED_FROM).sum()}/{len(z)}", np.median([row[4] for row in rows])
    missed = " ".join(f"clip {row[1]} {row[2]:.1f}" for row in rows if row[2] < NAMED_FROM)
    figures = f"{z.min():7.1f} {np.median(z):7.1f} {max(row[3] for row in rows):7.1f}"
    cost = f"{frames_read:10.0f} {np.median([row[5] for row in rows]):7.1f}"
    return f"  {name:36s} {count:8s} {figures} {cost}   {missed}"
