"""Accept, retry and cancel jobs. Each is told as the sentences of its contract; the mechanism is below, in call order.

A run is accepted in four steps, each of which may be done again: number, run row, item, ledger with message. A crash
after the row leaves an open run without a ledger entry; the same request again, or the sweeper, finishes it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from geniequeue.errors import RecordForbidden, RecordNotUnique, RequestRefused
from geniequeue.jobs import broker
from geniequeue.jobs.finish import finish, now_iso
from geniequeue.jobs.job import FINAL_STATES, RETRY_PRIORITY, Run, Spec, bull_job_id, run_id_of
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.outcome import Cancelled
from geniequeue.jobs.request import (
    MediaRequest,
    check_files,
    load_item,
    merge,
    not_found,
    owned_by,
    row_of,
    run_from_row,
)
from geniequeue.log import get_logger
from geniequeue.operations import OPERATIONS
from geniequeue.principal import Principal
from geniequeue.records.protocol import Item, RecordStore

FAILED_STATUSES = frozenset({"failed", "error"})
RUN_FIELDS = ("id", "job_id", "round", "spec", "bull_job_id", "accepted_at", "open")

TAKEOVER_S = 10.0
AWAIT_POLL_S = 0.02
AWAIT_POLLS = 100

log = get_logger(__name__)


@dataclass(frozen=True)
class Accepted:
    """What the caller is told."""

    job_id: str
    bull_job_id: str


class Producer:
    """Puts jobs onto the queues and takes them off.

    Args:
        store: records and files.
        ledger: of the queues.
        prefix: `LEDGER_PREFIX`, part of the `bullJobId`.
    """

    def __init__(self, store: RecordStore, ledger: Ledger, prefix: str) -> None:
        self._store = store
        self._service = store.as_service()
        self._ledger = ledger
        self._prefix = prefix
        self._envelopes = broker.Envelopes()

    def accept(self, request: MediaRequest, principal: Principal) -> Accepted:
        """Put a job onto its queue; the same job again, while it is open, gets the same answer.

        Raises:
            RequestRefused: 404, 409 or 422.
            LedgerUnavailable, RecordsUnavailable: nothing was half-accepted that the next try would not finish.
        """
        item = load_item(self._service, request.job_id)
        if item is None:
            return self._accept_without_item(request, principal)
        owner_id = owned_by(self._service, item, principal)
        spec = merge(request, item, owner_id, self._service)
        standing = self._known_run(spec.job_id)
        if standing is None:
            check_files(self._store.as_user(principal.token), spec)
            run, created = self._create_run(spec, round_=1)
            if created:
                return self._enqueue(run)
            standing = run
        return self._answer_again(standing, spec)

    def retry(self, job_id: str, principal: Principal, request_id: str) -> Accepted:
        """Put a failed job onto its queue again, as a new round at priority 5.

        Raises:
            RequestRefused: 404; 409 when the job is in another state.
        """
        item = load_item(self._service, job_id)
        if item is None:
            raise not_found(job_id)
        owner_id = owned_by(self._service, item, principal)
        if item["status"] not in FAILED_STATUSES:
            raise _not_failed(item)
        last = self.latest_run(job_id)
        result = self._result_of(last) if last else None
        if last is not None and result is None:
            return self._await(last)
        spec = self._spec_again(item, last, owner_id, request_id, result["attempt"] if result else 0)
        run, _ = self._create_run(spec, round_=last.round + 1 if last else 1)
        return self._enqueue(run)

    def cancel(self, job_id: str, principal: Principal) -> str:
        """Stop a job; return `cancelled` for one that waited, `cancelling` for one that runs.

        Raises:
            RequestRefused: 404; 409 when the job is final or was never accepted.
        """
        item = load_item(self._service, job_id)
        if item is None:
            raise not_found(job_id)
        owned_by(self._service, item, principal)
        run = self.latest_run(job_id)
        if run is None or not run.open:
            final = item["status"] in FINAL_STATES | FAILED_STATUSES
            code = "already_final" if final else "not_accepted"
            message = f"The job is {item['status']}; only a job that waits or runs can be cancelled."
            raise RequestRefused(409, code, message, reason=item["status"])
        self._ledger.ask_to_cancel(run)
        entry = self._ledger.entry(run.queue, run.number)
        if entry is not None and entry.state == "active":
            return "cancelling"
        finish(self._service, self._ledger, run, None, Cancelled())
        return "cancelled"

    def _accept_without_item(self, request: MediaRequest, principal: Principal) -> Accepted:
        """Accept a job whose item does not exist: the worker will fail it, as the source document says."""
        spec = Spec(
            operation=request.operation,
            job_id=request.job_id,
            owner_id=principal.user_id,
            params={},
            priority=10 if request.priority is None else request.priority,
            request_id=request.request_id,
        )
        run = self._new_run(spec, run_id_of(f"{principal.user_id}/{spec.job_id}", 1), 1, ledger_only=True)
        standing = self._ledger.current(run.key)
        if standing is not None:
            return Accepted(spec.job_id, standing["bull"])
        return self._push(replace(run, bull_job_id=self._next_bull_job_id(spec)))

    def _answer_again(self, standing: Run, spec: Spec) -> Accepted:
        """Answer a request for a job that has a run already."""
        result = None if standing.open else self._result_of(standing)
        if result is None:
            self._refuse_other_request(standing, spec)
            return self._await(standing)
        match result["outcome"]:
            case "completed":
                raise RequestRefused(
                    409, "already_completed", "The job is completed; create a new one to run it again."
                )
            case "cancelled":
                raise RequestRefused(409, "already_cancelled", "The job was cancelled; create a new one to run it.")
        raise RequestRefused(409, "use_retry", "The job has failed; POST /api/queue/retry/<jobId> runs it again.")

    def _refuse_other_request(self, standing: Run, spec: Spec) -> None:
        differing = standing.spec.differences(spec)
        if differing and standing.round == 1:
            message = (
                f"The job is queued already, with another {', '.join(differing)}; use a new job for a new request."
            )
            errors = {name: ["differs from the queued job"] for name in differing}
            raise RequestRefused(409, "already_queued", message, errors=errors)

    def _result_of(self, run: Run) -> Item | None:
        try:
            return self._service.get_item("media_job_results", run.id, ("outcome", "attempt"))
        except RecordForbidden:
            return None

    def _known_run(self, job_id: str) -> Run | None:
        """Return the latest run that Redis knows of; where it has forgotten one, creating it again will tell."""
        known = self._ledger.current(job_id)
        if known is None:
            return None
        try:
            return run_from_row(self._service.get_item("media_job_runs", known["run"], RUN_FIELDS))
        except RecordForbidden:
            return None

    def latest_run(self, job_id: str) -> Run | None:
        """Return the latest run in the records, whatever Redis knows."""
        rows = self._service.list_items(
            "media_job_runs", {"job_id": job_id}, sort=("-round",), limit=1, fields=RUN_FIELDS
        )
        return run_from_row(rows[0]) if rows else None

    def _create_run(self, spec: Spec, *, round_: int) -> tuple[Run, bool]:
        """Create the run's row; where somebody was faster, or Redis had forgotten, return what stands there."""
        run = self._new_run(spec, run_id_of(spec.job_id, round_), round_)
        run = replace(run, bull_job_id=self._next_bull_job_id(spec))
        try:
            self._service.create_item("media_job_runs", row_of(run))
        except RecordNotUnique:
            latest = self.latest_run(spec.job_id)
            if latest is None:
                raise
            return latest, False
        return run, True

    def _new_run(self, spec: Spec, run_id: str, round_: int, *, ledger_only: bool = False) -> Run:
        return Run(
            id=run_id,
            round=round_,
            queue=OPERATIONS[spec.operation].queue,
            bull_job_id="",
            spec=spec,
            accepted_at=now_iso(),
            ledger_only=ledger_only,
        )

    def _next_bull_job_id(self, spec: Spec) -> str:
        queue = OPERATIONS[spec.operation].queue
        return bull_job_id(self._prefix, queue, self._ledger.next_number(queue))

    def _await(self, run: Run) -> Accepted:
        """Answer for a run that another request is accepting, or finish it where that request died.

        Only whoever created the run writes the item, so that a late `queued` cannot overwrite what the worker wrote;
        a run that has stood for `TAKEOVER_S` without a ledger entry has nobody left who would.
        """
        for _ in range(AWAIT_POLLS):
            known = self._ledger.current(run.key)
            if known is not None and int(known["round"]) >= run.round:
                return Accepted(run.spec.job_id, known["bull"])
            if age_s(run) > TAKEOVER_S:
                return self._enqueue(run)
            time.sleep(AWAIT_POLL_S)
        message = "The job is being accepted by another request; send the same request again."
        raise RequestRefused(503, "being_accepted", message, retry_after_s=int(TAKEOVER_S))

    def _enqueue(self, run: Run) -> Accepted:
        """Say on the item that it is queued, then push it."""
        self._service.update_item("media_jobs", run.spec.job_id, _queued_fields(run))
        return self._push(run)

    def _push(self, run: Run) -> Accepted:
        bull = self._ledger.accept(run, broker_list=broker.broker_list(run), message=self._envelopes.message(run))
        log.info(
            "job accepted", job_id=run.spec.job_id, bull_job_id=bull, operation=run.spec.operation, round=run.round
        )
        return Accepted(run.spec.job_id, bull)

    def _spec_again(self, item: Item, last: Run | None, owner_id: str, request_id: str, attempts: int) -> Spec:
        """Return what a retry runs: what was accepted before, or the item where nothing ever was."""
        if last is not None:
            return replace(last.spec, priority=RETRY_PRIORITY, request_id=request_id, attempts_before=attempts)
        if item.get("operation") not in OPERATIONS:
            raise RequestRefused(
                422,
                "invalid_request",
                "The stored job names no operation of this service.",
                errors={"operation": [f"expected one of {', '.join(OPERATIONS)}, got {item.get('operation')!r}"]},
            )
        request = MediaRequest(str(item["id"]), item["operation"], priority=RETRY_PRIORITY, request_id=request_id)
        return merge(request, item, owner_id, self._service)


def age_s(run: Run) -> float:
    """Return how long ago a run was accepted."""
    return (datetime.now(UTC) - datetime.fromisoformat(run.accepted_at)).total_seconds()


def _not_failed(item: Item) -> RequestRefused:
    return RequestRefused(
        409, "not_failed", f"The job is {item['status']}; only a failed job can be retried.", reason=item["status"]
    )


def _queued_fields(run: Run) -> dict[str, Any]:
    return {
        "status": "queued",
        "bull_job_id": run.bull_job_id,
        "operation": run.spec.operation,
        "priority": run.spec.priority,
        "retry_count": run.round - 1,
        "progress": 0,
        "error_code": None,
        "error_message": None,
        "result": None,
        "started_at": None,
        "completed_at": None,
    }
