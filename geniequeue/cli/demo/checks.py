"""Check every output from outside: by its bytes, by exiftool, and by what a second decoder run found it to be."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geniequeue.cli.demo.steps import FILM, RETRY, STEPS, Done

Facts = Mapping[str, Any]
Size = tuple[int, int]

EXIFTOOL_TIMEOUT_S = 30
SAME_DURATION_S = 0.1
PRIVATE_GROUPS = ("GPS", "IFD", "ExifIFD", "Nikon", "Canon", "XMP", "IPTC", "MakerNotes")
PRIVATE_MARKS = {
    "Exif": (b"Exif\0\0", b"eXIf"),
    "XMP": (b"http://ns.adobe.com/xap/", b"XML:com.adobe.xmp"),
    "IPTC": (b"Photoshop 3.0",),
}


def faults_of(done: list[Done], found: Mapping[str, Facts]) -> list[str]:
    """Return what is wrong with the demo's jobs, a sentence each; empty where all is right.

    Args:
        found: by step name what the output was found to be, and as `source` the photograph.
    """
    faults = [f"{each.step.name}: {fault}" for each in done for fault in _faults(each, found)]
    if len(done) != len(STEPS) + 3:
        faults.append(f"{RETRY.name}: not run")
    return faults


def _faults(done: Done, found: Mapping[str, Facts]) -> Iterator[str]:
    if done.step.fails:
        yield from _failure_faults(done)
        return
    if done.job["state"] != "completed" or done.output is None:
        yield f"expected it to complete, got {done.job['state']}: {done.job['message']}"
        return
    yield from _record_faults(done.job["outputs"][0], done.output)
    if done.step.film:
        yield from _film_faults(done, found[FILM.stem], found[done.step.name])
    else:
        yield from _picture_faults(done, found["source"], found[done.step.name])
    if done.step.name == "strip":
        yield from (f"expected no metadata, got {name}" for name in private_metadata(done.output))
    if done.step.name == "watermark" and done.output.read_bytes() == done.source.read_bytes():
        yield "expected a mark, got the same bytes as before"


def _failure_faults(done: Done) -> Iterator[str]:
    job = done.job
    if (job["state"], job["error"]) != ("failed", "input"):
        yield f"expected it to fail because of the input, got {job['state']} ({job['error']})"
    if len(str(job["message"] or "").split()) < 4:
        yield f"expected a sentence that says why, got {job['message']!r}"
    if job["outputs"]:
        yield "expected no output"
    if done.step is RETRY and job["retry_count"] != 1:
        yield f"expected one retry on record, got {job['retry_count']}"


def _record_faults(record: Facts, output: Path) -> Iterator[str]:
    content = output.read_bytes()
    if record["size_bytes"] != len(content):
        yield f"expected {record['size_bytes']} bytes as on record, got {len(content)}"
    if record["sha256"] != hashlib.sha256(content).hexdigest():
        yield "expected the sha256 on record, got another"


def _picture_faults(done: Done, source: Facts, output: Facts) -> Iterator[str]:
    if not source or not output:
        yield "expected a picture that can be decoded, got none"
        return
    record = done.job["outputs"][0]
    size, recorded = size_of(output), (record["width_px"], record["height_px"])
    if size != recorded:
        yield f"expected the size on record {recorded}, got {size}"
    if not _as_asked(done.step.operation, done.step.params, size_of(source), size):
        yield f"expected {done.step.operation} with {dict(done.step.params)}, got {size} from {size_of(source)}"
    wanted = done.step.params.get("format")
    if wanted is not None and output["format_in"] != wanted:
        yield f"expected {wanted}, got {output['format_in']}"


def _film_faults(done: Done, source: Facts, output: Facts) -> Iterator[str]:
    record = done.job["outputs"][0]
    if not size_of(source) == size_of(output) == (record["width_px"], record["height_px"]):
        yield f"expected {size_of(source)} as it was sent, got {size_of(output)}"
    wanted_s = done.step.params["duration"]
    if abs(output["duration_in_s"] - wanted_s) > SAME_DURATION_S:
        yield f"expected a video of {wanted_s} s, got one of {output['duration_in_s']}"
    if output["sound_in"] != "aac":
        yield f"expected sound, got {output['sound_in']}"


def size_of(facts: Facts) -> Size:
    """Return width and height in pixels."""
    return int(facts["width_in_px"]), int(facts["height_in_px"])


def _as_asked(operation: str, params: Facts, source: Size, size: Size) -> bool:
    width_px, height_px = size
    if operation == "crop_image":
        across, down = str(params["aspect"]).split(":")
        fills = width_px == source[0] or height_px == source[1]
        return fills and abs(width_px * int(down) - height_px * int(across)) <= max(int(across), int(down))
    if operation == "resize_image":
        wanted = min(int(params["width"]), source[0])
        return width_px == wanted and abs(height_px - source[1] * wanted / source[0]) <= 1
    return size == source


def metadata_marks(path: Path) -> list[str]:
    """Return the kinds of private metadata whose marks stand in a file; nothing in it is decoded."""
    content = path.read_bytes()
    return [name for name, marks in PRIVATE_MARKS.items() if any(mark in content for mark in marks)]


def private_metadata(path: Path) -> list[str]:
    """Return the names of metadata that could tell who took a picture, where, and with what."""
    found = metadata_marks(path)
    if shutil.which("exiftool") is None:
        return found
    command = ["exiftool", "-a", "-G1", "-j", str(path.resolve())]
    shown = subprocess.run(command, capture_output=True, timeout=EXIFTOOL_TIMEOUT_S, check=True).stdout
    return found + [name for name in json.loads(shown)[0] if name.startswith(PRIVATE_GROUPS)]
