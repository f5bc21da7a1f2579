"""Files that attempts stored in vain go; what a completed job names stays."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, cast

import pytest

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordsError
from geniequeue.jobs.closing import close_ended
from geniequeue.jobs.finish import finish
from geniequeue.jobs.job import Lease
from geniequeue.jobs.leftovers import Leftovers
from geniequeue.jobs.outcome import Completed, Failed, Final
from geniequeue.records.protocol import Records
from tests.core.test_producer import World, world  # noqa: F401 - the fixture


class Job:
    """A job whose attempts store files."""

    def __init__(self, world: World, tmp_path: Path) -> None:  # noqa: F811
        self.world = world
        self.records: Records = world.records
        self.leftovers = Leftovers(world.records, world.ledger)
        self.job_id = world.item()
        world.accept(self.job_id)
        self.content = tmp_path / "content"
        self.content.write_bytes(b"content")

    def store(self, attempt: int, *, upload: bool = True) -> str:
        """Announce a file as an attempt does, and store it."""
        file_id = str(uuid.uuid4())
        row = {"id": file_id, "file_id": file_id, "job_id": self.job_id, "attempt": attempt, "sha256": "0" * 64}
        self.records.create_item("media_job_outputs", row)
        if upload:
            self.records.upload(self.content, file_id=file_id, filename="x", mime="image/png")
        return file_id

    def end(self, attempt: int, outcome: Final) -> None:
        """Let attempts up to this one begin, and this one end the job."""
        run, ledger = self.world.run_of(self.job_id), self.world.ledger
        for number in range(1, attempt + 1):
            assert isinstance(ledger.lease(run, worker="w", lease_s=30), Lease)
            assert number == attempt or ledger.delay(run, number, after_s=0, reason="")
        assert finish(self.records, ledger, run, attempt, outcome).won

    def close(self) -> None:
        assert close_ended(self.records, self.world.ledger) == 1

    def is_there(self, file_id: str) -> bool:
        rows = self.records.count_items("media_job_outputs", {"id": file_id})
        try:
            self.records.get_file(file_id)
        except RecordForbidden:
            assert not rows, "a row without its file"
            return False
        assert rows, "a file that no row names"
        return True


@pytest.fixture
def job(world: World, tmp_path: Path) -> Job:  # noqa: F811
    return Job(world, tmp_path)


def completed(*file_ids: str) -> Completed:
    return Completed({"outputs": [{"file_id": file_id} for file_id in file_ids]})


def test_closing_a_completed_run_removes_what_other_attempts_stored(job: Job) -> None:
    lost, announced, won = job.store(1), job.store(2, upload=False), job.store(3)
    job.end(3, completed(won))
    job.close()
    assert [job.is_there(each) for each in (lost, announced, won)] == [False, False, True]


def test_an_adopted_file_of_an_earlier_attempt_stays(job: Job) -> None:
    adopted, lost = job.store(1), job.store(2)
    job.end(2, completed(adopted))
    job.close()
    assert (job.is_there(adopted), job.is_there(lost)) == (True, False)


def test_a_failed_job_keeps_no_file_and_a_later_round_keeps_its_own(job: Job) -> None:
    first = job.store(1)
    job.end(1, Failed("tool", "no"))
    job.world.producer.retry(job.job_id, job.world.creator, "r")
    second = job.store(2)
    job.close()
    assert (job.is_there(first), job.is_there(second)) == (False, True)


def test_a_file_that_came_after_the_run_was_closed_is_removed_once_nobody_can_be_writing(job: Job) -> None:
    won = job.store(2)
    job.end(2, completed(won))
    job.close()
    late = job.store(1)
    assert job.leftovers.remove_late() == 0
    assert job.leftovers.remove_late(late_after_s=0) == 1
    assert (job.is_there(won), job.is_there(late)) == (True, False)
    another = job.store(1)
    assert job.leftovers.remove_late(late_after_s=0) == 1
    assert not job.is_there(another)


def test_files_of_a_run_that_is_open_are_left_alone(job: Job) -> None:
    file_id = job.store(1)
    assert job.leftovers.remove_late(late_after_s=0) == 0
    assert job.is_there(file_id)


def test_an_upload_that_ends_after_the_run_was_closed_is_removed_later(job: Job) -> None:
    late, won = job.store(1, upload=False), job.store(2)
    job.end(2, completed(won))
    job.close()
    job.records.upload(job.content, file_id=late, filename="x", mime="image/png")
    assert job.leftovers.remove_late() == 0
    assert job.leftovers.remove_late(late_after_s=0) == 1
    with pytest.raises(RecordForbidden):
        job.records.get_file(late)
    assert job.leftovers.remove_late(late_after_s=0) == 0


def test_a_job_that_is_cancelled_while_it_waits_keeps_nothing_of_its_attempts(job: Job) -> None:
    run, ledger = job.world.run_of(job.job_id), job.world.ledger
    assert isinstance(ledger.lease(run, worker="w", lease_s=30), Lease)
    lost = job.store(1)
    assert ledger.delay(run, 1, after_s=600, reason="")
    assert job.leftovers.remove_late(late_after_s=0) == 0
    assert job.world.producer.cancel(job.job_id, job.world.creator) == "cancelled"
    job.close()
    assert not job.is_there(lost)


def test_files_of_a_job_whose_run_is_gone_are_left_alone(job: Job) -> None:
    won = job.store(1)
    job.end(1, completed(won))
    job.close()
    job.records.delete_item("media_job_runs", job.world.run_of(job.job_id).id)
    assert job.leftovers.remove_late(late_after_s=0) == 0
    assert job.is_there(won)


class Refusing:
    """Records that refuse to delete a file."""

    def __init__(self, records: Records, error: RecordsError) -> None:
        self.records, self.error = records, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.records, name)

    def delete_file(self, file_id: str) -> None:
        del file_id
        raise self.error


@pytest.mark.parametrize("error", [RecordInvalid("a foreign key"), RecordForbidden("no right")])
def test_a_file_that_cannot_be_deleted_holds_up_nobody_and_is_tried_again(job: Job, error: RecordsError) -> None:
    lost, won = job.store(1), job.store(2)
    job.end(2, completed(won))
    refusing = cast("Records", Refusing(job.records, error))
    assert close_ended(refusing, job.world.ledger) == 1
    assert job.is_there(lost)
    assert Leftovers(refusing, job.world.ledger).remove_late(late_after_s=0) == 0
    assert job.leftovers.remove_late(late_after_s=0) >= 1
    assert (job.is_there(lost), job.is_there(won)) == (False, True)


def test_notes_of_an_older_version_keep_nobody_from_closing(job: Job) -> None:
    job.world.ledger.client.sadd("gq:ended", str(uuid.uuid4()))
    job.end(1, completed(job.store(1)))
    job.close()
