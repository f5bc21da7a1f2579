"""The search of a trace that names no asset; what the sandbox would say is said by the test."""

from __future__ import annotations

import uuid
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from geniequeue.keys import MarkKeys
from geniequeue.marks.assets import Asset, Assets
from geniequeue.marks.evidence import original_with, verify
from geniequeue.marks.issues import ISSUES
from geniequeue.sandbox.inside import Output
from geniequeue.sandbox.result import SandboxResult
from tests.tasks.test_trace_looks import CURRENT, Case

if TYPE_CHECKING:
    from geniequeue.marks.answer import Reading
    from tasks.trace_looks import Looks

SEEN = {"accepted": False, "looks": 1, "correlation": 0.1}


def kept(case: Case, **given: Any) -> Asset:
    """Put an asset on record, with its plane and a copy."""
    asset = replace(case.asset, file_id=str(uuid.uuid4()), plane_file_id=str(uuid.uuid4()), **given)
    upload(case, asset.plane_file_id)
    case.records.create_items(ISSUES, [case.row(CURRENT, asset_file_id=asset.file_id)])
    return Assets(case.records).record(asset)


def upload(case: Case, file_id: str) -> None:
    source = case.folder / "plane.png"
    source.write_bytes(b"plane")
    case.records.upload(source, file_id=file_id, filename="plane.png", mime="image/png", owner_id=case.owner_id)


def search(looks: Looks, monkeypatch: pytest.MonkeyPatch, **bits: str) -> list[Reading]:
    """Search as the task does, where a picture has leaked that lies on nothing; `bits` is what is read in it."""
    from tasks.tracing import _of_unknown

    say(monkeypatch, **bits)
    return _of_unknown(looks)[0]


def run_at(looks: Looks, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Look at one asset, of which the sandbox says `SEEN`."""
    say(monkeypatch)
    return looks.at(asset, (0.0, 1.0))


def say(monkeypatch: pytest.MonkeyPatch, **bits: str) -> None:
    """Let the sandbox say that a leak lies as `SEEN` tells, and which bits are in it."""
    from tasks import trace_looks

    def run(_attempt: Any, function: str, _inputs: Any, *, out_dir: Path, **_: Any) -> SandboxResult:
        laid = {"registration": SEEN, "hits": [], "plane_sha256": "00" * 32}
        facts = {"kind": "picture", **(bits if function == trace_looks.READ_BITS else laid)}
        (out_dir / "reading").touch()
        return SandboxResult((Output("reading", "text/plain", None, None, role="reading", facts=facts),), 1, 0.1, 0.1)

    monkeypatch.setattr(trace_looks, "run_in_sandbox", run)


def test_the_picture_that_a_marked_videos_bits_are_in_is_not_laid_over_the_video(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video, picture = kept(case, kind="video"), kept(case)
    [row] = case.records.list_items(ISSUES, {"asset_file_id": video.file_id})
    readings = search(case.looks(), monkeypatch, payload=row["payload"])
    assert [each.asset for each in readings if each.copies] == [picture]


def test_an_asset_that_is_lost_is_noted_and_the_search_goes_on(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there, gone, changed = kept(case), kept(case), kept(case, plane_sha256="11" * 32)
    case.records.delete_file(gone.plane_file_id)
    looks = case.looks()
    readings = search(looks, monkeypatch)
    assert [each.asset for each in readings if each.copies] == [there]
    assert sorted(looks.lost) == sorted([gone.file_id, changed.file_id])


def test_without_any_key_the_search_tells_which_keys_are_missing(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept(case)
    case.services = replace(case.services, settings=replace(case.services.settings, mark_keys=MarkKeys()))
    looks = case.looks()
    search(looks, monkeypatch)
    assert looks.unknown_keys == {CURRENT.id}


def test_an_asset_that_somebody_else_marked_first_is_searched_too(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared, foreign = (kept(case, owner_id=str(uuid.uuid4())) for _ in range(2))
    [row] = case.records.list_items(ISSUES, {"asset_file_id": foreign.file_id})
    case.records.update_item(ISSUES, row["id"], {"owner_id": foreign.owner_id})
    assert [each.asset for each in search(case.looks(), monkeypatch)] == [shared]


def test_the_evidence_of_a_video_binds_the_file_that_the_leak_was_laid_over(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks.trace_evidence import evidence

    monkeypatch.setitem(SEEN, "accepted", True)
    video = kept(case, kind="video")
    upload(case, video.file_id)
    looks = case.looks()
    looks.out_dir.mkdir()
    looks.leak.write_bytes(b"leak")
    readings = [run_at(looks, video, monkeypatch)]
    evidence(looks, b"e" * 32, {"asset_file_id": video.file_id}, readings, [])
    claims = verify((looks.out_dir / "evidence.json").read_bytes()).claims
    assert claims["originals"] == [
        {"file_id": video.file_id, "plane_sha256": "00" * 32, "sha256": sha256(b"plane").hexdigest(), "copies": 1}
    ]
    assert original_with(claims, sha256(b"plane").hexdigest()) == video.file_id
