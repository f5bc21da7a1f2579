"""What the eye may see: PSNR, SSIM and a sheet of 100 % crops with the difference amplified."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from bench.watermark.attacks import Picture
from bench.watermark.marked import marked
from bench.watermark.photographs import PHOTOGRAPHS
from geniequeue.watermark.pattern import ssim
from geniequeue.watermark.plane import luma_of

SHEET = "watermark-crops.png"
SHOWN = ("Henner", "Maher", "astronaut", "Kite", "Storm", "EveningGlow")
SIDE, AMPLIFIED = 160, 16


def crop(picture: Picture, at: tuple[float, float]) -> Picture:
    left, top = (int((n - SIDE) * share) for n, share in zip(picture.shape[1::-1], at, strict=True))
    return picture[top : top + SIDE, left : left + SIDE]


def run(folder: Path, *, quick: bool = False) -> Iterable[str]:
    """A line for each photograph; the sheet shows original, marked and 16 times the difference."""
    rows = []
    for index, photograph in enumerate(PHOTOGRAPHS):
        one = marked(index)
        if quick and photograph.name not in SHOWN:
            continue
        change = one.leaked.astype(np.float32) - one.original
        psnr = 10 * np.log10(255**2 / float((change**2).mean()))
        first, second = (luma_of(picture).astype(np.float32) for picture in (one.original, one.leaked))
        yield f"  {photograph.name:12s} PSNR {psnr:.2f} dB, SSIM {ssim(first, second):.4f}"
        if photograph.name in SHOWN:
            amplified = np.clip(128 + AMPLIFIED * change, 0, 255).astype(np.uint8)
            parts = [crop(part, photograph.crop) for part in (one.original, one.leaked, amplified)]
            rows.append(np.hstack(parts))
    half = len(rows) // 2
    cv2.imwrite(str(folder / SHEET), np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:])])[..., ::-1])
    yield f"crops in {SHEET}"
