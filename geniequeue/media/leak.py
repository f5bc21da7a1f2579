"""What a trace does inside the sandbox: read the bits of a leak, or lay it over one asset and score the asset's copies.

Neither function learns whose copies these are, nor how they are judged: a score is a number, and who may be named by it
is decided outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geniequeue.errors import InputError, ToolError
from geniequeue.media import footage, leak_picture, pixels
from geniequeue.media.decode import blamed_on, load
from geniequeue.sandbox.inside import Output, Work
from geniequeue.watermark.blind import read_blind
from geniequeue.watermark.plane import luma_of
from geniequeue.watermark.reading import Registration, read, reference
from geniequeue.watermark.scoring import scores

LONGEST_PX = 4096
LEAST_SIDE_PX = 16
"""Below, there is no room for a mark, and the filters have none either."""
FLOOR = 5.0
"""Scores below this are not told: no trace may ever name a copy by one (the threshold of a single copy is 6.4)."""
MOST_HITS = 1000


def read_bits(work: Work) -> list[Output]:
    """Read the bits of a mark without knowing the asset; `keys` are derived keys by their ids.

    Returns: one file, whose facts say `key_id` and `payload`, 12 hex digits, or neither, and what the leak is.
    """
    rgb, facts = _leak(work)
    luma = luma_of(rgb)
    if min(luma.shape) >= LEAST_SIDE_PX:
        for number, (key_id, key) in enumerate(work.params["keys"].items()):
            found = read_blind(luma, bytes.fromhex(key))
            if found is not None:
                return _told(work, {**facts, "key_id": key_id, "payload": f"{found.payload:012x}"})
            work.report((number + 1) / len(work.params["keys"]))
    return _told(work, facts)


def trace_leak(work: Work) -> list[Output]:
    """Register the leak to an asset and score the asset's copies.

    Inputs: `input`, `plane`, and `copies.<key id>` for each of `keys`: trace ids, eight bytes each, the highest first.
    Params: `asset`, its `width_px` and `height_px`, `keys` as above, `thorough`.

    Returns: one file, whose facts say `registration`, and as `hits` pairs of trace id and score; and, where the leak
    was registered, a picture of the two.
    """
    rgb, facts = _leak(work)
    leak = luma_of(rgb).astype(np.float32)
    plane = _plane(work)
    facts["plane_sha256"] = hashlib.sha256(plane.tobytes()).hexdigest()
    if min(leak.shape) < LEAST_SIDE_PX:
        return _told(work, {**facts, "registration": None, "hits": []})
    original = reference(plane, (work.params["width_px"], work.params["height_px"]))
    hits: list[list[Any]] = []
    registration: Registration | None = None
    keys: Mapping[str, str] = work.params["keys"]
    for number, (key_id, key) in enumerate(keys.items()):
        secret, asset = bytes.fromhex(key), str(work.params["asset"])
        reading = read(original, leak, secret, asset, thorough=work.params["thorough"])
        work.report((number + 0.7) / len(keys))
        registration = reading.registration
        if registration.accepted:
            trace_ids = _trace_ids(work.inputs[f"copies.{key_id}"])
            hits += _hits(scores(reading.chips, secret, asset, trace_ids), trace_ids)
    facts = {**facts, "registration": _shown(registration), "hits": hits}
    outputs = _told(work, facts)
    if registration is not None and registration.accepted:
        outputs.append(leak_picture.draw(work.out_dir, rgb, plane, registration))
    return outputs


def _leak(work: Work) -> tuple[pixels.Bytes, dict[str, Any]]:
    """Decode the leak: (H, W, 3) uint8, at most 4096 pixels a side, and what it is."""
    path = work.inputs["input"]
    if footage.is_footage(path):
        raise InputError(
            "expected a picture, got a video or a sound; this version traces pictures only: send a still of it",
            reason="type_not_allowed",
        )
    picture = load(path, work.limits, shrink_to=_fitted, animated=False)
    with blamed_on(path):
        return pixels.rgb_of(picture.image), dict(picture.facts)


def _fitted(width_px: int, height_px: int) -> tuple[int, int]:
    share = min(1.0, LONGEST_PX / max(width_px, height_px))
    return max(1, round(width_px * share)), max(1, round(height_px * share))


def _plane(work: Work) -> pixels.Bytes:
    """Decode the asset's luma: (h, w) uint8."""
    image = load(work.inputs["plane"], work.limits, animated=False).image
    if image.bands != 1 or image.format != "uchar":
        raise ToolError("what is kept of the asset is not what it was; its operators have to look", reason="plane")
    return np.ascontiguousarray(image.numpy()).reshape(image.height, image.width)


def _trace_ids(path: Path) -> NDArray[np.uint64]:
    return np.fromfile(path, ">u8").astype(np.uint64)


def _hits(found: NDArray[np.float32], trace_ids: NDArray[np.uint64]) -> list[list[Any]]:
    best = np.argsort(-found, kind="stable")[:MOST_HITS]
    return [[f"{int(trace_ids[at]):016x}", float(found[at])] for at in best if found[at] >= FLOOR]


def _shown(registration: Registration | None) -> dict[str, Any] | None:
    if registration is None:
        return None
    return {
        "accepted": bool(registration.accepted),
        "kind": str(registration.kind),
        "matrix": [[float(value) for value in row] for row in registration.matrix],
        "overlap": float(registration.overlap),
        "correlation": float(registration.correlation),
        "mirrored": bool(registration.mirrored),
        "looks": int(registration.looks),
    }


def _told(work: Work, facts: Mapping[str, Any]) -> list[Output]:
    """Say facts; an output is a file, so there is an empty one."""
    (work.out_dir / "reading").touch()
    return [Output("reading", "application/octet-stream", None, None, role="reading", facts=facts)]
