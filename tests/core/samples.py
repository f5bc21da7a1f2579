"""Files that the tests of marks and of stripping make, and what a reader other than ours says about them."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pyvips

from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.inside import Output, Work

FILE_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
_NOT_OF_THE_FILE = {"SourceFile", "ExifTool", "System", "File", "Composite"}


def photo(width_px: int = 320, height_px: int = 240, *, level: float = 128, swing: float = 60) -> pyvips.Image:
    """A cloudy picture in colour around `level`, with no flat areas."""
    bands = [pyvips.Image.perlin(width_px, height_px, cell_size=48, seed=seed) * swing + level for seed in (11, 12, 13)]
    return bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb").copy_memory()


def animation(frames: int, width_px: int = 120, height_px: int = 90) -> pyvips.Image:
    """Frames of different brightness below each other."""
    stills = [photo(width_px, height_px, level=80 + 30 * index, swing=30) for index in range(frames)]
    joined = pyvips.Image.arrayjoin(stills, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", height_px)
    joined.set_type(pyvips.GValue.array_int_type, "delay", [100] * frames)
    return joined


def run(name: str, source: Path, out_dir: Path, *, overlay: Path | None = None, **params: Any) -> tuple[Path, Output]:
    """Run an operation as the sandbox does and return its file."""
    module, _, attribute = OPERATIONS[name].function.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    inputs = {"input": source}
    if overlay is not None:
        inputs["watermark_file_id"] = overlay
        params["watermark_file_id"] = FILE_ID
    out_dir.mkdir(exist_ok=True)
    (output,) = function(Work(inputs, out_dir, OPERATIONS[name].load_params(params)))
    return out_dir / output.name, output


def read(path: Path, **options: Any) -> pyvips.Image:
    """Decode a file as any viewer would."""
    return pyvips.Image.new_from_file(str(path), **options).copy_memory()


def differs(first: pyvips.Image, second: pyvips.Image) -> float:
    """Largest difference between two pictures; 0 means identical."""
    assert (first.width, first.height, first.bands) == (second.width, second.height, second.bands)
    return float((first.cast("float") - second.cast("float")).abs().max())


def exiftool(*arguments: str | Path) -> str:
    """Run exiftool, whatever it warns of."""
    done = subprocess.run(["exiftool", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.stdout


def tags(path: Path) -> dict[str, Any]:
    """Everything exiftool finds in the file's content, unknown tags included, as `Group:Tag`."""
    (found,) = json.loads(exiftool("-a", "-G1", "-u", "-j", "-s", path))
    return {name: value for name, value in found.items() if name.split(":")[0] not in _NOT_OF_THE_FILE}


def pixels_of(path: Path) -> bytes:
    """The decoded pixels."""
    return bytes(read(path).write_to_memory())
