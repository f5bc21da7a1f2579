"""Time video operations: the whole job-side step against bare ffmpeg, and moviepy's loop over frames beside it.

The step is `Sandbox.run`: probe, encode, decode what was made to its last frame, answer. The peer is the same ffmpeg
with the same filters and encoder settings and nothing else: no probe, no proof. moviepy does what its documentation
shows. Runs are interleaved, figures are medians, the ratios count; peak memory is that of the largest process.

    python bench/video.py [--rounds 5] [--seconds 20] [--only resize,strip] [--presets] [--no-moviepy]
    python bench/video.py --strip-mb 1000      strip and a cut on a key frame against `cp`

The source is a photograph in motion with sound: 1080p, 30 frames a second.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geniequeue.media import ffmpeg
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits

MAX_RATIO, MAX_MEMORY_RATIO = 1.05, 1.05
MAX_COPY_RATIO, MAX_COPY_MIB = 1.2, 150
TEXT = "@creator"
ENCODER = ("-c:v", "libx264", "-preset", "medium", "-rc-lookahead", "20", "-refs", "2", "-profile:v", "high")
DELIVERED = ("-pix_fmt", "yuv420p", "-movflags", "+faststart")
PRESETS = ("superfast", "veryfast", "faster", "fast", "medium", "slow")


@dataclass(frozen=True)
class Figure:
    """What one run took."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Case:
    """One operation and what its peers do instead: arguments of ffmpeg, a script for moviepy."""

    name: str
    operation: str
    params: Mapping[str, Any]
    bare: Sequence[str]
    moviepy: str


SCALE = "flags=lanczos+accurate_rnd"
TEASER = (
    "[0:v]trim=0:3.667,setpts=PTS-STARTPTS,fps=30[a];[0:v]trim=6.67:10.33,setpts=PTS-STARTPTS,fps=30[b];"
    "[0:v]trim=13.3:17,setpts=PTS-STARTPTS,fps=30[c];[a][b]xfade=duration=0.5:offset=3.167[x];"
    "[x][c]xfade=duration=0.5:offset=6.333[v]"
)
CASES = (
    Case(
        "resize",
        "resize_video",
        {"resolution": "720p"},
        ("-vf", f"scale=1280:720:{SCALE}", *ENCODER, "-crf", "20", "-c:a", "copy"),
        "clip.resized(height=720)",
    ),
    Case(
        "crop",
        "crop_video",
        {"aspect": "4:5"},
        ("-vf", "crop=864:1080:528:0", *ENCODER, "-crf", "20", "-c:a", "copy"),
        "clip.cropped(x1=528, y1=0, width=864, height=1080)",
    ),
    Case(
        "compress",
        "compress_video",
        {"crf": 28},
        (*ENCODER, "-crf", "28", "-c:a", "copy"),
        "clip",
    ),
    Case(
        "watermark",
        "apply_watermark",
        {"watermark_text": TEXT},
        ("-i", "MARK", "-filter_complex", "overlay=W-w-20:H-h-20", *ENCODER, "-crf", "20", "-c:a", "copy"),
        "CompositeVideoClip([clip, ImageClip('MARK').with_duration(clip.duration).with_position((1600, 1000))])",
    ),
    Case(
        "teaser",
        "create_teaser",
        {"duration": 10, "clips": 3},
        ("-filter_complex", TEASER, "-map", "[v]", "-an", *ENCODER, "-crf", "20"),
        "concatenate_videoclips([clip.subclipped(s, s + 3.667) for s in (0, 6.67, 13.3)])",
    ),
)
MOVIEPY = """
import sys
from moviepy import CompositeVideoClip, ImageClip, VideoFileClip, concatenate_videoclips
with VideoFileClip(sys.argv[1]) as clip:
    made = {expression}
    made.write_videofile(sys.argv[2], codec="libx264", preset="medium", audio_codec="aac", logger=None,
                         ffmpeg_params=["-crf", "{crf}", "-pix_fmt", "yuv420p"])
"""


