"""Media jobs: fetch the inputs, run the operation in the sandbox, store the outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geniequeue.jobs.broker import TASK_NAMES
from geniequeue.jobs.outcome import Completed
from geniequeue.operations import MARKING, MEDIA_QUEUE, TEASING, TRACING
from geniequeue.sandbox.host import refuse_without_space, waiting_for_space
from tasks import marking, outputs, teasing, tracing
from tasks.attempt import Attempt
from tasks.base import JobTask
from tasks.celery_app import app
from tasks.inputs import checked_params, fetch_inputs, run_in_sandbox
from tasks.worker import JOB_FOLDER_PREFIX, empty_folder


class MediaJob(JobTask):
    """A media operation on files."""

    abstract = False
    name = TASK_NAMES[MEDIA_QUEUE]

    def perform(self, attempt: Attempt) -> Completed:
        """Make and store the outputs of a media operation, or adopt those that an earlier attempt has stored."""
        settings = attempt.services.settings
        refuse_without_space(settings.media_tmp_dir, settings.min_free_bytes)
        with waiting_for_space(), job_folder(attempt) as folder:
            adopted = outputs.adopt(attempt, folder / "in")
            if adopted is not None:
                return adopted
            return PERFORM.get(attempt.operation.name, _make)(attempt, folder)


def _make(attempt: Attempt, folder: Path) -> Completed:
    """Fetch the inputs, run the operation on them, store what it made."""
    inputs, params = fetch_inputs(attempt, folder), checked_params(attempt.run.spec)
    result = run_in_sandbox(attempt, attempt.operation.function, inputs, out_dir=folder / "out", params=params)
    return outputs.store(attempt, result, folder / "out")


@contextmanager
def job_folder(attempt: Attempt) -> Iterator[Path]:
    """Make the private folder of an attempt; gone afterwards whatever happened."""
    name = f"{JOB_FOLDER_PREFIX}{attempt.run.id}-{attempt.lease.attempt}"
    folder = attempt.services.settings.media_tmp_dir / name
    try:
        (folder / "in").mkdir(parents=True)
        (folder / "out").mkdir()
        yield folder
    finally:
        # all of it: what ran in the sandbox may have written beside its folder, and the next job must not see that
        empty_folder(folder.parent)


PERFORM = {MARKING: marking.perform, TEASING: teasing.perform, TRACING: tracing.perform}
"""Operations that do more than make files of files."""

app.register_task(MediaJob())
