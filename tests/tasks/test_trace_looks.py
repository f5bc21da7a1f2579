"""What a trace hands into the sandbox: the copies that may be compared, by key, a page at a time."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from geniequeue.cli.checks_marks import traces_finding
from geniequeue.jobs.job import Lease
from geniequeue.keys import MarkKey, MarkKeys
from geniequeue.marks.assets import Asset, Assets
from geniequeue.marks.issues import ISSUES, Issue, Issues, draw_trace_id, issue_id_of, written
from geniequeue.operations import TRACING
from tests.core.test_producer import World

if TYPE_CHECKING:
    from tasks.services import Services
    from tasks.trace_looks import Looks

CURRENT, OLD, LOST = MarkKey(b"c" * 32), MarkKey(b"o" * 32), MarkKey(b"l" * 32)
MANY = 100_000
COPY_MANY = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO watermark_issues
        (id, trace_id, payload, fan_id, job_id, owner_id, asset_file_id, output_file_id, key_id, strength, version,
         issued_at)
    SELECT printf('%08x-0000-4000-8000-000000000000', n), printf('%016x', n), printf('%012x', n >> 16), fan_id,
           printf('%08x-0000-4000-8000-000000000001', n), owner_id, asset_file_id, output_file_id, key_id, strength,
           version, issued_at FROM watermark_issues, numbers
"""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def ids_in(path: Path) -> set[bytes]:
    content = path.read_bytes()
    return {content[at : at + 8] for at in range(0, len(content), 8)}


class Case:
    """A trace that somebody asked for, and an asset of his."""

    def __init__(self, world: World, services: Services, folder: Path) -> None:
        self.records, self.folder = world.records, folder
        (folder / "in").mkdir()
        job_id = world.item()
        world.accept(job_id)
        self.run = world.run_of(job_id)
        settings = replace(services.settings, mark_keys=MarkKeys(CURRENT, (OLD,)))
        self.services = replace(services, settings=settings)
        self.owner_id = self.run.spec.owner_id
        self.asset = Asset(str(uuid.uuid4()), self.owner_id, str(uuid.uuid4()), "00" * 32, 800, 600)
        Assets(self.records).record(self.asset)

    def looks(self) -> Looks:
        from tasks.attempt import Attempt
        from tasks.progress import Progress
        from tasks.trace_looks import Looks

        lease = self.services.ledger.lease(self.run, worker="here", lease_s=60, holder="nobody")
        assert isinstance(lease, Lease)
        attempt = Attempt(self.run, lease, self.services, Progress(self.services, self.run, lease.attempt))
        return Looks(attempt, self.folder, self.folder / "in" / "0")

    def row(self, key: MarkKey, **given: Any) -> dict[str, Any]:
        job_id = str(uuid.uuid4())
        ids = issue_id_of(job_id), draw_trace_id(), "fan", job_id, self.owner_id, self.asset.file_id, str(uuid.uuid4())
        return {**Issue(*ids, key_id=key.id, strength=1.0).as_row(), **given}


@pytest.fixture
def case(world: World, services: Services, tmp_path: Path) -> Case:
    folder = tmp_path / "job"
    folder.mkdir()
    return Case(world, services, folder)


def test_copies_are_sorted_by_the_keys_that_marked_them_and_a_lost_key_is_told(case: Case) -> None:
    rows = [case.row(key) for key in (CURRENT, OLD, CURRENT, LOST)]
    foreign = case.row(CURRENT, owner_id=str(uuid.uuid4()))
    case.records.create_items(ISSUES, [*rows, foreign])
    looks = case.looks()
    paths, counts = looks.copies(case.asset)
    assert counts == {CURRENT.id: 2, OLD.id: 1}
    assert looks.unknown_keys == {LOST.id}
    for key in (CURRENT, OLD):
        kept = {row["trace_id"] for row in rows if row["key_id"] == key.id}
        assert {trace_id.hex() for trace_id in ids_in(paths[f"copies.{key.id}"])} == kept


def test_an_administrator_compares_everybodys_copies(case: Case, world: World) -> None:
    foreign = case.row(CURRENT, owner_id=str(uuid.uuid4()))
    case.records.create_items(ISSUES, [case.row(CURRENT), foreign])
    looks = case.looks()
    assert looks.scope == case.owner_id
    looks.scope = None
    assert looks.copies(case.asset)[1] == {CURRENT.id: 2}


def test_a_look_at_an_asset_without_copies_asks_nobody(case: Case) -> None:
    reading = case.looks().at(case.asset, (0.0, 1.0))
    assert (reading.copies, reading.accepted, reading.hits) == (0, False, ())


def test_a_hundred_thousand_copies_are_listed_in_bounded_memory(case: Case, world: World) -> None:
    case.records.create_items(ISSUES, [case.row(CURRENT, trace_id=written(0))])
    with sqlite3.connect(world.root / "records.sqlite3") as database:
        database.execute(COPY_MANY, (MANY - 1,))
    looks = case.looks()
    before_bytes = resident_bytes()
    paths, counts = looks.copies(case.asset)
    grown_bytes = resident_bytes() - before_bytes
    assert counts == {CURRENT.id: MANY}
    assert ids_in(paths[f"copies.{CURRENT.id}"]) == {n.to_bytes(8, "big") for n in range(MANY)}
    assert grown_bytes < 30_000_000
    assert len(Issues(case.records).of_trace_ids([5, 7])) == 2


@pytest.mark.parametrize(("planned", "made", "counted"), [(2, 5, 5), (5, 2, 5)])
def test_where_more_traces_were_made_than_planned_those_raise_the_threshold_and_doctor_says_so(
    case: Case, planned: int, made: int, counted: int
) -> None:
    [run] = case.records.list_items("media_job_runs", {"id": case.run.id})
    rows = [{**run, "id": str(uuid.uuid4()), "operation": TRACING, "bull_job_id": str(n)} for n in range(made)]
    case.records.create_items("media_job_runs", rows)
    case.services = replace(case.services, settings=replace(case.services.settings, watermark_traces=planned))
    looks = case.looks()
    assert (looks.traces, looks.traces_planned) == (counted, planned)
    found = traces_finding(case.records, planned)
    assert (found.verdict, found.found) == ("warning" if made > planned else "ok", f"{made} made, {planned} planned")
    assert ("WATERMARK_TRACES" in found.advice) == (made > planned)
