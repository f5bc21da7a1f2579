"""How a command ends: exit codes that scripts rely on, and errors as one sentence on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from geniequeue.errors import GenieQueueError, LedgerUnavailable, RecordsUnavailable, SettingsError

COMPLETED, JOB_FAILED, WRONG_USAGE, UNREACHABLE = 0, 1, 2, 3


class WrongUsage(click.ClickException):
    """The command, or what it asked for, was refused."""

    exit_code = WRONG_USAGE


class Unreachable(click.ClickException):
    """The service, or a part that it needs, does not answer."""

    exit_code = UNREACHABLE


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
