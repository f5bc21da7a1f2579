"""Memory and time of a trace of an hour of 1080p, read as the worker does.

The hour is a marked minute again and again: its length is a multiple of the time in which the pictures of a mark come
round, so it is byte for byte what marking the hour would write.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

import numpy as np

from bench.video.process import bare
from bench.video.sources import footage, repeated
from bench.watermark.film import marked
from bench.watermark.marked import KEY, LEAKED, NAMED_FROM, OTHERS
from geniequeue.media import fan_footage, ffmpeg, leak, remake
from geniequeue.media.clip import probe
from geniequeue.sandbox.inside import Limits, Work
from geniequeue.watermark.video import GROUP_S, GROUPS

ASSET = "hour"
PIECE_S = 4 * GROUPS * GROUP_S
MAX_MB = 600
SIZE = 1920, 1080


class Watched:
    """Looks ten times a second at what this process and those below it hold in memory.

    It is the proportional size that counts: a child that was just forked shares what its parent has, and by resident
    size the two are twice as large as they are.
    """

    peak_mb = 0.0

    def __enter__(self) -> Watched:
        self._over, self._looking = Event(), Thread(target=self._look)
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.peak_mb = max(self.peak_mb, held_kb(os.getpid()) / 1024)


def held_kb(pid: int) -> int:
    """Proportional size of a process and all below it; one that has just ended holds nothing."""
    folder = Path(f"/proc/{pid}")
    try:
        own = int(re.findall(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.MULTILINE)[0])
        below = [
            int(child) for task in (folder / "task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (OSError, IndexError):
        return 0
    return own + sum(held_kb(int(child)) for child in below)


def prepare(folder: Path, times: int) -> dict[str, Path]:
    """Write the original, its thumbnails, the copy at crf 28 as it leaked, and the ids of all copies."""
    files = {name: folder / name for name in ("original", "plane", "input", "copies.k", "piece", "copy", "leaked")}
    footage(files["piece"], PIECE_S)
    clip = probe(files["piece"], Limits())
    plan = marked(clip, folder, KEY, ASSET, LEAKED)
    ffmpeg.run(remake.arguments_of(plan, files["copy"]), cwd=folder)
    bare("-i", str(files["copy"]), *("-c:v", "libx264", "-preset", "veryfast", "-crf", "28", "-f", "mp4"),
         str(files["leaked"]))  # fmt: skip
    for source, target in (("piece", "original"), ("leaked", "input")):
        repeated(files[source], files[target], files[source].stat().st_size * times)
    small = fan_footage.thumbnail_size(clip)
    pictures = np.fromfile(folder / "thumbs.gray", np.uint8).reshape(-1, small[1], small[0])
    with files["plane"].open("wb") as file:
        np.savez_compressed(file, pictures=np.tile(pictures, (times, 1, 1)))
    files["copies.k"].write_bytes(np.array([LEAKED, *OTHERS], ">u8").tobytes())
    return {name: files[name] for name in ("original", "plane", "input", "copies.k")}


def traced(inputs: dict[str, Path], folder: Path) -> tuple[float, float, float, float]:
    """Score of the copy, the highest other, seconds, and the most megabytes of this process and its ffmpeg together."""
    params = {"asset": ASSET, "width_px": SIZE[0], "height_px": SIZE[1], "keys": {"k": KEY.hex()}, "thorough": True}
    started = time.monotonic()
    with Watched() as watched:
        facts = leak.trace_leak(Work(inputs, folder, params))[0].facts
    spent_s = time.monotonic() - started
    hits = dict(facts["hits"])
    own = hits.pop(f"{LEAKED:016x}", 0.0)
    return own, max(hits.values(), default=0.0), spent_s, watched.peak_mb


def run(_folder: Path, *, quick: bool = False) -> Iterable[str]:
    """One line."""
    times = 2 if quick else round(3600 / PIECE_S)
    with tempfile.TemporaryDirectory() as name:
        inputs = prepare(Path(name), times)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            own, other, spent_s, peak_mb = pool.submit(traced, inputs, Path(name)).result()
    verdict = "ok" if own >= NAMED_FROM and peak_mb <= MAX_MB else "MISSED"
    yield (
        f"  {times * PIECE_S / 60:.0f} minutes of 1080p, leaked at crf 28: z {own:.1f}, highest other {other:.1f}, "
        f"{spent_s:.0f} s, {peak_mb:.0f} MB (aim {MAX_MB})  {verdict}"
    )
