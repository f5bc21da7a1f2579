"""An attempt adopts what an earlier one has stored, where all of it is whole, and nothing else."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from geniequeue.config import load_settings
from geniequeue.jobs.job import Lease
from geniequeue.jobs.leases import Leases
from geniequeue.jobs.outcome import Completed
from tests.accounts import SECRET
from tests.core.test_producer import World

if TYPE_CHECKING:
    from tasks.attempt import Attempt
    from tasks.services import Services

CONTENT = b"an output"
WORK = {"of": 1, "input": {"format_in": "jpeg"}, "work_s": 1.5, "peak_memory_bytes": 7}


class Second:
    """The second attempt of a job, and what the first one left."""

    def __init__(self, world: World, services: Services, folder: Path) -> None:
        self.records, self.folder = world.records, folder
        self.job_id = world.item()
        world.accept(self.job_id)
        self.run = world.run_of(self.job_id)
        self.attempt = self.number(2, services)

    def number(self, attempt: int, services: Services) -> Attempt:
        from tasks.attempt import Attempt
        from tasks.progress import Progress

        lease = Lease(attempt=attempt, tries=attempt)
        return Attempt(self.run, lease, services, Progress(services, self.run, attempt))

    def left(self, content: bytes | None = CONTENT, attempt: int = 1, **fields: Any) -> str:
        """Announce an output as an earlier attempt does; store it, with this content, unless that is None."""
        file_id = str(uuid.uuid4())
        row = {"id": file_id, "file_id": file_id, "job_id": self.job_id, "attempt": attempt, "mime": "image/png"}
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        self.records.create_item(
            "media_job_outputs", {**row, "size_bytes": len(CONTENT), "sha256": sha256, "work": WORK, **fields}
        )
        if content is not None:
            source = self.folder / "source"
            source.write_bytes(content)
            self.records.upload(source, file_id=file_id, filename="a.png", mime="image/png")
        return file_id

    def adopt(self) -> Completed | None:
        from tasks.outputs import adopt

        return adopt(self.attempt, self.folder)

    def adopted(self) -> list[str] | None:
        done = self.adopt()
        return None if done is None else [output["file_id"] for output in done.result["outputs"]]


@pytest.fixture
def services(world: World, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Services:
    """What a task has, on the world's store and ledger; the tasks' package reads its settings when it is imported."""
    values = {"VAR_DIR": str(world.root), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    from tasks.services import Services, services_for

    return Services(
        **{
            **vars(services_for(load_settings(values), -1)),
            "records": world.records,
            "ledger": world.ledger,
            "leases": Leases(world.ledger),
            "quota": world.quota,
            "runs": world.producer.runs,
        }
    )


@pytest.fixture
def second(world: World, services: Services, tmp_path: Path) -> Second:
    folder = tmp_path / "in"
    folder.mkdir()
    return Second(world, services, folder)


def test_a_stored_output_is_adopted_with_all_that_the_result_says(second: Second) -> None:
    file_id = second.left()
    done = second.adopt()
    assert done is not None
    (output,) = done.result["outputs"]
    assert (output["file_id"], output["sha256"]) == (file_id, hashlib.sha256(CONTENT).hexdigest())
    assert (done.result["input"], done.result["work_s"], done.result["attempts"]) == ({"format_in": "jpeg"}, 1.5, 2)
    assert second.attempt.peak_memory_bytes == 7
    assert second.adopted() == [file_id]  # nothing of it stands in its own way


def test_the_newest_whole_set_is_adopted(second: Second, services: Services) -> None:
    second.left(attempt=1)
    newer = second.left(attempt=2)
    second.left(None, attempt=3)
    second.attempt = second.number(4, services)
    assert second.adopted() == [newer]


@pytest.mark.parametrize("content", [None, b"an outpux", b"an out"], ids=["not stored", "other bytes", "cut off"])
def test_an_output_that_is_not_what_was_announced_is_made_again(second: Second, content: bytes | None) -> None:
    second.left(content)
    assert second.adopted() is None


def test_some_of_several_outputs_are_not_enough(second: Second) -> None:
    second.left(work={**WORK, "of": 2})
    assert second.adopted() is None
    second.left(work={**WORK, "of": 2})
    assert len(second.adopted() or ()) == 2


def test_a_row_of_an_older_version_is_not_adopted(second: Second) -> None:
    second.left(work=None)
    assert second.adopted() is None


def test_a_first_attempt_and_a_first_attempt_of_a_later_round_look_at_nothing(
    second: Second, services: Services
) -> None:
    second.left()
    second.attempt = second.number(1, services)
    assert second.adopted() is None