def run(command: Sequence[str]) -> Figure:
    """Run a program and say what it and its children took."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    complaints = process.stderr.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(complaints.decode(errors="replace")[-2000:])
    return Figure(time.perf_counter() - began, usage.ru_maxrss / 1024)


def bare(*arguments: str) -> list[str]:
    """Return the command of a bare ffmpeg with as many threads as the job has."""
    threads = str(ffmpeg.threads())
    return [
        ffmpeg.binary(),
        "-nostdin",
        "-y",
        "-v",
        "error",
        "-filter_threads",
        threads,
        "-threads",
        threads,
        *arguments,
    ]


def footage(picture: Path, target: Path, seconds: float) -> None:
    """Pan over a photograph, 1080p at 30 frames a second, with sound."""
    pan = "x='(iw-1920)*(0.5+0.5*sin(t/3))':y='(ih-1080)*(0.5+0.5*cos(t/4))'"
    run(
        bare(
            *("-loop", "1", "-framerate", "30", "-t", str(seconds), "-i", str(picture)),
            *("-f", "lavfi", "-i", f"sine=440:d={seconds}"),
            *("-vf", f"scale=2880:-2,crop=1920:1080:{pan},format=yuv420p"),
            *("-c:v", "libx264", "-preset", "fast", "-crf", "16", "-g", "60", "-c:a", "aac", "-f", "mp4", str(target)),
        )
    )


class Bench:
    """One sandbox and its folder."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.source = sandbox.root / "input"
        self.out_dir = sandbox.root / "out"
        self.out_dir.mkdir()

    def step(self, name: str, params: Mapping[str, Any]) -> Figure:
        """Run one operation as a job does."""
        operation = OPERATIONS[name]
        result = self.sandbox.run(
            operation.function,
            inputs={"input": self.source},
            out_dir=self.out_dir,
            params=operation.load_params(params),
            limits=Limits(),
            timeout_s=operation.time_limit_s,
            should_stop=lambda: False,
            on_progress=lambda _share: None,
        )
        return Figure(result.wall_s, result.peak_memory_bytes / (1 << 20))

    def case(self, case: Case, rounds: int, *, moviepy: bool) -> str:
        """Run one case and its peers in turn and describe the medians."""
        target, mark = str(self.sandbox.root / "peer.mp4"), str(self.sandbox.root / "mark.png")
        run(bare("-f", "lavfi", "-i", "color=white@0.7:s=288x60,format=rgba", "-frames:v", "1", mark))
        own = [mark if part == "MARK" else part for part in case.bare]
        extra = own[:2] if own[0] == "-i" else []
        peer = bare("-i", str(self.source), *extra, *own[len(extra) :], *DELIVERED, target)
        ours, bares, loops = [], [], []
        for turn in range(rounds):
            ours.append(self.step(case.operation, case.params))
            bares.append(run(peer))
            if moviepy and turn == 0:
                loops.append(self._moviepy(case, target, mark))
        return describe(case.name, ours, bares, loops)

    def _moviepy(self, case: Case, target: str, mark: str) -> Figure:
        script = MOVIEPY.format(
            expression=case.moviepy.replace("MARK", mark), crf=28 if case.name == "compress" else 20
        )
        named = self.source.with_suffix(".mp4")
        named.unlink(missing_ok=True)
        named.hardlink_to(self.source)
        try:
            return run([sys.executable, "-c", script, str(named), target])
        finally:
            named.unlink()

    def copies(self, megabytes: int) -> None:
        """Strip and cut a large file by copying, against `cp`."""
        size = self.source.stat().st_size
        listed = self.sandbox.root / "list.txt"
        listed.write_text("file 'input'\n" * max(1, round(megabytes * 1e6 / size)))
        large = self.sandbox.root / "large"
        run(bare("-f", "concat", "-i", str(listed), "-c", "copy", "-movflags", "+faststart", "-f", "mp4", str(large)))
        large.rename(self.source)
        print(f"{self.source.stat().st_size / 1e6:.0f} MB")
        for name, params in (("strip_metadata", {}), ("trim_videos", {"start": 4})):
            ours, copied = [], []
            for _ in range(3):
                copied.append(run(["cp", str(self.source), str(self.sandbox.root / "copy")]))
                ours.append(self.step(name, params))
            job, copy = statistics.median(f.seconds for f in ours), statistics.median(f.seconds for f in copied)
            peak = max(figure.peak_mib for figure in ours)
            good = job / copy <= MAX_COPY_RATIO and peak <= MAX_COPY_MIB
            print(
                f"{name:<15} job {job:6.2f} s  cp {copy:6.2f} s  ratio {job / copy:5.2f} (max {MAX_COPY_RATIO})  "
                f"peak {peak:4.0f} MiB (max {MAX_COPY_MIB})  {'ok' if good else 'MISSED'}",
                flush=True,
            )

    def presets(self) -> None:
        """Time every preset at crf 28, with size and VMAF."""
        for preset in PRESETS:
            figure = self.step("compress_video", {"crf": 28, "preset": preset})
            made = self.out_dir / "output.mp4"
            graph = "[0:v]settb=AVTB,setpts=N[a];[1:v]settb=AVTB,setpts=N[b];[a][b]libvmaf=n_threads=2"
            command = [
                ffmpeg.binary(),
                "-nostdin",
                "-i",
                str(made),
                "-i",
                str(self.source),
                "-lavfi",
                graph,
                "-f",
                "null",
                "-",
            ]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
            score = re.search(r"VMAF score: ([\d.]+)", told)
            print(
                f"{preset:<10} {figure.seconds:6.1f} s  {made.stat().st_size / 1e6:6.2f} MB  "
                f"VMAF {score[1] if score else '?'}  peak {figure.peak_mib:4.0f} MiB",
                flush=True,
            )


