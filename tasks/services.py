"""What a task needs, made once per process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from geniequeue.accounts import Accounts
from geniequeue.config import Settings
from geniequeue.jobs.leases import Leases
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.reconciling import Reconciling
from geniequeue.jobs.restoring import Restoring
from geniequeue.jobs.runs import Runs
from geniequeue.quota import Quota
from geniequeue.records import open_store
from geniequeue.records.protocol import Records


@dataclass(frozen=True)
class Services:
    """Settings, records with the service's rights, ledger, leases, runs, quota, what puts a ledger right."""

    settings: Settings
    records: Records
    ledger: Ledger
    leases: Leases
    runs: Runs
    quota: Quota
    restoring: Restoring
    reconciling: Reconciling


@cache
def services_for(settings: Settings, pid: int) -> Services:
    """Return the services of this process; the pid keeps a forked child from using its parent's connections."""
    del pid
    records, client = open_store(settings).as_service(), connect(settings.redis_url)
    ledger = Ledger(client, settings.ledger_prefix)
    leases, runs = Leases(ledger), Runs(records, ledger, settings.ledger_prefix)
    return Services(
        settings=settings,
        records=records,
        ledger=ledger,
        leases=leases,
        runs=runs,
        quota=Quota(client, records, Accounts(records)),
        restoring=Restoring(records, ledger, runs),
        reconciling=Reconciling(records, ledger, leases),
    )
