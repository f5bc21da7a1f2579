"""Priorities map onto the broker's steps without ever changing places."""

from __future__ import annotations

from itertools import pairwise

from geniequeue.jobs.priorities import STEPS, step_of


def test_priorities_up_to_31_have_a_step_of_their_own() -> None:
    assert [step_of(priority) for priority in range(32)] == list(range(32))


def test_the_step_never_falls_as_the_priority_grows() -> None:
    steps = [step_of(priority) for priority in range(2_097_152)]
    assert all(low <= high for low, high in pairwise(steps))
    assert steps[-1] == STEPS - 1


def test_10_runs_before_40() -> None:
    assert step_of(10) < step_of(40)
