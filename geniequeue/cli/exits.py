"""How a command ends: exit codes that scripts rely on, and errors as one sentence on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click

from geniequeue.cli import INTERRUPTED
from geniequeue.errors import GenieQueueError, LedgerUnavailable, RecordsUnavailable, SettingsError

COMPLETED, JOB_FAILED, WRONG_USAGE, UNREACHABLE = 0, 1, 2, 3
EXIT_CODES = (
    "0 done, 1 the job failed, 2 wrong usage or a refusal, 3 the service cannot be reached or asks to wait, "
    "130 interrupted; a job that it waited for goes on"
)


class WrongUsage(click.ClickException):
    """The command, or what it asked for, was refused."""

    exit_code = WRONG_USAGE


class Refused(WrongUsage):
    """The API refused what it was asked; the same request will not do better.

    Attributes:
        code: the word for machines.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Interrupted(click.ClickException):
    """Somebody would not wait for jobs that go on without him."""

    exit_code = INTERRUPTED

    def __init__(self, job_ids: Sequence[str]) -> None:
        lines = [
            f"job {job_id} goes on: `geniequeue status {job_id}` shows it, `geniequeue cancel {job_id}` stops it"
            for job_id in job_ids
        ]
        super().__init__("\n".join(lines))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it without calling it an error."""
        click.echo(self.message, file=file, err=file is None)


class Unreachable(click.ClickException):
    """The service, or a part that it needs, does not answer."""

    exit_code = UNREACHABLE


@contextmanager
def going_on(job_id: str) -> Iterator[None]:
    """Tell of a job that goes on whoever will not wait for it."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted([job_id]) from None


@contextmanager
def explained() -> Iterator[None]:
    """Turn the project's errors into a sentence and an exit code."""
    try:
        yield
    except SettingsError as error:
        raise WrongUsage("\n".join(error.faults)) from error
    except LedgerUnavailable as error:
        from geniequeue.jobs import fitness  # Redis with it, which most commands need not wait for

        raise Unreachable(f"{error}\n{fitness.sentence(error.__cause__)}") from error
    except RecordsUnavailable as error:
        raise Unreachable(str(error)) from error
    except (GenieQueueError, OSError) as error:
        raise WrongUsage(str(error)) from error
