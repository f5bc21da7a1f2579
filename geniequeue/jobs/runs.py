"""The runs of a job: create, find, announce. Each step may be done again.

A run is accepted in four steps: number, run row, item, ledger with message. Only whoever created the row writes the
item; whoever finds it there waits, and takes over when that has not happened after `TAKEOVER_S`, or some seconds after
the other one has given up because the records did not answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from geniequeue.errors import RecordForbidden, RecordNotUnique, RecordsUnavailable, RequestRefused, RightMissing
from geniequeue.jobs import broker
from geniequeue.jobs.finish import finish, item_fields, now_iso, outcome_of
from geniequeue.jobs.job import Run, Spec, bull_job_id, number_of, run_id_of
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.notes import LATE_S, Notes
from geniequeue.jobs.numbers import Numbers
from geniequeue.jobs.outcome import Failed, Final
from geniequeue.jobs.request import row_of, run_from_row
from geniequeue.log import get_logger
from geniequeue.operations import OPERATIONS
from geniequeue.records.protocol import Item, Records

RUN_FIELDS = ("id", "job_id", "round", "spec", "bull_job_id", "accepted_at", "open")

# longer than the record store may take for one call, so that whoever accepts is not overtaken while he waits for it
TAKEOVER_S = 30.0
AWAIT_POLL_S = 0.02
AWAIT_POLLS = 100

log = get_logger(__name__)


@dataclass(frozen=True)
class Accepted:
    """What the caller is told."""

    job_id: str
    bull_job_id: str


class Runs:
    """Runs in the records and in the ledger.

    Args:
        service: records with the service's rights.
        ledger: of the queues.
        prefix: `LEDGER_PREFIX`, part of the `bullJobId`.
    """

    def __init__(self, service: Records, ledger: Ledger, prefix: str) -> None:
        self._service = service
        self._ledger = ledger
        self._prefix = prefix
        self._notes = Notes(ledger)
        self.numbers = Numbers(service, ledger)
        self._envelopes = broker.Envelopes()

    def known(self, spec: Spec) -> tuple[Run | None, str]:
        """Return the latest run that Redis knows of, or a number for the first one.

        Where Redis has forgotten a run, creating it again will tell.
        """
        known, number = self.numbers.current_or_next(spec.job_id, OPERATIONS[spec.operation].queue)
        if known is None:
            return None, number
        try:
            return run_from_row(self._service.get_item("media_job_runs", known["run"], RUN_FIELDS)), ""
        except RecordForbidden:
            return None, ""

    def latest(self, job_id: str) -> Run | None:
        """Return the latest run in the records, whatever Redis knows."""
        rows = self._service.list_items(
            "media_job_runs", {"job_id": job_id}, sort=("-round",), limit=1, fields=RUN_FIELDS
        )
        return run_from_row(rows[0]) if rows else None

    def result_of(self, run: Run) -> Item | None:
        """Return how a run ended, None while it has not."""
        try:
            return self._service.get_item("media_job_results", run.id)
        except RecordForbidden:
            return None

    def settle(self, run: Run, result: Item) -> Final:
        """Write a run's end wherever a crash kept it from being written; return it."""
        outcome = outcome_of(result)
        if run.open and not self._notes.has_ended(run):
            finish(self._service, self._ledger, run, int(result["attempt"]) or None, outcome)
        return outcome

    def create(self, spec: Spec, round_: int, number: str = "") -> tuple[Run, bool]:
        """Create the run's row; where somebody was faster, or Redis had forgotten, return what stands there.

        Args:
            number: taken for it already; by default it gets the next one.
        """
        run = self.new(spec, run_id_of(spec.job_id, round_), round_, number)
        try:
            with self._given_up_on_failure(run):
                self._service.create_item("media_job_runs", row_of(run))
        except RecordNotUnique:
            latest = self.latest(spec.job_id)
            if latest is None:
                raise
            return latest, False
        return run, True

    def new(self, spec: Spec, run_id: str, round_: int, number: str = "", *, ledger_only: bool = False) -> Run:
        """Return a run with its number, or with the next one of its queue; nothing is written but the counter."""
        queue = OPERATIONS[spec.operation].queue
        bull = bull_job_id(self._prefix, queue, number or self.numbers.next(queue))
        return Run(run_id, round_, queue, bull, spec, accepted_at=now_iso(), ledger_only=ledger_only)

    def wait_for(self, run: Run) -> Accepted:
        """Answer for a run that another request is accepting, or finish accepting it where that request died."""
        if self._notes.given_up(run):
            return self._take_over(run)
        for _ in range(AWAIT_POLLS):
            known = self._ledger.current(run.key)
            if known is not None and int(known["round"]) >= run.round:
                return Accepted(run.spec.job_id, known["bull"])
            if _age_s(run) > TAKEOVER_S:
                return self._take_over(run)
            time.sleep(AWAIT_POLL_S)
        message = "The job is being accepted by another request; send the same request again."
        raise RequestRefused(503, "being_accepted", message, retry_after_s=LATE_S)

    def enqueue(self, run: Run) -> Accepted:
        """Say on the item that it is queued, then push it."""
        with self._given_up_on_failure(run):
            self._say_queued(run)
        written, accepted = self.push(run)
        if not written:
            self._undo_late_queued(run)
        return accepted

    def _say_queued(self, run: Run) -> None:
        """Write the item; where it was deleted meanwhile, the run ends here and gives its unit back."""
        try:
            self._service.update_item("media_jobs", run.spec.job_id, _queued_fields(run))
        except RecordForbidden as error:
            if self._service.count_items("media_jobs", {"id": run.spec.job_id}):
                self._notes.give_up(run)
                raise RightMissing(str(error), collection=error.collection, action=error.action) from error
            message = "The media_jobs item was deleted while the job was being accepted."
            finish(self._service, self._ledger, run, None, Failed("lost", message, "missing_item"))
            raise

    def push(self, run: Run, *, least_attempt: int | None = None) -> tuple[bool, Accepted]:
        """Write the ledger entry and the message, both or neither; tell whether they were not there yet.

        Args:
            least_attempt: of a run that was accepted some time ago, the largest attempt number on record.
        """
        written, bull = self._accept(run, least_attempt)
        while not bull:
            run = self._renumbered(run)
            written, bull = self._accept(run, least_attempt)
        spec = run.spec
        log.info(
            "job accepted" if written else "job accepted before",
            **{"job_id": spec.job_id, "bull_job_id": bull, "operation": spec.operation, "round": run.round},
        )
        return written, Accepted(spec.job_id, bull)

    def _accept(self, run: Run, least_attempt: int | None) -> tuple[bool, str]:
        return self._ledger.accept(
            run,
            broker_list=broker.broker_list(run),
            message=self._envelopes.message(run),
            least_attempt=max(least_attempt or 0, run.spec.attempts_before),
            accepted_ms=None if least_attempt is None else _ms(run.accepted_at),
        )

    def _renumbered(self, run: Run) -> Run:
        """Return a run with another number, told to the records: Redis was emptied, and its own was given anew.

        Two who push it at once get the same one, so that the records and the ledger cannot come to differ.
        """
        bull = bull_job_id(self._prefix, run.queue, self.numbers.instead(run))
        log.warning("run gets another number", job_id=run.spec.job_id, bull_job_id=run.bull_job_id, now=bull)
        if not run.ledger_only:
            self._service.update_item("media_job_runs", run.id, {"bull_job_id": bull, "number": int(number_of(bull))})
            self._service.update_item("media_jobs", run.spec.job_id, {"bull_job_id": bull})
        return replace(run, bull_job_id=bull)

    @contextmanager
    def _given_up_on_failure(self, run: Run) -> Iterator[None]:
        """Let the next request for this run finish accepting it where the records do not answer this one."""
        try:
            yield
        except RecordsUnavailable:
            self._notes.give_up(run)
            raise

    def restore(self, run: Run, forget: Callable[[], bool]) -> bool:
        """Write a run into a ledger that has lost it; what runs at this moment stays as it is.

        Args:
            forget: takes what is left of it out of the ledger; False where it is there after all.

        Returns:
            whether it was written.
        """
        if not self._ledger.is_leased(run):
            self._say_queued(run)
        least_attempt = self._attempts_on_record(run)
        written = forget() and self.push(run, least_attempt=least_attempt)[0]
        if written:
            log.warning("run restored", job_id=run.spec.job_id, round=run.round)
        else:
            self._undo_late_queued(run)
        return written

    def _take_over(self, run: Run) -> Accepted:
        log.warning("acceptance taken over", job_id=run.spec.job_id, round=run.round)
        self._say_queued(run)
        written, accepted = self.push(run, least_attempt=self._attempts_on_record(run))
        if not written:
            self._undo_late_queued(run)
        return accepted

    def _attempts_on_record(self, run: Run) -> int:
        """Return the largest attempt number that can have begun, for when Redis has forgotten it.

        A run's first attempt leaves no note, so it is taken to have begun.
        """
        rows = self._service.list_items(
            "media_job_outputs", {"job_id": run.spec.job_id}, sort=("-attempt",), limit=1, fields=("attempt",)
        )
        noted = self._service.get_item("media_job_runs", run.id, ("attempt",))["attempt"] or 0
        return max(int(rows[0]["attempt"]) if rows else 0, int(noted), run.spec.attempts_before + 1)

    def _undo_late_queued(self, run: Run) -> None:
        """Write the end again over a `queued` that came too late: somebody else had pushed the run, and it has run."""
        result = self.result_of(run)
        if result is not None:
            fields = item_fields(outcome_of(result), result["finished_at"], result["peak_memory_bytes"])
            self._service.update_item("media_jobs", run.spec.job_id, fields)


def _age_s(run: Run) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(run.accepted_at)).total_seconds()


def _ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _queued_fields(run: Run) -> Mapping[str, Any]:
    return {
        "status": "queued",
        "bull_job_id": run.bull_job_id,
        "operation": run.spec.operation,
        "priority": run.spec.priority,
        "retry_count": run.round - 1,
        "quota": run.spec.quota,
        "progress": 0,
        "error_code": None,
        "error_message": None,
        "result": None,
        "started_at": None,
        "completed_at": None,
    }
