"""Videos that are made part by part, so that a 4K source is open once at a time: each open one holds 200 MB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geniequeue.media import encoding, ffmpeg, footage, remake
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.media.progress import Progress
from geniequeue.media.remake import Plan
from geniequeue.sandbox.inside import Output, Work

# Putting the parts together copies the pictures, and is over in no time.
_PARTS_MADE = 0.88
_LIST = "parts.txt"


def joined(
    work: Work, whole: Plan, parts: Sequence[tuple[Plan, Source]], progress: Progress, *, facts: Mapping[str, Any]
) -> Output:
    """Make each part with the settings of the whole, put them one after the other, and prove the result.

    Args:
        whole: its inputs are those of the sound alone, behind the parts, which are input 0; its graph makes the sound.
    """
    made = make_parts(work, parts, progress, until=_PARTS_MADE)
    path, listed = work.out_dir / remake.NAME, work.out_dir / _LIST
    lengths = [plan.duration_s for plan, _ in parts]
    rows = [f"file '{part.name}'\nduration {length_s:.6f}\n" for part, length_s in zip(made, lengths, strict=True)]
    listed.write_text("ffconcat version 1.0\n" + "".join(rows))
    arguments = [
        # The list and the parts are our own, and so are their names.
        *("-f", "concat", "-format_whitelist", f"concat,{footage.MP4.demuxer}"),
        *("-protocol_whitelist", "file", "-i", f"file:{listed}"),
        *whole.inputs,
        *(("-filter_complex", whole.graph) if whole.sound_map else ()),
        *("-map", "0:v:0", "-c:v", "copy"),
        *(("-map", whole.sound_map) if whole.sound_map else ()),
        *whole.sound,
        *encoding.container_arguments(),
        f"file:{path}",
    ]
    try:
        ffmpeg.run(arguments, cwd=work.out_dir, on_time=progress.part(_PARTS_MADE, remake.MADE, whole.duration_s))
    except FfmpegFailed as error:
        raise remake.blamed([source for _, source in parts], work.out_dir) from error
    finally:
        for each in (*made, listed):
            each.unlink(missing_ok=True)
    return remake.proved(path, whole, [source for _, source in parts], progress, facts=facts)


def make_parts(work: Work, parts: Sequence[tuple[Plan, Source]], progress: Progress, *, until: float) -> list[Path]:
    """Make the parts one after the other and return their files; they take the work to the share `until`."""
    total_s, done_s, made = sum(plan.duration_s for plan, _ in parts), 0.0, []
    on_time = progress.part(remake.PROBED, until, total_s)

    def told(seconds: float) -> None:
        on_time(done_s + seconds)

    for number, (plan, source) in enumerate(parts):
        made.append(work.out_dir / f"part-{number}.mp4")
        remake.make(plan, made[-1], [source], told)
        done_s += plan.duration_s
    return made
