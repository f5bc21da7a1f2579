"""The ledger: which job is where, in BullMQ's layout.

Every move is one Lua script, so that a job lies in exactly one set.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import redis

from geniequeue import metrics
from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs import keys
from geniequeue.jobs.job import Entry, Lease, Run, Spec
from geniequeue.jobs.keys import QueueKeys
from geniequeue.jobs.outcome import Final
from geniequeue.jobs.stats import Overview, QueueCounts, TaxonomyFigures
from geniequeue.jobs.stored import entry_of, final_fields, object_of
from geniequeue.operations import OPERATIONS, QUEUES
from geniequeue.redis_budget import BudgetedConnection, BudgetedTLSConnection
from geniequeue.scripts import Scripts

CANCEL_FLAG_S = 86_400
TRIM_BATCH = 200
REDIS_TIMEOUT_S = 2.5

Refusal = Literal["unknown", "final", "stale", "paused", "leased", "delayed"]
Finish = Literal["ok", "unknown", "final", "stale", "active"]


def connect(url: str, *, name: str | None = None) -> redis.Redis:
    """Open a Redis client that answers or fails within 3 s.

    Args:
        name: what `CLIENT LIST` shows; `QueueKeys.connection_name` for a worker.
    """
    return redis.Redis.from_url(
        url,
        connection_class=BudgetedTLSConnection if url.startswith("rediss:") else BudgetedConnection,
        decode_responses=True,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        health_check_interval=30,
        client_name=name,
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Turn what Redis raises into `LedgerUnavailable`."""
    try:
        yield
    except redis.RedisError as error:
        raise LedgerUnavailable(f"Redis: {error}") from error


