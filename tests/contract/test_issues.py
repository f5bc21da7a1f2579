"""Copies on record, in every store: one row per job, a trace id used once, all copies of an asset page by page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from geniequeue.errors import RecordForbidden, RecordNotUnique
from geniequeue.marks import issues as marks
from geniequeue.marks.assets import Asset, Assets
from geniequeue.marks.issues import ISSUES, Issue, Issues, draw_trace_id, issue_id_of
from geniequeue.records.protocol import Records
from tests.accounts import Account
from tests.contract.conftest import new_id


def copy_for(fan_id: str, asset_file_id: str = "", owner_id: str = "", **given: object) -> Issue:
    job_id = new_id()
    made = Issue(
        id=issue_id_of(job_id),
        trace_id=draw_trace_id(),
        fan_id=fan_id,
        job_id=job_id,
        owner_id=owner_id or new_id(),
        asset_file_id=asset_file_id or new_id(),
        output_file_id=new_id(),
        key_id="acfdf5c3",
        strength=1.0,
    )
    return replace(made, **given)  # type: ignore[arg-type]


def test_an_issue_is_found_by_all_that_leads_to_it(service: Records) -> None:
    issues, sent = Issues(service), copy_for("fan 1 ✿", trace_id=0x00AB_0000_0000_FFFF)
    standing = issues.record(sent)
    assert standing == replace(sent, issued_at=standing.issued_at)
    assert standing.issued_at.endswith("Z")
    assert issues.of_job(sent.job_id) == standing
    assert issues.of_output(sent.output_file_id) == standing
    assert issues.of_payload(0x00AB_0000_0000) == standing
    assert issues.of_trace_ids([sent.trace_id, 1]) == [standing]
    assert [issues.of_job(new_id()), issues.of_output(new_id()), issues.of_payload(0x00AB_0000_0001)] == [None] * 3


def test_a_job_issues_one_copy_however_often_it_is_tried(service: Records) -> None:
    issues, first = Issues(service), copy_for("fan")
    standing = issues.record(first)
    again = issues.record(replace(first, output_file_id=new_id()))
    assert again.trace_id == first.trace_id
    assert again.output_file_id != first.output_file_id
    assert again.issued_at == standing.issued_at
    # an attempt that has drawn another id finds the one that stands, and changes nothing
    assert issues.record(replace(first, trace_id=draw_trace_id(), output_file_id=new_id())) == again
    assert service.count_items(ISSUES, {"job_id": first.job_id}) == 1


def test_a_trace_id_is_issued_once(service: Records) -> None:
    issues, first = Issues(service), copy_for("fan")
    issues.record(first)
    with pytest.raises(RecordNotUnique):
        issues.record(copy_for("another fan", trace_id=first.trace_id))
    assert service.count_items(ISSUES, {"trace_id": marks.written(first.trace_id)}) == 1


def test_all_copies_of_an_asset_come_page_by_page_and_nobody_elses(
    service: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "PAGES", (3, 2))
    issues, asset, owner = Issues(service), new_id(), new_id()
    mine = [issues.record(copy_for(f"fan {n}", asset, owner)) for n in range(7)]
    foreign = issues.record(copy_for("somebody else's fan", asset))
    issues.record(copy_for("fan of another asset", "", owner))
    pages = list(issues.copies(asset, owner))
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {trace_id for page in pages for _, trace_id in page} == {each.trace_id for each in mine}
    everybody = {trace_id for page in issues.copies(asset, None) for _, trace_id in page}
    assert everybody == {each.trace_id for each in (*mine, foreign)}
    assert [issues.has_copies(asset, owner), issues.has_copies(asset, new_id())] == [True, False]


def test_a_chain_of_copies_is_followed_both_ways(service: Records) -> None:
    issues = Issues(service)
    first = issues.record(copy_for("first"))
    second = issues.record(copy_for("second", first.output_file_id, parent_id=first.id))
    third = issues.record(copy_for("third", second.output_file_id, parent_id=second.id))
    assert issues.chain_of(third) == [first, second, third]
    assert issues.children_of(first.id) == [second]


def test_an_asset_is_kept_once(service: Records) -> None:
    assets, owner = Assets(service), new_id()
    kept = Asset(new_id(), owner, new_id(), "ab" * 32, 4000, 3000)
    assert assets.get(kept.file_id) is None
    assert assets.record(kept) == kept
    assert assets.record(replace(kept, width_px=17)) == kept
    assert assets.get(kept.file_id) == kept
    other = assets.record(replace(kept, file_id=new_id()))
    listed = [each.file_id for each in assets.newest_first()]
    assert {kept.file_id, other.file_id} <= set(listed)
    assert assets.count() == len(listed)


def test_assets_are_whose_jobs_have_issued_copies_of_them(service: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "PAGES", (3, 2))
    issues, owner, first, second = Issues(service), new_id(), new_id(), new_id()
    for asset in (first, second, second, second, first):
        issues.record(copy_for("fan", asset, owner))
        issues.record(copy_for("somebody else's fan", asset))
    assert sorted(issues.assets_of(owner)) == sorted([first, second])
    assert issues.assets_of(new_id()) == []


def test_nobody_but_the_service_reads_or_writes_issues_and_assets(service: Records, alice: Account) -> None:
    kept = Issues(service).record(copy_for("fan", owner_id=alice.id))
    with pytest.raises(RecordForbidden):
        alice.records.get_item(ISSUES, kept.id)
    with pytest.raises(RecordForbidden):
        alice.records.list_items("watermark_assets")
    with pytest.raises(RecordForbidden):
        alice.records.create_item(ISSUES, copy_for("fan").as_row())


def test_a_file_that_was_made_from_a_copy_leads_to_it(service: Records) -> None:
    issues, sent = Issues(service), copy_for("fan")
    issues.record(sent)
    file_id = sent.output_file_id
    for _ in range(2):
        item = {"operation": "crop_image", "status": "completed", "input_file_id": file_id}
        job_id, file_id = service.create_item("media_jobs", item)["id"], new_id()
        service.create_item("media_job_outputs", {"job_id": job_id, "attempt": 1, "file_id": file_id})
    found = issues.behind(file_id)
    assert found is not None and found.id == sent.id
    assert issues.behind(new_id()) is None
