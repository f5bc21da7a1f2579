"""What a trace does inside the sandbox: read the bits of a leak, or lay it over one asset and score the asset's copies.

Pictures are read here, videos by `footage_leak`.

Neither function learns whose copies these are, nor how they are judged: a score is a number, and who may be named by it
is decided outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from geniequeue.errors import InputError
from geniequeue.media import footage, footage_leak, leak_picture, pixels
from geniequeue.media.decode import blamed_on, load
from geniequeue.media.fan_kept import plane_kept, sha256_of
from geniequeue.media.leak_scores import hits_of, shown
from geniequeue.sandbox.inside import Output, Work
from geniequeue.watermark.blind import read_blind
from geniequeue.watermark.plane import luma_of
from geniequeue.watermark.reading import chips_of, lay, reference

LONGEST_PX = 4096
LEAST_SIDE_PX = 16
"""Below, there is no room for a mark, and the filters have none either."""


def read_bits(work: Work) -> list[Output]:
    """Read the bits of a mark without knowing the asset; `keys` are derived keys by their ids.

    Returns: one file, whose facts say `key_id` and `payload`, 12 hex digits, or neither, and what the leak is.
    """
    if footage.is_footage(work.inputs["input"]):
        return told(work, footage_leak.read_bits(work))
    rgb, facts = _leak(work)
    luma = luma_of(rgb)
    if min(luma.shape) >= LEAST_SIDE_PX:
        for number, (key_id, key) in enumerate(work.params["keys"].items()):
            found = read_blind(luma, bytes.fromhex(key))
            if found is not None:
                return told(work, {**facts, "key_id": key_id, "payload": f"{found.payload:012x}"})
            work.report((number + 1) / len(work.params["keys"]))
    return told(work, facts)


def trace_leak(work: Work) -> list[Output]:
    """Register the leak to an asset and score the asset's copies.

    Inputs: `input`, `plane`, for a video its `original`, and `copies.<key id>` for each of `keys`: see `hits_of`.
    Params: `asset`, its `width_px` and `height_px`, `keys` as above, `thorough`.

    Returns: one file, whose facts say `registration`, and as `hits` pairs of trace id and score; and, where the leak
    was registered, a picture of the two.
    """
    if footage.is_footage(work.inputs["input"]):
        facts, picture = footage_leak.trace(work)
        return told(work, facts) + ([picture] if picture else [])
    if "original" in work.inputs:
        raise InputError("expected a video, for the asset is one; got a picture", reason="type_not_allowed")
    rgb, facts = _leak(work)
    leak = luma_of(rgb).astype(np.float32)
    plane = plane_kept(work)
    facts["plane_sha256"] = sha256_of(plane)
    if min(leak.shape) < LEAST_SIDE_PX:
        return told(work, {**facts, "registration": None, "hits": []})
    original = reference(plane, (work.params["width_px"], work.params["height_px"]))
    laid = lay(original, leak, thorough=work.params["thorough"])
    work.report(0.7)
    hits: list[list[Any]] = []
    keys: Mapping[str, str] = work.params["keys"] if laid.registration.accepted else {}
    for number, (key_id, key) in enumerate(keys.items()):
        secret, asset = bytes.fromhex(key), str(work.params["asset"])
        chips = chips_of(original, laid, secret, asset)
        hits += hits_of(chips, secret, asset, work.inputs[f"copies.{key_id}"])
        work.report(0.7 + 0.3 * (number + 1) / len(keys))
    outputs = told(work, {**facts, "registration": shown(laid.registration), "hits": hits})
    if laid.registration.accepted:
        outputs.append(leak_picture.draw(work.out_dir, rgb, plane, laid.registration))
    return outputs


def _leak(work: Work) -> tuple[pixels.Bytes, dict[str, Any]]:
    """Decode the leak: (H, W, 3) uint8, at most 4096 pixels a side, and what it is."""
    path = work.inputs["input"]
    picture = load(path, work.limits, shrink_to=_fitted, animated=False)
    with blamed_on(path):
        return pixels.rgb_of(picture.image), {**picture.facts, "kind": "picture"}


def _fitted(width_px: int, height_px: int) -> tuple[int, int]:
    share = min(1.0, LONGEST_PX / max(width_px, height_px))
    return max(1, round(width_px * share)), max(1, round(height_px * share))


def told(work: Work, facts: Mapping[str, Any]) -> list[Output]:
    """Say facts; an output is a file, so there is an empty one."""
    (work.out_dir / "reading").touch()
    return [Output("reading", "application/octet-stream", None, None, role="reading", facts=facts)]
