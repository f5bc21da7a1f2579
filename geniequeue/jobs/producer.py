"""Accept, retry and cancel jobs: each told as the sentences of its contract. The mechanism is in `runs`."""

from __future__ import annotations

import uuid
from dataclasses import replace

from geniequeue.errors import RequestRefused
from geniequeue.jobs.finish import finish, outcome_name, outcome_of
from geniequeue.jobs.job import DEFAULT_PRIORITY, FINAL_STATES, RETRY_PRIORITY, Run, Spec, job_key, number_of, run_id_of
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.outcome import Cancelled, Completed, Final
from geniequeue.jobs.request import MediaRequest, TraceRequest, check_files, load_item, merge, not_found, owned_by
from geniequeue.jobs.runs import Accepted, Runs
from geniequeue.jobs.trace_request import check_asset, item_of_trace, trace_spec
from geniequeue.jobs.unit import is_used, reserve
from geniequeue.jobs.view import is_sent
from geniequeue.operations import OPERATIONS
from geniequeue.principal import Principal
from geniequeue.quota import Quota, QuotaRefused, Unit
from geniequeue.records.protocol import Item, RecordStore

FAILED_STATUSES = frozenset({"failed", "error"})


class Producer:
    """Puts jobs onto the queues and takes them off.

    Args:
        store: records and files.
        ledger: of the queues.
        quota: of the jobs' owners.
        prefix: `LEDGER_PREFIX`, part of the `bullJobId`.
    """

    def __init__(self, store: RecordStore, ledger: Ledger, quota: Quota, prefix: str) -> None:
        self._store = store
        self._service = store.as_service()
        self._ledger = ledger
        self._quota = quota
        self.runs = Runs(self._service, ledger, prefix)

    def accept(self, request: MediaRequest, principal: Principal) -> Accepted:
        """Put a job onto its queue; the same job again, while it is open, gets the same answer.

        Raises:
            RequestRefused: 403, 404, 409 or 422.
            LedgerUnavailable, RecordsUnavailable: nothing was half-accepted that the next try would not finish.
        """
        item = load_item(self._service, request.job_id)
        if item is None:
            return self._accept_without_item(request, principal)
        owner_id = owned_by(self._service, item, principal)
        spec = merge(request, item, owner_id, self._service)
        standing, number = self.runs.known(spec)
        if standing is None:
            run, created = self._create(self._checked(spec, principal), 1, number)
            if created:
                return self.runs.enqueue(run)
            standing = run
        return self._answer_again(standing, spec)

    def trace(self, request: TraceRequest, principal: Principal) -> Accepted:
        """Put a trace onto its queue, under an item that is created for it as its caller.

        Raises:
            RequestRefused: 404 for a file that is not the caller's, 422.
        """
        spec = self._checked(trace_spec(request, str(uuid.uuid4()), principal.user_id), principal)
        _, number = self.runs.known(spec)  # before the item is written, for without Redis nothing may be
        self._store.as_user(principal.token).create_item("media_jobs", item_of_trace(spec))
        run, _ = self._create(spec, 1, number)
        return self.runs.enqueue(run)

    def retry(self, job_id: str, principal: Principal, request_id: str) -> Accepted:
        """Put a failed job onto its queue again, as a new round at priority 5.

        Raises:
            RequestRefused: 403, 404; 409 when the job is in another state.
        """
        item, owner_id = self._own_item(job_id, principal)
        if item["status"] not in FAILED_STATUSES:
            raise _not_failed(item)
        last = self.runs.latest(job_id)
        if last is None:
            spec = self._checked(self._spec_of_item(item, owner_id, request_id), principal)
            run, created = self._create(spec, 1)
        else:
            result = self.runs.result_of(last)
            if result is None:
                return self.runs.wait_for(last)
            self.runs.settle(last, result)
            spec = replace(
                last.spec, priority=RETRY_PRIORITY, request_id=request_id, attempts_before=int(result["attempt"])
            )
            run, created = self._create(spec, last.round + 1, held=last.spec.unit)
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
        result = self.runs.result_of(run)
        if result is not None:
            raise _not_running(outcome_name(self.runs.settle(run, result)))
        self._ledger.ask_to_cancel(run)
        entry = self._ledger.entry(run.queue, run.number)
        if entry is not None and entry.state == "active":
            return "cancelling"
        ended = finish(self._service, self._ledger, run, None, Cancelled())
        if not isinstance(ended.outcome, Cancelled):
            raise _not_running(outcome_name(ended.outcome))
        return "cancelled"

    def _checked(self, spec: Spec, principal: Principal) -> Spec:
        """Check with the caller's own rights that he may have this done to these files; return the spec with sizes."""
        as_user = self._store.as_user(principal.token)
        check_asset(self._service, as_user, spec, principal)
        return check_files(as_user, spec)

    def _create(self, spec: Spec, round_: int, number: str = "", *, held: Unit | None = None) -> tuple[Run, bool]:
        """Take a unit of the owner's quota and create the run; what `Runs.create` returns.

        A request that dies in between leaves a unit that no run has; settling the quota gives it back.
        """
        paid, taken = reserve(self._quota, spec, round_, held)
        run, created = self.runs.create(paid, round_, number)
        if not created and taken.fresh and taken.unit is not None and not self._counts_on(taken.unit, run):
            self._quota.give_back(taken.unit)
        return run, created

    def _counts_on(self, unit: Unit, standing: Run) -> bool:
        """Tell whether a run that somebody else created needs this unit."""
        if standing.spec.unit is None or standing.spec.unit.id != unit.id:
            return False
        result = self.runs.result_of(standing)
        return result is None or is_used(standing, outcome_of(result), int(result["attempt"]))

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
        key, queue = job_key(spec.job_id, principal.user_id), OPERATIONS[spec.operation].queue
        standing, number = self.runs.numbers.current_or_next(key, queue)
        if standing is None:
            self._check_quota(spec)
            run = self.runs.new(spec, run_id_of(key, 1), 1, number, ledger_only=True)
            return self.runs.push(run)[1]
        entry = self._ledger.entry(queue, number_of(standing["bull"]))
        if entry is not None and entry.state in FINAL_STATES:
            raise RequestRefused(
                409, "use_retry", "The job has failed, because it has no media_jobs item; create the item first."
            )
        return Accepted(spec.job_id, standing["bull"])

    def _check_quota(self, spec: Spec) -> None:
        """Refuse a job that will fail where its owner could not have it either; it takes no unit."""
        verdict = self._quota.can_perform(spec.owner_id, spec.operation)
        if not verdict.allowed:
            raise QuotaRefused(verdict)

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
    message = f"The job is {item['status']}; only a failed job can be retried."
    if not is_sent(item):
        message = "The job was never sent to its queue, so there is nothing to retry; POST /api/queue/media sends it."
    return RequestRefused(409, "not_failed", message, reason=item["status"])


def _not_running(status: str) -> RequestRefused:
    if status in FINAL_STATES | FAILED_STATUSES:
        message = f"The job is {status}; only a job that waits or runs can be cancelled."
        return RequestRefused(409, "already_final", message, reason=status)
    message = "The job was never sent to its queue, so there is nothing to cancel; POST /api/queue/media sends it."
    return RequestRefused(409, "not_accepted", message, reason=status)
