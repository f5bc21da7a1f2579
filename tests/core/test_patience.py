"""What a worker does with finished work while nobody can take it: time is the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from geniequeue.errors import (
    CancelledError,
    LedgerUnavailable,
    RecordForbidden,
    RecordsUnavailable,
    ServiceTokenRefused,
)
from geniequeue.jobs.patience import PAUSE_CAP_S, TOKEN_PATIENCE_S, Patience

LEASE_S = 225.0


class Time:
    """A clock that goes on when somebody sleeps, and what happens at which moment."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.stops_at = self.cancels_at = float("inf")
        self.back_at = float("inf")
        self.tries: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def patience(self) -> Patience:
        return Patience(
            LEASE_S,
            stopping=lambda: self.now_s >= self.stops_at,
            cancelled=lambda: self.now_s >= self.cancels_at,
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )

    def store(self, error: Exception) -> Callable[[], str]:
        """Return a call that raises until the store is back."""

        def call() -> str:
            self.tries.append(self.now_s)
            if self.now_s < self.back_at:
                raise error
            return "taken"

        return call


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.mark.parametrize("error", [RecordsUnavailable("no answer"), LedgerUnavailable("no Redis")])
def test_work_is_kept_for_minutes_until_it_can_be_taken(time: Time, error: Exception) -> None:
    time.back_at = 200
    assert time.patience().call(time.store(error)) == "taken"
    assert 200 <= time.now_s < 200 + PAUSE_CAP_S
    gaps = [later - earlier for earlier, later in zip(time.tries, time.tries[1:], strict=False)]
    assert all(0.2 < gap <= PAUSE_CAP_S for gap in gaps)
    assert len(gaps) < 60


def test_waiting_ends_before_the_lease_does_and_its_time_is_shared_by_all_calls(time: Time) -> None:
    patience = time.patience()
    time.back_at = 150
    patience.call(time.store(RecordsUnavailable("no answer")))
    time.back_at = float("inf")
    with pytest.raises(RecordsUnavailable):
        patience.call(time.store(RecordsUnavailable("no answer")))
    assert LEASE_S - PAUSE_CAP_S <= time.now_s <= LEASE_S


def test_a_pause_that_the_store_asks_for_is_honoured(time: Time) -> None:
    time.back_at = 1
    time.patience().call(time.store(RecordsUnavailable("429", retry_after_s=40)))
    assert time.tries == pytest.approx([0, 40])


def test_a_pause_longer_than_the_lease_is_not_begun(time: Time) -> None:
    with pytest.raises(RecordsUnavailable):
        time.patience().call(time.store(RecordsUnavailable("429", retry_after_s=300)))
    assert time.now_s == 0


def test_a_worker_that_stops_waits_no_longer(time: Time) -> None:
    time.stops_at = 20
    with pytest.raises(RecordsUnavailable):
        time.patience().call(time.store(RecordsUnavailable("no answer")))
    assert 20 <= time.now_s < 21


def test_a_cancel_is_heeded_while_waiting_unless_it_is_what_is_to_be_told(time: Time) -> None:
    time.cancels_at, time.back_at = 20, 60
    with pytest.raises(CancelledError):
        time.patience().call(time.store(RecordsUnavailable("no answer")))
    assert 20 <= time.now_s < 21
    assert time.patience().call(time.store(RecordsUnavailable("no answer")), cancellable=False) == "taken"


def test_a_refused_token_is_waited_for_as_long_as_it_takes_to_write_a_new_one(time: Time) -> None:
    with pytest.raises(ServiceTokenRefused):
        time.patience().call(time.store(ServiceTokenRefused("refused")))
    assert TOKEN_PATIENCE_S - PAUSE_CAP_S <= time.now_s <= TOKEN_PATIENCE_S


def test_a_refusal_is_not_waited_for(time: Time) -> None:
    with pytest.raises(RecordForbidden):
        time.patience().call(time.store(RecordForbidden("no")))
    assert time.tries == [0]
