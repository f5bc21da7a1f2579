"""The two libraries on PyPI under the basic attacks, on the same photographs: 64 bits, exact recoveries.

`make bench-watermark` installs them with `--no-deps`: both ask for opencv-python, which overwrites the headless
one, and one of them for torch, which only its neural method needs; a stand-in of that name is enough for the other.
"""

from __future__ import annotations

import multiprocessing
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from bench.watermark.attacks import BASIC, Picture
from bench.watermark.photographs import PHOTOGRAPHS, load

BITS = np.random.default_rng(3).integers(0, 2, 64)
Peer = tuple[Callable[[Picture], Picture], Callable[[Picture], np.ndarray]]


def invisible_watermark() -> Peer:
    """dwtDctSvd, its most robust method without a network."""
    sys.modules.setdefault("torch", types.ModuleType("torch"))
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    def encode(picture: Picture) -> Picture:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bits", BITS.tolist())
        return np.ascontiguousarray(encoder.encode(np.ascontiguousarray(picture[..., ::-1]), "dwtDctSvd")[..., ::-1])

    def decode(picture: Picture) -> np.ndarray:
        decoder = WatermarkDecoder("bits", len(BITS))
        return np.array(decoder.decode(np.ascontiguousarray(picture[..., ::-1]), "dwtDctSvd")).astype(int)

    return encode, decode


def blind_watermark() -> Peer:
    # it wants to be the first to say how processes start, and another part of the benchmark has been
    multiprocessing.set_start_method(None, force=True)
    from blind_watermark import WaterMark, bw_notes

    bw_notes.close()

    def encode(picture: Picture) -> Picture:
        encoder = WaterMark(password_img=1, password_wm=1)
        encoder.read_img(img=picture[..., ::-1])
        encoder.read_wm(BITS.astype(bool), mode="bit")
        return np.ascontiguousarray(np.clip(np.rint(encoder.embed()), 0, 255).astype(np.uint8)[..., ::-1])

    def decode(picture: Picture) -> np.ndarray:
        decoder = WaterMark(password_img=1, password_wm=1)
        found = decoder.extract(embed_img=np.ascontiguousarray(picture[..., ::-1]), wm_shape=len(BITS), mode="bit")
        return (np.asarray(found) > 0.5).astype(int)

    return encode, decode


def run(_folder: Path, *, quick: bool = False) -> Iterable[str]:
    """Exact recoveries of each library for each attack; a size that changed is not told to them."""
    cv2.setNumThreads(1)
    chosen = PHOTOGRAPHS[:1] if quick else PHOTOGRAPHS
    for name, peer in (("invisible-watermark dwtDctSvd", invisible_watermark), ("blind-watermark", blind_watermark)):
        encode, decode = peer()
        found, quality = dict.fromkeys(BASIC, 0), []
        for photograph in chosen:
            picture = load(photograph)
            copy = encode(picture)
            quality.append(10 * np.log10(255**2 / float(((copy.astype(np.float32) - picture) ** 2).mean())))
            for attack, change in BASIC.items():
                found[attack] += recovered(decode, change(copy))
        yield f"{name}: PSNR {np.mean(quality):.1f} dB, {sum(found.values())}/{len(chosen) * len(BASIC)} recovered"
        yield from (f"  {attack:36s} {count}/{len(chosen)}" for attack, count in found.items())


def recovered(decode: Callable[[Picture], np.ndarray], leak: Picture) -> bool:
    """Whether all 64 bits come back; a library that fails on a size recovers nothing."""
    try:
        return bool(np.array_equal(decode(leak), BITS))
    except (ValueError, RuntimeError, AssertionError, IndexError):
        return False