def describe(name: str, ours: Sequence[Figure], bares: Sequence[Figure], loops: Sequence[Figure]) -> str:
    def median(figures: Sequence[Figure], of: Callable[[Figure], float]) -> float:
        return statistics.median(map(of, figures))

    job, peer = median(ours, lambda f: f.seconds), median(bares, lambda f: f.seconds)
    memory, peer_memory = median(ours, lambda f: f.peak_mib), median(bares, lambda f: f.peak_mib)
    good = job / peer <= MAX_RATIO and memory / peer_memory <= MAX_MEMORY_RATIO
    beside = f"moviepy {loops[0].seconds / peer:4.2f}×, {loops[0].peak_mib / peer_memory:4.2f}×  " if loops else ""
    return (
        f"{name:<10} job {job:6.2f} s  bare ffmpeg {peer:6.2f} s  ratio {job / peer:5.3f} (max {MAX_RATIO})  "
        f"peak {memory:4.0f} MiB  bare {peer_memory:4.0f} MiB  ratio {memory / peer_memory:5.3f} "
        f"(max {MAX_MEMORY_RATIO})  "
        f"{beside}{'ok' if good else 'MISSED'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--presets", action="store_true")
    parser.add_argument("--no-moviepy", action="store_true")
    parser.add_argument("--strip-mb", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path(__file__).parent.parent / "samples" / "otter.jpg")
    arguments = parser.parse_args()
    only = set(filter(None, arguments.only.split(",")))
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        bench = Bench(sandbox)
        footage(arguments.picture, bench.source, arguments.seconds)
        print(
            f"1080p30, {arguments.seconds:g} s, {bench.source.stat().st_size / 1e6:.1f} MB, {arguments.rounds} rounds"
        )
        if arguments.strip_mb:
            bench.copies(arguments.strip_mb)
            return
        for case in CASES:
            if not only or case.name in only:
                print(bench.case(case, arguments.rounds, moviepy=not arguments.no_moviepy), flush=True)
        if arguments.presets:
            bench.presets()


if __name__ == "__main__":
    main()
