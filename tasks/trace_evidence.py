"""The evidence of a trace: the files that its job leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geniequeue.jobs.finish import now_iso
from geniequeue.marks.answer import Accused, Reading
from geniequeue.marks.evidence import sha256_of_issue, signed_bundle
from geniequeue.sandbox.inside import Output
from tasks.outputs import sha256_of
from tasks.trace_looks import Looks

BUNDLE = "evidence.json"
PICTURE_PX = (1640, 666)


def evidence(
    looks: Looks, seed: bytes, answer: Mapping[str, Any], readings: Sequence[Reading], named: Sequence[Accused]
) -> tuple[Output, ...]:
    """Write the signed bundle; return it, and the picture of the asset that the answer tells the registration of."""
    path = looks.pictures.get(str(answer["asset_file_id"]))
    claims = {
        **_claims(looks, answer, readings, named),
        "picture_sha256": sha256_of(path) if path is not None else None,
    }
    (looks.out_dir / BUNDLE).write_bytes(signed_bundle(claims, seed))
    bundle = Output(BUNDLE, "application/json", None, None, role="evidence", facts=looks.facts)
    if path is None:
        return (bundle,)
    return bundle, Output(path.name, "image/png", *PICTURE_PX, role="evidence_picture")


def _claims(
    looks: Looks, answer: Mapping[str, Any], readings: Sequence[Reading], named: Sequence[Accused]
) -> dict[str, Any]:
    spec = looks.attempt.run.spec
    return {
        "made_at": now_iso(),
        "job_id": spec.job_id,
        "asked_by": spec.owner_id,
        "leak": {
            "file_id": spec.input_file_id,
            "sha256": sha256_of(looks.leak),
            "size_bytes": looks.leak.stat().st_size,
        },
        "originals": [_original(looks, each) for each in readings if each.accepted],
        "issues": [
            {"issue_id": issue.id, "job_id": issue.job_id, "sha256": sha256_of_issue(issue)}
            for each in named
            for issue in each.chain
            if looks.scope in (None, issue.owner_id)
        ],
        "answer": answer,
    }


def _original(looks: Looks, reading: Reading) -> dict[str, Any]:
    """Say what the leak was laid over: of a picture that is the plane, of a video the file itself, too."""
    file_id = reading.asset.file_id
    return {
        "file_id": file_id,
        "plane_sha256": reading.asset.plane_sha256,
        "sha256": looks.originals.get(file_id),
        "copies": reading.copies,
    }
