"""Marked copies of the sample photograph, and what a fan does to his before he leaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from geniequeue.media.fan_mark import apply_steganographic_watermark
from geniequeue.media.leak import trace_leak
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.inside import Limits, Output, Work

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "otter.jpg"
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
ASSET = "0f8fad5b-d9cb-469f-a165-70867728950e"


@dataclass(frozen=True)
class Marked:
    """A marked copy, the plane kept of its asset, and what the module says of both."""

    path: Path
    plane: Path
    copy: Output
    kept: Output


def small_sample(path: Path, width_px: int = 800) -> Path:
    """Write the sample photograph at a size that is quick to work on."""
    pyvips.Image.thumbnail(str(SAMPLE), width_px).write_to_file(f"{path}[keep=none]")
    return path


def mark(
    source: Path,
    folder: Path,
    trace_id: int,
    *,
    keys: Sequence[bytes] = (),
    kept: Path | None = None,
    **params: Any,
) -> Marked:
    """Mark a copy as the worker has it marked.

    Args:
        keys: those with which the input is read before.
        kept: the plane that an earlier copy has left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = OPERATIONS["apply_steganographic_watermark"].load_params({"fan_id": "fan", **params})
    given.pop("fan_id")
    given |= {"asset": ASSET, "trace_id": f"{trace_id:016x}", "key": KEY.hex(), "keys": [key.hex() for key in keys]}
    inputs = {"input": source, **({"plane": kept} if kept else {})}
    copy, plane = apply_steganographic_watermark(Work(inputs, folder, given))
    return Marked(folder / copy.name, folder / plane.name, copy, plane)


def trace(
    leak: Path,
    plane: Path,
    folder: Path,
    trace_ids: Sequence[int],
    size: tuple[int, int],
    keys: Sequence[bytes] = (KEY,),
    **limits: int,
) -> tuple[Mapping[str, Any], list[Output]]:
    """Trace a leak as the worker has it traced; return what is told, and the outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = folder / "copies"
    copies.write_bytes(np.array(trace_ids, ">u8").tobytes())
    by_id = {f"k{number}": key.hex() for number, key in enumerate(keys)}
    params = {"asset": ASSET, "width_px": size[0], "height_px": size[1], "keys": by_id, "thorough": False}
    inputs = {"input": leak, "plane": plane, **{f"copies.{key_id}": copies for key_id in by_id}}
    outputs = trace_leak(Work(inputs, folder, params, Limits(**limits)))
    return outputs[0].facts, outputs


def cropped_half_size(source: Path, target: Path, *, quality: int) -> Path:
    """Crop a tenth off each side, shrink to half size, compress."""
    image = pyvips.Image.new_from_file(str(source))
    left, top = image.width // 10, image.height // 10
    image = image.crop(left, top, image.width - 2 * left, image.height - 2 * top).resize(0.5)
    image.jpegsave(str(target), Q=quality, keep="none")
    return target
