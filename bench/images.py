"""Time image operations: the whole job-side step against bare pyvips in a warm process, and Wand alone beside it.

The step is `Sandbox.run`: fork, decode, change, encode, read the output back, answer. The peer does the same with the
same settings in this process, warm, and reads nothing back. Runs are interleaved, figures are medians; the ratios
count, not the milliseconds. Peak memory is the job's own; for the peers it would be that of this whole process.

    python bench/images.py [--rounds 9] [--picture samples/otter.jpg]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("VIPS_CONCURRENCY", str(len(os.sched_getaffinity(0))))

import pyvips
import wand.image

from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits
from geniequeue.sandbox.result import SandboxResult

WIDTH_PX, HEIGHT_PX = 6000, 4000
TEXT = "@creator"
MAX_RATIO = 1.25
MAX_MIB: Mapping[str, int] = {"resize": 150, "crop": 150, "watermark": 150, "webp": 300}


@dataclass(frozen=True)
class Case:
    """One operation and what its peers do instead."""

    name: str
    operation: str
    params: Mapping[str, Any]
    bare: Callable[[str, str], None]
    wand: Callable[[str, str], None]


def bare_resize(source: str, target: str) -> None:
    pyvips.Image.thumbnail(source, 1080, height=10_000, size="down").jpegsave(target, Q=85, keep="icc")


def bare_crop(source: str, target: str) -> None:
    image = pyvips.Image.new_from_file(source, access="sequential")
    image.crop((WIDTH_PX - 3200) // 2, 0, 3200, HEIGHT_PX).jpegsave(target, Q=85, keep="icc")


def bare_watermark(source: str, target: str) -> None:
    image = pyvips.Image.new_from_file(source, access="sequential")
    mark = pyvips.Image.text(TEXT, width=int(WIDTH_PX * 0.15), height=200, rgba=True)
    mark = (mark * [1, 1, 1, 0.7]).cast("uchar").copy(interpretation="srgb")
    left, top = image.width - mark.width - 20, image.height - mark.height - 20
    image.composite2(mark, "over", x=left, y=top).flatten().cast("uchar").jpegsave(target, Q=90, keep="icc")


def bare_webp(source: str, target: str) -> None:
    pyvips.Image.new_from_file(source, access="sequential").webpsave(target, Q=85, keep="icc")


def wand_resize(source: str, target: str) -> None:
    with wand.image.Image(filename=source) as image:
        image.resize(1080, 720)
        _wand_save(image, target)


def wand_crop(source: str, target: str) -> None:
    with wand.image.Image(filename=source) as image:
        image.crop((WIDTH_PX - 3200) // 2, 0, width=3200, height=HEIGHT_PX)
        _wand_save(image, target)


def wand_watermark(source: str, target: str) -> None:
    mark = pyvips.Image.text(TEXT, width=int(WIDTH_PX * 0.15), height=200, rgba=True).pngsave_buffer()
    with wand.image.Image(filename=source) as image, wand.image.Image(blob=mark, format="png") as overlay:
        image.composite(overlay, image.width - overlay.width - 20, image.height - overlay.height - 20)
        _wand_save(image, target, quality=90)


def wand_webp(source: str, target: str) -> None:
    with wand.image.Image(filename=source) as image:
        image.format = "webp"
        _wand_save(image, target)


def _wand_save(image: wand.image.Image, target: str, quality: int = 85) -> None:
    image.compression_quality = quality
    image.save(filename=target)


CASES = (
    Case("resize", "resize_image", {"width": 1080}, bare_resize, wand_resize),
    Case("crop", "crop_image", {"aspect": "4:5"}, bare_crop, wand_crop),
    Case("watermark", "apply_watermark", {"watermark_text": TEXT}, bare_watermark, wand_watermark),
    Case("webp", "convert_image", {"format": "webp"}, bare_webp, wand_webp),
)


def photograph(picture: Path, target: Path) -> None:
    """Make a 24 MP JPEG of photographic content: the picture and its mirrors side by side, cut to 6000 x 4000."""
    image = pyvips.Image.new_from_file(str(picture))
    row = image.join(image.fliphor(), "horizontal")
    tiled = row.join(row.flipver(), "vertical")
    tiled.crop(0, 0, WIDTH_PX, HEIGHT_PX).jpegsave(str(target), Q=92, keep="icc")


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = act()
    return (time.perf_counter() - began) * 1000, result


def measure(case: Case, sandbox: Sandbox, source: Path, rounds: int) -> str:
    """Run one case and its peers in turn and describe the medians."""
    operation = OPERATIONS[case.operation]
    params = operation.load_params(case.params)
    out_dir = sandbox.root / "out"

    def step() -> SandboxResult:
        return sandbox.run(
            operation.function,
            inputs={"input": source},
            out_dir=out_dir,
            params=params,
            limits=Limits(),
            timeout_s=operation.time_limit_s,
            should_stop=lambda: False,
            on_progress=lambda _share: None,
        )

    suffix = ".webp" if case.name == "webp" else ".jpg"
    bare_target, wand_target = str(out_dir / f"bare{suffix}"), str(out_dir / f"wand{suffix}")
    step()
    case.bare(str(source), bare_target)
    ours, bares, wands, peaks = [], [], [], []
    for turn in range(rounds):
        spent, result = timed(step)
        ours.append(spent)
        peaks.append(result.peak_memory_bytes)
        bares.append(timed(lambda: case.bare(str(source), bare_target))[0])
        if turn < 3:
            wands.append(timed(lambda: case.wand(str(source), wand_target))[0])
    return describe(case.name, statistics.median(ours), statistics.median(bares), statistics.median(wands), max(peaks))


def describe(name: str, ours: float, bare: float, wand_ms: float, peak_bytes: int) -> str:
    peak_mib = peak_bytes / (1 << 20)
    good = ours / bare <= MAX_RATIO and peak_mib <= MAX_MIB[name]
    return (
        f"{name:<10} job {ours:7.0f} ms  bare pyvips {bare:7.0f} ms  ratio {ours / bare:5.2f} (max {MAX_RATIO})  "
        f"Wand {wand_ms:7.0f} ms  ratio {wand_ms / bare:5.2f}  "
        f"peak {peak_mib:4.0f} MiB (max {MAX_MIB[name]})  {'ok' if good else 'MISSED'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--picture", type=Path, default=Path(__file__).parent.parent / "samples" / "otter.jpg")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        source = sandbox.root / "input"
        (sandbox.root / "out").mkdir()
        photograph(arguments.picture, source)
        print(f"{WIDTH_PX} x {HEIGHT_PX} JPEG, {source.stat().st_size / 1e6:.1f} MB, {arguments.rounds} rounds")
        for case in CASES:
            print(measure(case, sandbox, source, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
