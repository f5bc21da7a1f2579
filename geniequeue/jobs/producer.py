"""Accept, retry and cancel jobs: each told as the sentences of its contract. The mechanism is in `runs`."""

from __future__ import annotations

from dataclasses import replace

from geniequeue.errors import RequestRefused
from geniequeue.jobs.finish import finish
from geniequeue.jobs.job import DEFAULT_PRIORITY, FINAL_STATES, RETRY_PRIORITY, Run, Spec, run_id_of
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.outcome import Cancelled, Completed, Final
from geniequeue.jobs.request import MediaRequest, check_files, load_item, merge, not_found, owned_by
from geniequeue.jobs.runs import Accepted, Runs
from geniequeue.operations import OPERATIONS
from geniequeue.principal import Principal
from geniequeue.records.protocol import Item, RecordStore

FAILED_STATUSES = frozenset({"failed", "error"})


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
        self.runs = Runs(self._service, ledger, prefix)

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
        standing = self.runs.known(spec.job_id)
        if standing is None:
            check_files(self._store.as_user(principal.token), spec)
            run, created = self.runs.create(spec, 1)
            if created:
                return self.runs.enqueue(run)
            standing = run
        return self._answer_again(standing, spec)

    def retry(self, job_id: str, principal: Principal, request_id: str) -> Accepted:
        """Put a failed job onto its queue again, as a new round at priority 5.

        Raises:
            RequestRefused: 404; 409 when the job is in another state.
        """
        item, owner_id = self._own_item(job_id, principal)
        if item["status"] not in FAILED_STATUSES:
            raise _not_failed(item)
        last = self.runs.latest(job_id)
        if last is None:
            spec = self._spec_of_item(item, owner_id, request_id)
            check_files(self._store.as_user(principal.token), spec)
            run, created = self.runs.create(spec, 1)
        else:
            result = self.runs.result_of(last)
            if result is None:
                return self.runs.wait_for(last)
            self.runs.settle(last, result)
            spec = replace(
                last.spec, priority=RETRY_PRIORITY, request_id=request_id, attempts_before=int(result["attempt"])
            )
            run, created = self.runs.create(spec, last.round + 1)
        return self.runs.enqueue(run) if created else self.runs.wait_for(run)

    def cancel(self, job_id: str, principal: Principal) -> str:
        """Stop a job; return `cancelled` for one that waited, `cancelling` for one that runs.

        Raises:
            RequestRefused: 404; 409 when the job is final or was never accepted.
        """
        item, _ = self._own_item(job_id, principal)
        run = self.runs.latest(job_id)
        if run is None or not run.open:
            raise _not_running(item["status"])
        self._ledger.ask_to_cancel(run)
        entry = self._ledger.entry(run.queue, run.number)
        if entry is not None and entry.state == "active":
            return "cancelling"
        ended = finish(self._service, self._ledger, run, None, Cancelled())
        if not isinstance(ended.outcome, Cancelled):
            raise _not_running("completed" if isinstance(ended.outcome, Completed) else "failed")
        return "cancelled"

    def _own_item(self, job_id: str, principal: Principal) -> tuple[Item, str]:
        """Return an item that the caller may act on, and its owner."""
        item = load_item(self._service, job_id)
        if item is None:
            raise not_found(job_id)
        return item, owned_by(self._service, item, principal)

    def _answer_again(self, standing: Run, spec: Spec) -> Accepted:
        """Answer a request for a job that has a run already."""
        result = self.runs.result_of(standing)
        if result is not None:
            raise _ended_already(self.runs.settle(standing, result))
        differing = standing.spec.differences(spec)
        if differing and standing.round == 1:
            message = (
                f"The job is queued already, with another {', '.join(differing)}; use a new job for a new request."
            )
            errors = {name: ["differs from the queued job"] for name in differing}
            raise RequestRefused(409, "already_queued", message, errors=errors)
        return self.runs.wait_for(standing)

    def _accept_without_item(self, request: MediaRequest, principal: Principal) -> Accepted:
        """Accept a job whose item does not exist: the worker will fail it, as the source document says."""
        spec = Spec(
            operation=request.operation,
            job_id=request.job_id,
            owner_id=principal.user_id,
            params={},
            priority=DEFAULT_PRIORITY if request.priority is None else request.priority,
            request_id=request.request_id,
        )
        run = self.runs.new(spec, run_id_of(f"{principal.user_id}/{spec.job_id}", 1), 1, ledger_only=True)
        standing = self._ledger.current(run.key)
        if standing is None:
            return self.runs.push(run)[1]
        entry = self._ledger.entry(run.queue, standing["bull"].rsplit(":", 1)[1])
        if entry is not None and entry.state in FINAL_STATES:
            raise RequestRefused(
                409, "use_retry", "The job has failed, because it has no media_jobs item; create the item first."
            )
        return Accepted(spec.job_id, standing["bull"])

    def _spec_of_item(self, item: Item, owner_id: str, request_id: str) -> Spec:
        """Return what a retry runs where nothing was ever accepted: what the item says."""
        if item.get("operation") not in OPERATIONS:
            raise RequestRefused(
                422,
                "invalid_request",
                "The stored job names no operation of this service.",
                errors={"operation": [f"expected one of {', '.join(OPERATIONS)}, got {item.get('operation')!r}"]},
            )
        request = MediaRequest(str(item["id"]), item["operation"], priority=RETRY_PRIORITY, request_id=request_id)
        return merge(request, item, owner_id, self._service)


def _ended_already(outcome: Final) -> RequestRefused:
    if isinstance(outcome, Completed):
        return RequestRefused(409, "already_completed", "The job is completed; create a new one to run it again.")
    if isinstance(outcome, Cancelled):
        return RequestRefused(409, "already_cancelled", "The job was cancelled; create a new one to run it.")
    return RequestRefused(409, "use_retry", "The job has failed; POST /api/queue/retry/<jobId> runs it again.")


def _not_failed(item: Item) -> RequestRefused:
    return RequestRefused(
        409, "not_failed", f"The job is {item['status']}; only a failed job can be retried.", reason=item["status"]
    )


def _not_running(status: str) -> RequestRefused:
    if status in FINAL_STATES | FAILED_STATUSES:
        message = f"The job is {status}; only a job that waits or runs can be cancelled."
        return RequestRefused(409, "already_final", message, reason=status)
    message = "The job was never sent to its queue, so there is nothing to cancel; POST /api/queue/media sends it."
    return RequestRefused(409, "not_accepted", message, reason=status)
