"""A plugin of pytest for `make chaos`: write which faults were tried, what is expected then, and how it went."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[2] / "bench" / "results" / "chaos-tests.txt"
TEST = re.compile(r"::test_((?:f\d+_)*)(\w+)(?:\[((?:f\d+_)*)([^@]*)\])?(?:@.*)?$")
"""A test's faults, its sentence, and the same of its parameter; behind it pytest-xdist writes its group."""

_rows: list[tuple[int, str, str, str, float]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how a test went, or why it could not begin."""
    for fault, sentence in rows_of(report.nodeid):
        if report.when == "call" or not report.passed:
            _rows.append((fault, f"F{fault}", sentence, report.outcome, report.duration))


def rows_of(nodeid: str) -> list[tuple[int, str]]:
    """Return the rows of the fault table that a test or its parameter is named after, each with its sentence."""
    found = TEST.search(nodeid)
    if found is None:
        return []
    named, name, also_named, parameter = found.groups(default="")
    sentence = name.replace("_", " ") + (f" [{parameter}]" if parameter else "")
    return [(int(fault), sentence) for fault in re.findall(r"\d+", named + also_named)]


def pytest_sessionfinish() -> None:
    """Write the table, by row of the fault table; of several processes the one that hears of all tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    lines = [f"{fault:4} {outcome:7} {seconds:6.1f} s  {name}" for _, fault, name, outcome, seconds in sorted(_rows)]
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    head = f"make chaos, {when}, Python {platform.python_version()}, {len(_rows)} tests of faults\n\n"
    TABLE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
