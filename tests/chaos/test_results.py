"""The table of `make chaos` has each test of a fault, by the rows that it or its parameter is named after."""

from __future__ import annotations

import pytest

from tests.chaos.results import rows_of


@pytest.mark.parametrize(
    ("nodeid", "rows"),
    [
        ("tests/chaos/test_a.py::test_f1_a_job_runs_again", [(1, "a job runs again")]),
        ("tests/chaos/test_a.py::test_f1_a_job@tests/chaos/test_a.py", [(1, "a job")]),
        ("tests/a.py::test_f15_a_redis[20]@tests/a.py", [(15, "a redis [20]")]),
        ("tests/a.py::test_f18_f20_a_redis[full]", [(18, "a redis [full]"), (20, "a redis [full]")]),
        ("tests/a.py::test_a_redis[f20_read_only]@tests/a.py", [(20, "a redis [read_only]")]),
        (
            "tests/a.py::test_f42_a_moment[2038-01-19T03:14:08.000Z-UTC]",
            [(42, "a moment [2038-01-19T03:14:08.000Z-UTC]")],
        ),
        ("tests/a.py::test_fifty_requests", []),
        ("tests/a.py::test_a_job[full]", []),
    ],
    ids=range(8),
)
def test_a_test_is_told_by_its_faults(nodeid: str, rows: list[tuple[int, str]]) -> None:
    assert rows_of(nodeid) == rows
