"""Whether a mark on a video flickers: clips of dark sky and skin that stand nearly still, as frames and over time.

One picture of the mark becomes the next one slowly. What the eye could see is a step on that way, so each frame is
compared with the one before, beside the same frames of a copy that was encoded without a mark.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.watermark import video_cost
from bench.watermark.attacks import Picture, as_picture
from bench.watermark.film import HEIGHT, RATE, WIDTH, encode, frames, marked
from bench.watermark.marked import KEY, LEAKED
from bench.watermark.photographs import PHOTOGRAPHS, load
from geniequeue.media import ffmpeg, remake
from geniequeue.media.clip import probe
from geniequeue.sandbox.inside import Limits
from geniequeue.watermark.video import FADE_S, GROUP_S

SHEET = "watermark-flicker.png"
# Name of the photograph, and left and top of the piece that is shown as shares of the frame.
SHOWN = (("Storm", (0.3, 0.05)), ("EveningGlow", (0.3, 0.1)), ("Maher", (0.5, 0.35)), ("Henner", (0.5, 0.4)))
SECONDS, SIDE, AMPLIFIED = 9, 200, 16
BEGUN_S = GROUP_S - FADE_S


def still(scene: Picture, grain: float) -> Iterable[Picture]:
    """The scene filling the frame, nothing moving but the grain of a camera."""
    rng, (height, width) = np.random.default_rng(0), scene.shape[:2]
    wide = min(width, height * WIDTH / HEIGHT)
    left, top = int((width - wide) / 2), int((height - wide * HEIGHT / WIDTH) / 2)
    piece = scene[top : top + int(wide * HEIGHT / WIDTH), left : left + int(wide)]
    frame = cv2.resize(piece, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    for _ in range(SECONDS * RATE):
        yield as_picture(frame + rng.normal(0, grain, (HEIGHT, WIDTH, 1)) if grain else frame)


def copies(folder: Path) -> list[NDArray[np.float32]]:
    """The source as a job encodes it, without a mark and with one: frames around the change."""
    clip = probe(folder / "input", Limits())
    made = []
    for name, plan in (("plain", video_cost.plain(clip)), ("marked", marked(clip, folder, KEY, "flicker", LEAKED))):
        ffmpeg.run(remake.arguments_of(plan, folder / f"{name}.mp4"), cwd=folder)
        made.append(lumas(folder / f"{name}.mp4"))
    return made


def lumas(path: Path) -> NDArray[np.float32]:
    """(n, h, w): all frames from the one before the change begins to its end."""
    found = [each.luma for each in frames(path, (WIDTH, HEIGHT), start_s=BEGUN_S - 1 / RATE, end_s=GROUP_S)]
    return np.stack(found).astype(np.float32)


def moved(all_frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n - 1,): root mean square of the difference to the frame before, smoothed as far as the eye does at a desk."""
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in all_frames])
    return np.sqrt(((soft[1:] - soft[:-1]) ** 2).mean((1, 2)))


def row(plain: NDArray[np.float32], marked: NDArray[np.float32], at: tuple[float, float]) -> Picture:
    """Both frames of the largest step as they are, what the mark changed, the step with it and without."""
    left, top = int((WIDTH - SIDE) * at[0]), int((HEIGHT - SIDE) * at[1])
    cut, n = (slice(top, top + SIDE), slice(left, left + SIDE)), int(moved(marked).argmax()) + 1
    differences = [marked[n] - plain[n], marked[n] - marked[n - 1], plain[n] - plain[n - 1]]
    parts = [marked[n - 1][cut], marked[n][cut], *(128 + AMPLIFIED * each[cut] for each in differences)]
    return as_picture(np.hstack(parts))


def run(folder: Path, *, quick: bool = False) -> Iterable[str]:
    """A line for each photograph, without and with grain, and a sheet."""
    rows: list[Picture] = []
    yield "change of luma from frame to frame, levels (RMS after a blur of 1.5 px), while the mark changes"
    for name, at in SHOWN[: 1 if quick else None]:
        scene = load(next(each for each in PHOTOGRAPHS if each.name == name))
        for grain in (0.0, 1.5):
            with tempfile.TemporaryDirectory() as made:
                encode(Path(made) / "input", still(scene, grain))
                plain, marked = copies(Path(made))
            rows.append(row(plain, marked, at))
            yield _line(name, grain, moved(plain), moved(marked))
    cv2.imwrite(str(folder / SHEET), np.vstack(rows))
    yield f"drawn in {SHEET}"


def _line(name: str, grain: float, plain: NDArray[np.float32], marked: NDArray[np.float32]) -> str:
    return (
        f"  {name:12s} grain {grain:3.1f}: with the mark {np.max(marked):.2f} at most, {np.median(marked):.2f} mostly; "
        f"without {np.max(plain):.2f}, {np.median(plain):.2f}"
    )
