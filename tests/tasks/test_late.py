"""An attempt that slept and lost its job to another one leaves nothing behind that shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

from geniequeue.cli import show
from geniequeue.errors import CancelledError, HostFull, RecordForbidden, RecordsUnavailable
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.leases import Leases, Loss
from geniequeue.jobs.outcome import Cancelled, Completed, Failed, Retry
from geniequeue.jobs.remains import Remains
from geniequeue.jobs.view import view_of
from geniequeue.records.protocol import Records
from tests.core.test_producer import World

if TYPE_CHECKING:
    from tasks.attempt import Attempt
    from tasks.services import Services


class Away:
    """Records that are away once, when a result is written; the job is another worker's when they are back."""

    def __init__(self, world: World, run: Run) -> None:
        self.world, self.run, self.is_away = world, run, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.records, name)

    def create_item(self, collection: str, row: dict[str, Any]) -> Any:
        if collection != "media_job_results" or not self.is_away:
            return self.world.records.create_item(collection, row)
        self.is_away = False
        begin_another(self.world, self.run)
        raise RecordsUnavailable("away")


def begin_another(world: World, run: Run) -> None:
    """Take the lease of a run away, as the sweeper does, and give it to another worker."""
    leases = Leases(world.ledger)
    job = leases.find(run.bull_job_id)
    assert job is not None
    assert leases.put_back(job, leases.lock(job), Loss(counted=True)) == "back"
    assert isinstance(world.ledger.lease(run, worker="another", lease_s=30), Lease)


def begin(world: World, services: Services) -> Attempt:
    from tasks.attempt import Attempt
    from tasks.progress import Progress

    job_id = world.item()
    world.accept(job_id)
    run = world.run_of(job_id)
    lease = world.ledger.lease(run, worker="w", lease_s=30)
    assert isinstance(lease, Lease)
    own = replace(services, records=cast("Records", Away(world, run)))
    return Attempt(run, lease, own, Progress(own, run, lease.attempt))


def status_of(world: World, attempt: Attempt) -> str:
    return str(world.records.get_item("media_jobs", attempt.run.spec.job_id)["status"])


def test_an_attempt_that_loses_its_job_while_nobody_takes_its_end_does_not_cancel_it(
    world: World,
    services: Services,
) -> None:
    from tasks.media import MediaJob

    attempt = begin(world, services)
    MediaJob()._tell(attempt, Completed({"outputs": []}))
    with pytest.raises(RecordForbidden):
        world.records.get_item("media_job_results", attempt.run.id)
    assert status_of(world, attempt) == "queued"


def test_an_attempt_whose_job_is_cancelled_while_nobody_takes_its_end_cancels_it(
    world: World,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks.media import MediaJob

    attempt = begin(world, services)
    monkeypatch.setattr("tests.tasks.test_late.begin_another", lambda world, run: world.ledger.ask_to_cancel(run))
    MediaJob()._tell(attempt, Completed({"outputs": []}))
    assert status_of(world, attempt) == "cancelled"


def test_a_put_off_job_tells_the_reason_as_long_as_it_waits(
    world: World,
    services: Services,
    capsys: pytest.CaptureFixture[str],
) -> None:
    attempt = begin(world, services)
    job_id = attempt.run.spec.job_id
    outcome = attempt.decide(HostFull("the disk is full", reason="no_space"))
    assert isinstance(outcome, Retry)
    assert attempt.put_off(outcome)

    def shown() -> dict[str, Any]:
        item = world.records.get_item("media_jobs", job_id)
        return view_of(item, world.ledger.entry(attempt.run.queue, attempt.run.number))

    delayed = shown()
    told = (delayed["state"], delayed["error"], delayed["reason"], delayed["message"])
    assert told == ("delayed", None, "no_space", "The disk is full.")
    capsys.readouterr()
    show.job(delayed)
    assert "put off    The disk is full. (no_space)" in capsys.readouterr().out
    world.ledger.client.zadd(f"bull:{attempt.run.queue}:delayed", {attempt.run.number: 0})
    assert isinstance(world.ledger.lease(attempt.run, worker="w", lease_s=30), Lease)
    assert (shown()["state"], shown()["reason"], shown()["message"]) == ("active", None, None)


@pytest.mark.parametrize(("handing_back", "words"), [(True, "its worker ends"), (False, "did not complete")])
def test_a_job_that_is_handed_back_is_not_said_to_be_cancelled(
    world: World,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    handing_back: bool,
    words: str,
) -> None:
    attempt = begin(world, services)
    monkeypatch.setattr("tasks.attempt.handing_back", lambda: handing_back)
    with capture_logs() as lines:
        assert attempt.decide(CancelledError("asked to stop")) == Cancelled()
    [line] = lines
    assert words in line["event"]


def test_what_a_stale_attempt_wrote_over_is_written_again_and_never_over_a_later_round(
    world: World,
    services: Services,
) -> None:
    from tasks.late import undo_late_writes

    attempt = begin(world, services)
    job_id = attempt.run.spec.job_id
    assert world.ledger.delay(attempt.run, attempt.lease.attempt, after_s=0, reason="")
    world.work(job_id, Failed("tool", "no"))
    world.records.update_item("media_jobs", job_id, {"status": "processing"})
    undo_late_writes(attempt)
    assert status_of(world, attempt) == "failed"

    world.producer.retry(job_id, world.creator, "r")
    undo_late_writes(attempt)
    assert status_of(world, attempt) == "queued"
    world.work(job_id, Completed({"outputs": []}))
    undo_late_writes(attempt)
    assert status_of(world, attempt) == "completed"


def test_a_file_that_a_stale_attempt_stored_after_its_row_was_removed_is_removed(
    world: World,
    services: Services,
    tmp_path: Path,
) -> None:
    from tasks.late import undo_late_writes

    attempt = begin(world, services)
    source = tmp_path / "source"
    source.write_bytes(b"late")
    ids = [f"00000000-0000-5000-8000-00000000000{n}" for n in range(2)]
    for file_id in ids:
        attempt.stored.append(file_id)
        world.records.upload(source, file_id=file_id, filename="a.png", mime="image/png")
    announced = {"id": ids[1], "file_id": ids[1], "job_id": attempt.run.spec.job_id, "attempt": 1}
    world.records.create_item("media_job_outputs", announced)
    undo_late_writes(attempt)
    with pytest.raises(RecordForbidden):
        world.records.get_file(ids[0])
    assert world.records.get_file(ids[1]).filesize == 4


def test_a_run_that_has_ended_and_is_not_closed_is_not_missing(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Completed({}))
    run = world.run_of(job_id)
    assert run.open
    assert not Remains(world.ledger).are_missing(run)
