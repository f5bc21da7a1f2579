"""`geniequeue trace` before anything is sent: wrong usage, and bundles that are none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from geniequeue.cli.trace import print_answer, trace
from geniequeue.keys import written_key
from geniequeue.marks.evidence import public_key_of, signed_bundle

SEED = bytes(range(32))
ANSWER = {
    "verdict": "match",
    "message": "The leak is the copy that is named.",
    "candidates": [
        {
            "fan_id": "[red]Bo[/]",
            "copy_file_id": "copy",
            "issued_at": "2026-11-27T10:00:00.000Z",
            "score": 47.4,
            "false_accusation": 1e-300,
            "chain": [{"fan_id": None}, {"fan_id": "Ada"}, {"fan_id": "[red]Bo[/]"}],
        }
    ],
    "asset_file_id": "asset",
    "copies": 2,
    "looks": 1,
    "threshold": 8.1,
    "traces": 12_001,
    "traces_planned": 10_000,
    "registration": {"accepted": True, "overlap": 0.64, "correlation": 0.9},
    "unknown_keys": ["acfdf5c3"],
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REDIS_URL", "DIRECTUS_SECRET", "EVIDENCE_KEY_B64"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))


def bundle(folder: Path) -> Path:
    path = folder / "evidence.json"
    claims = {"made_at": "now", "leak": {"sha256": "ab", "size_bytes": 1}, "answer": ANSWER}
    path.write_bytes(signed_bundle(claims, SEED))
    return path


def test_neither_a_file_nor_a_bundle_and_both_are_wrong_usage(tmp_path: Path) -> None:
    path = str(bundle(tmp_path))
    assert CliRunner().invoke(trace, []).exit_code == 2
    assert CliRunner().invoke(trace, [path, "--verify", path]).exit_code == 2


def test_a_bundle_is_checked_with_the_key_that_it_brings_and_that_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(trace, ["--verify", str(bundle(tmp_path))])
    assert done.exit_code == 0, done.output
    assert "compare it with the service's own" in done.output
    assert public_key_of(SEED) in done.output


def test_a_bundle_of_a_video_tells_its_original_and_is_checked_against_that_file(tmp_path: Path) -> None:
    video, path = tmp_path / "video.mp4", tmp_path / "evidence.json"
    video.write_bytes(b"video")
    sha256 = hashlib.sha256(b"video").hexdigest()
    originals = [
        {"file_id": "picture", "plane_sha256": "cd", "sha256": None, "copies": 1},
        {"file_id": "video", "plane_sha256": "ef", "sha256": sha256, "copies": 1},
    ]
    claims = {"made_at": "now", "leak": {"sha256": "ab", "size_bytes": 1}, "answer": ANSWER, "originals": originals}
    path.write_bytes(signed_bundle(claims, SEED))
    asked = ["--verify", str(path), "--original", str(video)]
    done = CliRunner().invoke(trace, asked)
    assert done.exit_code == 0, done.output
    assert "picture, plane sha256 cd" in done.output
    assert f"video, sha256 {sha256}" in done.output
    video.write_bytes(b"another")
    done = CliRunner().invoke(trace, asked)
    assert (done.exit_code, "another original" in done.output) == (1, True)
    # a bundle of before the hash was in it says nothing of the file
    assert CliRunner().invoke(trace, ["--verify", str(bundle(tmp_path)), "--original", str(video)]).exit_code == 1
    assert CliRunner().invoke(trace, [str(video), "--original", str(video)]).exit_code == 2


def test_a_bundle_is_checked_with_the_key_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(bundle(tmp_path))
    given = json.loads(CliRunner().invoke(trace, ["--verify", path, "--json", "--key", public_key_of(SEED)]).output)
    assert (given["genuine"], given["trusted"]) == (True, True)
    other = CliRunner().invoke(trace, ["--verify", path, "--key", public_key_of(bytes(32))])
    assert other.exit_code == 1
    for name, value in (("REDIS_URL", "redis://127.0.0.1/0"), ("DIRECTUS_SECRET", "s" * 32)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EVIDENCE_KEY_B64", written_key(SEED))
    assert "signed by this service" in CliRunner().invoke(trace, ["--verify", path]).output


def test_what_is_no_bundle_is_not_genuine(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text("{}")
    done = CliRunner().invoke(trace, ["--verify", str(path)])
    assert done.exit_code == 1
    assert "not genuine" in done.output


def test_an_answer_is_printed_with_its_chain_its_bound_and_missing_keys(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer({"trace": ANSWER, "outputs": [{"role": "evidence", "path": "/evidence.json"}]})
    told = capsys.readouterr().out
    for words in (
        "match",
        "[red]Bo[/] ← Ada ← a copy of another account",
        "by chance",
        "below 1e-300",
        "2 copies on record",
        "64% of asset",
        "acfdf5c3",
        "12001 were made, WATERMARK_TRACES is 10000",
    ):
        assert words in told
