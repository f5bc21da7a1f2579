"""Checks of what is on record of marks: how many traces were made."""

from __future__ import annotations

from geniequeue.cli.finding import Finding
from geniequeue.marks.tally import traces_made
from geniequeue.records.protocol import Records


def traces_finding(service: Records, planned: int) -> Finding:
    """Compare the traces that were made with those that the bound on false accusations is planned for.

    Args:
        planned: `WATERMARK_TRACES`.

    Raises:
        RecordsError: they cannot be counted.
    """
    made = traces_made(service)
    found = f"{made} made, {planned} planned"
    if made <= planned:
        return Finding("traces", "ok", found)
    advice = "set WATERMARK_TRACES to those of the system's whole life; each new trace now needs a higher score"
    return Finding("traces", "warning", found, advice)
