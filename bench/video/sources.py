"""What the videos are made of: a photograph in motion with sound, as test bars would flatter every encoder."""

from __future__ import annotations

from pathlib import Path

from bench.video.process import bare

PICTURE = Path(__file__).resolve().parents[2] / "samples" / "otter.jpg"
RATE = 30


def footage(target: Path, seconds: float, size: tuple[int, int] = (1920, 1080)) -> None:
    """Pan over the photograph, 30 frames a second, with grain as cameras have it, and a tone."""
    wide, high = size
    pan = "x='(iw-ow)*(0.5+0.5*sin(t/3))':y='(ih-oh)*(0.5+0.5*cos(t/4))'"
    bare(
        *("-loop", "1", "-framerate", str(RATE), "-t", str(seconds), "-i", str(PICTURE)),
        *("-f", "lavfi", "-i", f"sine=440:d={seconds}"),
        *("-vf", f"scale={wide * 3 // 2}:-2:out_range=tv,crop={wide}:{high}:{pan},noise=alls=3:allf=t,format=yuv420p"),
        *("-c:v", "libx264", "-preset", "superfast", "-crf", "18", "-g", "60", "-c:a", "aac"),
        *("-movflags", "+faststart", "-f", "mp4", str(target)),
    )


def repeated(source: Path, target: Path, size_bytes: int) -> None:
    """Write a video that is the source again and again, until it is as large as wanted."""
    listed = target.with_suffix(".txt")
    times = max(1, round(size_bytes / source.stat().st_size))
    listed.write_text(f"file '{source}'\n" * times)
    bare(
        *("-f", "concat", "-safe", "0", "-i", str(listed), "-c", "copy"),
        *("-movflags", "+faststart", "-f", "mp4", str(target)),
    )
    listed.unlink()
