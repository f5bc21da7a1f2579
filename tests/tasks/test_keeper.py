"""The keeper of leases against a real Redis and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.leases import Leases
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.outcome import Failed, end_without_work
from tests.core.test_leases import queued, take
from tests.service import await_true
from tests.worker_modules import worker_module

keeper_module = worker_module("keeper")
request_module = worker_module("request")


# heeds nothing, as a pool child that waits in a library does
HANG = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


@dataclass
class Child:
    """A pool child that works on a job and hangs.

    Attributes:
        request: what the keeper sees of it.
    """

    process: subprocess.Popen[str]
    run: Run
    request: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        kwargs = {"bull_job_id": self.run.bull_job_id}
        name = self.run.spec.operation
        self.request = SimpleNamespace(id=self.run.id, name=name, kwargs=kwargs, worker_pid=self.process.pid)

    def died_of(self) -> signal.Signals | None:
        """Return the signal that ended it, None while it lives."""
        code = self.process.poll()
        return None if code is None else signal.Signals(-code)


@pytest.fixture
def keeper(ledger: Ledger) -> Any:
    return keeper_module.Keeper(Leases(ledger), Holder.of_process("media@here", os.getpid()), 60.0)


@pytest.fixture
def child(ledger: Ledger, keeper: Any) -> Iterator[Child]:
    """A process that hangs with a leased job."""
    with subprocess.Popen([sys.executable, "-c", HANG], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            run, _ = queued(ledger, Leases(ledger))
            take(ledger, run, str(keeper.holder))
            yield Child(process, run)
        finally:
            process.kill()


def look_until(keeper: Any, child: Child, reached: Callable[[], bool], within_s: float = 20) -> None:
    """Let the keeper look as its thread does, until something is so."""

    def looked() -> bool:
        keeper.look([child.request])
        return reached()

    await_true(looked, within_s, lambda: f"{keeper.about(child.request)}")


def test_f13_a_hung_pool_child_is_killed_at_the_limit_and_its_job_fails_as_timeout(
    keeper: Any, child: Child, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "limit_s", lambda _: 0.5)
    look_until(keeper, child, lambda: child.died_of() is not None)
    assert child.died_of() == signal.SIGKILL
    kept = keeper.about(child.request)
    assert (kept.attempt, kept.killed_for) == ("1", "timeout")
    loss = request_module.loss_of(kept, ChildProcessError("signal 9"))
    assert (loss.counted, loss.killed_for) == (None, "timeout")
    assert keeper.leases.put_back(kept.job, kept.lock, loss) == "back"
    lease = ledger.lease(child.run, worker="media@here", lease_s=8)
    assert isinstance(lease, Lease)
    ended = end_without_work(lease)
    assert isinstance(ended, Failed)
    assert (ended.code, ended.reason) == ("timeout", "killed")


def test_a_limit_is_the_operations_own_and_time_for_the_stores(child: Child) -> None:
    assert keeper_module.limit_s(child.request) == 120 + keeper_module.MARGIN_S


def test_a_hung_pool_child_whose_job_is_cancelled_is_killed_and_its_loss_is_not_counted(
    keeper: Any, child: Child, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "HEED_WITHIN_S", 0.5)
    look_until(keeper, child, lambda: keeper.about(child.request).attempt == "1")
    ledger.ask_to_cancel(child.run)
    look_until(keeper, child, lambda: child.died_of() is not None)
    assert child.died_of() == signal.SIGKILL
    assert keeper.about(child.request).killed_for == "cancel"
    assert request_module.loss_of(keeper.about(child.request), ChildProcessError()).counted is None


def test_a_pool_child_whose_job_another_attempt_has_is_killed_when_it_does_not_stop(
    keeper: Any, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "LOST_WITHIN_S", 0.5)
    look_until(keeper, child, lambda: keeper.about(child.request).attempt == "1")
    kept = keeper.about(child.request)
    assert keeper.leases.put_back(kept.job, kept.lock, request_module.loss_of(kept, ChildProcessError())) == "back"
    look_until(keeper, child, lambda: child.died_of() is not None)
    assert kept.killed_for == "lost"


def test_a_lease_that_redis_lost_before_the_keeper_first_looked_is_taken_again(
    keeper: Any, child: Child, ledger: Ledger
) -> None:
    ledger.client.delete(f"{child.run.bull_job_id}:lock")
    look_until(keeper, child, lambda: keeper.about(child.request).attempt == "1")
    assert ledger.client.get(f"{child.run.bull_job_id}:lock") == f"1:{keeper.holder}"
    assert child.died_of() is None
