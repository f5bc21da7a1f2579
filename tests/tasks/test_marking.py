"""What marks a copy, and what keeps it back."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from geniequeue.cli.checks_host import key_findings
from geniequeue.config import Settings
from geniequeue.errors import InputError, ToolError, UpstreamError
from geniequeue.keys import MarkKey, MarkKeys
from geniequeue.marks.assets import Asset
from geniequeue.marks.issues import Issue, Issues, draw_trace_id, issue_id_of
from geniequeue.records.embedded import EmbeddedStore
from geniequeue.sandbox.inside import Output
from tests.tasks.test_trace_looks import CURRENT, Case

OLD, NEW = MarkKey(b"o" * 32), MarkKey(b"n" * 32)


def issue(**given: object) -> Issue:
    job_id = str(uuid.uuid4())
    ids = issue_id_of(job_id), draw_trace_id(), "fan", job_id, *(str(uuid.uuid4()) for _ in range(2))
    return replace(Issue(*ids, output_file_id="", key_id=NEW.id, strength=1.0), **given)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _settings_of_the_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of the tasks reads its settings when it is imported."""
    values = {"VAR_DIR": settings.var_dir, "REDIS_URL": settings.redis_url, "DIRECTUS_SECRET": settings.directus_secret}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def test_an_attempt_that_has_drawn_another_id_than_stands_on_record_keeps_its_copy_back(store: EmbeddedStore) -> None:
    from tasks.marking import record

    issues, drawn = Issues(store.as_service()), issue()
    record(issues, drawn, str(uuid.uuid4()))
    with pytest.raises(UpstreamError) as caught:
        record(issues, replace(drawn, trace_id=draw_trace_id()), str(uuid.uuid4()))
    assert caught.value.reason == "issued_otherwise"
    assert issues.of_job(drawn.job_id) is not None
    # one that marks with the id that stands there may go on, and its copy is the one on record
    later = str(uuid.uuid4())
    record(issues, drawn, later)
    standing = issues.of_job(drawn.job_id)
    assert standing is not None
    assert (standing.trace_id, standing.output_file_id) == (drawn.trace_id, later)


def test_a_further_attempt_marks_with_the_key_of_the_first() -> None:
    from tasks.marking import marking_key

    keys = MarkKeys(NEW, (OLD,))
    assert marking_key(keys, None) == NEW
    assert marking_key(keys, issue(key_id=OLD.id)) == OLD


@pytest.mark.parametrize(("keys", "standing"), [(MarkKeys(), None), (MarkKeys(NEW), issue(key_id=OLD.id))])
def test_without_the_key_nothing_is_marked(keys: MarkKeys, standing: Issue | None) -> None:
    from tasks.marking import marking_key

    with pytest.raises(ToolError, match="WATERMARK_KEY_B64") as caught:
        marking_key(keys, standing)
    assert caught.value.reason == "no_watermark_key"


def test_row_66_a_marked_input_is_refused_unless_that_is_allowed() -> None:
    from tasks.marking import Original, refuse_marked

    original = Original("file", Path("input"), "fan", {}, allow_marked=True)
    refuse_marked(original)
    with pytest.raises(InputError) as caught:
        refuse_marked(replace(original, allow_marked=False))
    assert caught.value.reason == "already_marked"


def asset_and_outputs(**facts: object) -> tuple[Asset, Output, Output]:
    """Return an asset of 800 x 600 with the hash `aa`, and what the sandbox says of its plane and of a copy."""
    asset = Asset("asset", "owner", "plane", "aa", 800, 600)
    plane = Output("plane.png", "image/png", 800, 600, role="plane", facts={"kept_sha256": "aa", **facts})
    return asset, plane, Output("copy", "image/png", 800, 600, facts={"width_in_px": 800, "height_in_px": 600})


@pytest.mark.parametrize("known", [False, True])
def test_a_copy_that_was_proved_with_what_is_on_record_may_leave(known: bool) -> None:
    from tasks.marking import check_asset

    asset, plane, copy = asset_and_outputs(sha256="bb")
    check_asset(asset, plane, copy, known=known)
    with pytest.raises(InputError) as caught:
        check_asset(replace(asset, width_px=801), plane, copy, known=known)
    assert caught.value.reason == "asset_changed"


@pytest.mark.parametrize(("known", "reason"), [(False, "asset_kept_otherwise"), (True, "plane_lost")])
def test_a_copy_that_was_proved_with_something_else_is_kept_back(known: bool, reason: str) -> None:
    from tasks.marking import check_asset

    asset, plane, copy = asset_and_outputs(kept_sha256="bb")
    with pytest.raises((UpstreamError, ToolError)) as caught:
        check_asset(asset, plane, copy, known=known)
    assert caught.value.reason == reason


@pytest.mark.parametrize("keep", [False, True])
def test_what_is_marked_is_read_before_for_a_mark_teasers_too(case: Case, keep: bool) -> None:
    from tasks.marking import Original, _for_sandbox

    original = Original("file", Path("input"), "fan", {}, allow_marked=True, keep=keep)
    given = _for_sandbox(case.looks().attempt, original, CURRENT, 1)
    assert given["keys"] == [CURRENT.marking.hex(), OLD.marking.hex()]


def test_doctor_names_missing_keys_and_shows_none(settings: Settings) -> None:
    missing = list(key_findings(settings))
    assert [finding.verdict for finding in missing] == ["problem", "problem"]
    assert "WATERMARK_KEY_B64" in missing[0].found
    [found] = key_findings(replace(settings, mark_keys=MarkKeys(NEW, (OLD,)), evidence_key=b"e" * 32))
    assert (found.verdict, found.found) == ("ok", f"marks are made with {NEW.id}, read with {OLD.id} too")
