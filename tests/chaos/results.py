"""A plugin of pytest for `make chaos`: write which faults were tried, what is expected then, and how it went."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[2] / "bench" / "results" / "chaos-tests.txt"
FAULT = re.compile(r"test_(f\d+)_(.+?)(\[.*\])?$")

_rows: list[tuple[int, str, str, str, float]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how a test went, or why it could not begin."""
    found = FAULT.search(report.nodeid)
    if found and (report.when == "call" or not report.passed):
        fault, name, parameter = found.groups()
        sentence = name.replace("_", " ") + (f" {parameter}" if parameter else "")
        _rows.append((int(fault[1:]), fault.upper(), sentence, report.outcome, report.duration))


def pytest_sessionfinish() -> None:
    """Write the table, by row of the fault table; of several processes the one that hears of all tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    lines = [f"{fault:4} {outcome:7} {seconds:6.1f} s  {name}" for _, fault, name, outcome, seconds in sorted(_rows)]
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    head = f"make chaos, {when}, Python {platform.python_version()}, {len(_rows)} tests of faults\n\n"
    TABLE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
