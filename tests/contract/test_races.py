"""Many at once: the one atomic claim holds between threads and between processes."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any, Protocol

from geniequeue.errors import RecordNotUnique
from geniequeue.records.protocol import Records, RecordStore
from tests.contract.conftest import Place, new_id, run_of, store_file

THREADS = 16
PROCESSES = 4
ROUNDS = 10


class _Waits(Protocol):
    def wait(self) -> object: ...


def _claim(records: Records, item_id: str, claimant: str, start: _Waits) -> bool:
    start.wait()
    try:
        records.create_item("media_job_runs", run_of(new_id(), id=item_id, operation=claimant))
    except RecordNotUnique:
        return False
    return True


def test_of_many_threads_that_create_one_id_exactly_one_wins(service: Records) -> None:
    start = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(ROUNDS):
            item_id = new_id()
            won = list(pool.map(lambda n, i=item_id: _claim(service, i, str(n), start), range(THREADS)))
            assert won.count(True) == 1
            assert service.get_item("media_job_runs", item_id)["operation"] == str(won.index(True))


def _claim_all(open_store: Callable[[], RecordStore], ids: list[str], name: str, start: Barrier, won: Any) -> None:
    records = open_store().as_service()
    won.put((name, [item_id for item_id in ids if _claim(records, item_id, name, start)]))


def test_of_many_processes_that_create_one_id_exactly_one_wins(place: Place, service: Records) -> None:
    context = multiprocessing.get_context("spawn")
    ids, start, won = [new_id() for _ in range(ROUNDS)], context.Barrier(PROCESSES), context.Queue()
    claimants = [
        context.Process(target=_claim_all, args=(place.open_again, ids, str(n), start, won), daemon=True)
        for n in range(PROCESSES)
    ]
    for process in claimants:
        process.start()
    claims = [won.get(timeout=60) for _ in claimants]
    for process in claimants:
        process.join()
    assert sorted(item_id for _, mine in claims for item_id in mine) == sorted(ids)
    for name, mine in claims:
        assert all(service.get_item("media_job_runs", item_id)["operation"] == name for item_id in mine)


def test_of_many_uploads_under_one_id_exactly_one_wins(service: Records, tmp_path: Path) -> None:
    file_id, start, sources = new_id(), threading.Barrier(THREADS), []
    for n in range(THREADS):
        sources.append(tmp_path / str(n))
        sources[n].write_bytes(bytes([n]) * (1000 + n))
    winners: Queue[Path] = Queue()

    def upload(source: Path) -> None:
        start.wait()
        try:
            store_file(service, source, file_id=file_id)
        except RecordNotUnique:
            return
        winners.put(source)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(upload, sources))
    assert winners.qsize() == 1
    winner = winners.get()
    assert service.open_file(file_id).read() == winner.read_bytes()
    assert service.get_file(file_id).filesize == winner.stat().st_size


def test_writers_in_many_threads_lose_nothing(service: Records) -> None:
    def write(n: int) -> None:
        job = service.create_item("media_jobs", {"operation": str(n)})["id"]
        for progress in (10, 50, 100):
            assert service.update_item("media_jobs", job, {"progress": progress})["progress"] == progress

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(100)))
    assert service.count_items("media_jobs", {"progress": 100}) == 100
