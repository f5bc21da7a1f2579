"""Progress of an attempt: often to the ledger, seldom to the records, and the place where it learns of a cancel."""

from __future__ import annotations

import time

from geniequeue.errors import LedgerUnavailable, RecordsError
from geniequeue.jobs.job import Run
from geniequeue.log import get_logger
from geniequeue.pace import write_pace
from geniequeue.sandbox.inside import Pace
from tasks.services import Services
from tasks.stopping import handing_back

LEDGER_EVERY_S = 0.5
RECORDS_EVERY_S = 2.0
CANCEL_EVERY_S = 0.5

log = get_logger(__name__)


class Progress:
    """Writes the progress of one attempt, never backwards.

    Args:
        attempt: number of the attempt; a newer one makes this one stale.
    """

    def __init__(self, services: Services, run: Run, attempt: int) -> None:
        self._services = services
        self._run = run
        self._attempt = attempt
        self._percent = 0.0
        self._ledger_at = self._cancel_at = self._pace_at = float("-inf")
        self._records_at = time.monotonic()
        self._stopped = self._in_trouble = False

    def write(self, percent: float) -> None:
        """Write progress, 0 to 99; 100 is written by the end of the job."""
        self._percent = max(self._percent, min(99.0, percent))
        now = time.monotonic()
        try:
            if now - self._ledger_at >= LEDGER_EVERY_S:
                self._ledger_at = now
                self._heed(self._services.ledger.progress(self._run, self._attempt, self._percent))
            if not self._stopped and now - self._records_at >= RECORDS_EVERY_S:
                self._records_at = now
                self._services.records.update_item(
                    "media_jobs", self._run.spec.job_id, {"progress": int(self._percent)}
                )
        except (LedgerUnavailable, RecordsError) as error:
            log.warning("progress not written", error=str(error))

    def at_pace(self, pace: Pace) -> None:
        """Say how fast the work is, as often as progress is written."""
        now = time.monotonic()
        if self._stopped or now - self._pace_at < LEDGER_EVERY_S:
            return
        self._pace_at = now
        ledger, bull_job_id = self._services.ledger, self._run.bull_job_id
        try:
            write_pace(ledger.client, bull_job_id, speed=pace.speed, left_s=pace.left_s)
        except LedgerUnavailable as error:
            log.warning("pace not written", error=str(error))

    def should_stop(self) -> bool:
        """Tell whether somebody asked for the job to stop, a newer attempt exists, or the worker has to end now.

        Redis is asked twice a second.
        """
        now = time.monotonic()
        if not self._stopped and now - self._cancel_at >= CANCEL_EVERY_S:
            self._cancel_at = now
            try:
                self._heed(self._services.ledger.progress(self._run, self._attempt, None))
                self._in_trouble = False
            except LedgerUnavailable as error:
                if not self._in_trouble:
                    log.warning("cancel flag not read", error=str(error))
                self._in_trouble = True
        return self._stopped or handing_back()

    def _heed(self, answer: str) -> None:
        self._stopped = self._stopped or answer != "ok"

    def still_mine(self) -> bool:
        """Tell whether no newer attempt and no end exists."""
        return self._services.ledger.progress(self._run, self._attempt, self._percent) != "stale"