class Ledger:
    """The ledger of all queues in one Redis database.

    Every method raises `LedgerUnavailable` when Redis cannot be reached or refuses to write.

    Args:
        client: connection with decoded responses.
        prefix: `LEDGER_PREFIX`.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._prefix = prefix
        self._scripts = Scripts(client, "geniequeue.jobs", _SCRIPTS)

    @property
    def client(self) -> redis.Redis:
        """The connection that it uses."""
        return self._redis

    def queue_keys(self, queue: str) -> QueueKeys:
        """Return the key names of one queue."""
        return QueueKeys(self._prefix, queue)

    def ping(self) -> None:
        """Raise `LedgerUnavailable` unless Redis answers and takes writes."""
        with reachable():
            self._redis.set(keys.ping(), "1", px=60_000)

    def next_number(self, queue: str) -> str:
        """Return the next job number of a queue, one that no job has; '' until `number_from` was called."""
        k = self.queue_keys(queue)
        return _number(self._call("number", [k.number(), k.largest()], [k.job("")])[0])

    def current_or_number(self, job_key: str, queue: str) -> tuple[Mapping[str, str] | None, str]:
        """Return what `current` does; where that is None, what `next_number` does, in the same round trip."""
        k = self.queue_keys(queue)
        number, *known = self._call("number", [k.number(), k.largest(), keys.job_index(job_key)], [k.job("")])
        return (dict(zip(("run", "round", "bull"), known, strict=True)), "") if known else (None, _number(number))

    def number_from(self, queue: str, largest: int) -> bool:
        """Let the numbers of a queue go on above the largest one on record; False where Redis knows it already."""
        with reachable():
            return bool(self._redis.set(self.queue_keys(queue).largest(), largest, nx=True))

    def current(self, job_key: str) -> Mapping[str, str] | None:
        """Return `run`, `round`, `bull` of a job's latest run as far as Redis knows."""
        with reachable():
            found = cast("dict[str, str]", self._redis.hgetall(keys.job_index(job_key)))
        return found if "run" in found else None

    def accept(
        self, run: Run, *, broker_list: str, message: str, least_attempt: int = 0, accepted_ms: int | None = None
    ) -> tuple[bool, str]:
        """Write a run into the ledger and push its message, once however often it is called.

        Args:
            least_attempt: largest attempt number in the records, so that numbers grow also when Redis was emptied.
            accepted_ms: when the run was accepted, by default at this moment.

        Returns:
            whether it was not there yet, and the `bullJobId` that stands there, '' where another job has its number.
        """
        k, spec = self.queue_keys(run.queue), run.spec
        data = {"jobId": spec.job_id, "operation": spec.operation, "runId": run.id, "requestId": spec.request_id}
        if run.ledger_only:
            data["ledgerOnlyUser"] = spec.owner_id
        opts = {"priority": spec.priority, "attempts": OPERATIONS[spec.operation].max_tries}
        names = [k.prioritized(), k.wait(), k.priority_counter(), k.events(), k.meta(), broker_list]
        written, bull = self._call(
            "accept",
            [keys.job_index(run.key), k.job(run.number), *names],
            [
                *(run.number, run.id, run.round, spec.priority, spec.operation),
                *(json.dumps(data), json.dumps(opts), message, run.bull_job_id, least_attempt),
                "" if accepted_ms is None else accepted_ms,
            ],
        )
        return written == 1, str(bull)

    def lease(self, run: Run, *, worker: str, lease_s: float, holder: str = "") -> Lease | Refusal:
        """Ask for the right to run a job.

        Args:
            worker: name of the worker.
            holder: who renews the lease, a `Holder` as text; by default the worker's name, which nobody can look for.

        Returns:
            the lease, or why there is none.
        """
        k = self.queue_keys(run.queue)
        names = [
            *(keys.job_index(run.key), k.job(run.number), k.lock(run.number), k.prioritized(), k.wait()),
            *(k.delayed(), k.active(), k.completed(), k.failed(), k.events(), k.meta(), k.paused()),
            metrics.key(),
        ]
        args = [run.number, run.id, worker, int(lease_s * 1000), holder or worker, uuid.uuid4().hex]
        try:
            answer = self._call("lease", names, args)
        except LedgerUnavailable:
            # a lease that was given, but not heard of, would keep the job from everybody until it ran out
            answer = self._call("lease", names, args)
        if answer[0] == "given":
            attempt, tries, losses, killed_for = answer[1:]
            return Lease(attempt, tries, losses, killed_for)
        return cast("Refusal", answer[0])

    def is_leased(self, run: Run) -> bool:
        """Tell whether somebody holds a job."""
        with reachable():
            return bool(self._redis.exists(self.queue_keys(run.queue).lock(run.number)))

    def progress(self, run: Run, attempt: int, percent: float | None) -> Literal["ok", "cancel", "stale"]:
        """Write progress, 0 to 100, or nothing, and learn whether to go on."""
        k = self.queue_keys(run.queue)
        names = [k.events(), k.cancel(run.number), k.completed(), k.failed()]
        answer = self._call(
            "progress",
            [keys.job_index(run.key), k.job(run.number), *names],
            [run.number, attempt, "" if percent is None else json.dumps(round(percent, 1))],
        )
        return cast("Literal['ok', 'cancel', 'stale']", answer)

    def delay(
        self, run: Run, attempt: int, *, after_s: float, reason: str, why: str = "", counted: bool = True
    ) -> bool:
        """Put an active job off; False when a newer attempt exists.

        Args:
            reason, why: a sentence, and a word for it, that are shown while the job waits.
            counted: whether the attempt was one of the tries that the job has.
        """
        k = self.queue_keys(run.queue)
        due_ms = self._call(
            "delay",
            [
                *(keys.job_index(run.key), k.job(run.number), k.lock(run.number)),
                *(k.active(), k.delayed(), k.events(), metrics.key()),
            ],
            [run.number, attempt, int(after_s * 1000), reason, int(counted), why],
        )
        return bool(due_ms)

    def finish(self, run: Run, attempt: int | None, outcome: Final) -> Finish:
        """Move a job to its final set; without an attempt only a job that is not active."""
        k = self.queue_keys(run.queue)
        name, returned, reason = final_fields(outcome)
        answer = self._call(
            "finish",
            [
                *(keys.job_index(run.key), k.job(run.number), k.lock(run.number), k.prioritized(), k.wait()),
                *(k.delayed(), k.active(), k.completed(), k.failed(), k.events(), k.counts()),
                *(k.cancel(run.number), k.paused(), keys.ended_runs()),
                metrics.key(),
            ],
            [
                *(run.number, "" if attempt is None else attempt, name, json.dumps(returned), reason),
                "" if run.ledger_only else f"{run.id}/{run.spec.job_id}",
            ],
        )
        return cast("Finish", answer)

    def ask_to_cancel(self, run: Run) -> None:
        """Raise the flag that a running attempt looks at."""
        with reachable():
            self._redis.set(self.queue_keys(run.queue).cancel(run.number), "1", ex=CANCEL_FLAG_S)

    def cancel_asked(self, run: Run) -> bool:
        """Tell whether somebody asked for the job to stop."""
        with reachable():
            return bool(self._redis.exists(self.queue_keys(run.queue).cancel(run.number)))

    def run_without_item(self, run_id: str, bull_job_id: str) -> Run | None:
        """Return a run that lives in the ledger only, None where there is none."""
        queue, number = bull_job_id.split(":")[-2:]
        with reachable():
            stored = cast("str | None", self._redis.hget(self.queue_keys(queue).job(number), "data"))
        data = object_of(stored)
        if "ledgerOnlyUser" not in data or data["runId"] != run_id:
            return None
        spec = Spec(data["operation"], data["jobId"], data["ledgerOnlyUser"], {}, request_id=data["requestId"])
        return Run(run_id, 1, queue, bull_job_id, spec, accepted_at="", ledger_only=True)

    def entry(self, queue: str, number: str) -> Entry | None:
        """Return one job as the ledger has it."""
        k = self.queue_keys(queue)
        names = [k.completed(), k.failed(), k.delayed(), k.prioritized(), k.active(), k.wait(), k.paused()]
        state, *pairs = self._call("entry", [k.job(number), *names], [number])
        return entry_of(state, dict(zip(pairs[::2], pairs[1::2], strict=True))) if state else None

    def overview(self) -> Overview:
        """Return the numbers of all queues and what is told beside them, at one instant."""
        names = [keys.snapshot(), keys.taxonomy()]
        for queue in QUEUES:
            k = self.queue_keys(queue)
            names += [k.wait(), k.paused(), k.prioritized(), k.active(), k.delayed(), k.counts()]
        said, taxonomy, *rows = self._call("stats", names, [])
        counts = {queue: QueueCounts(*row) for queue, row in zip(QUEUES, rows, strict=True)}
        return Overview(counts, object_of(said), TaxonomyFigures(*taxonomy))

    def counts(self) -> Mapping[str, QueueCounts]:
        """Return the numbers of all queues at one instant."""
        return self.overview().counts

    def counted_at_least(self, queue: str, counts: Mapping[str, int]) -> None:
        """Raise the counters of a queue to these; none is lowered."""
        self._call("raise", [self.queue_keys(queue).counts()], [part for pair in counts.items() for part in pair])

    def trim(self, *, keep: int, keep_s: int) -> int:
        """Forget final jobs beyond a number per set or an age in seconds; counters stay as they are.

        Returns:
            how many were forgotten.
        """
        forgotten = 0
        for queue in QUEUES:
            k = self.queue_keys(queue)
            for name in (k.completed(), k.failed()):
                while batch := int(self._call("trim", [name], [keep, keep_s * 1000, k.job(""), TRIM_BATCH])):
                    forgotten += batch
        return forgotten

    def _call(self, name: str, script_keys: Sequence[str], args: Sequence[Any]) -> Any:
        with reachable():
            return self._scripts.call(name, script_keys, args)


_SCRIPTS = ("number", "accept", "lease", "progress", "delay", "finish", "entry", "stats", "raise", "trim")


def _number(given: int) -> str:
    return str(given) if given > 0 else ""
