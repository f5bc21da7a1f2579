"""What the embedded store adds to the contract: accounts, old files, forks, and a disk that fails."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geniequeue.config import load_settings
from geniequeue.errors import RecordForbidden, RecordInvalid, RecordsUnavailable
from geniequeue.records import open_store
from geniequeue.records.definition import Field
from geniequeue.records.directus import DirectusStore
from geniequeue.records.embedded import DATABASE_NAME, EmbeddedStore
from geniequeue.records.embedded_tables import create_missing
from geniequeue.records.schema import COLLECTIONS
from tests.accounts import SECRET
from tests.contract.conftest import new_id, store_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def _open(root: Path) -> EmbeddedStore:
    return EmbeddedStore(root, SECRET, busy_timeout_s=0.05)


def test_the_settings_decide_which_store_opens(tmp_path: Path) -> None:
    values = {"VAR_DIR": str(tmp_path), "REDIS_URL": "redis://localhost", "DIRECTUS_SECRET": SECRET}
    assert isinstance(open_store(load_settings(values)), EmbeddedStore)
    values |= {"DIRECTUS_URL": "http://directus.example", "DIRECTUS_TOKEN": "static"}
    assert isinstance(open_store(load_settings(values)), DirectusStore)


def test_what_was_written_is_there_after_opening_again(root: Path, photo: Path) -> None:
    service = _open(root).as_service()
    job, file_id = service.create_item("media_jobs", {}), store_file(service, photo)
    again = _open(root).as_service()
    assert again.get_item("media_jobs", job["id"]) == job
    assert again.get_file(file_id).filesize == photo.stat().st_size


def test_an_account_is_made_once_and_keeps_what_it_is_not_told(root: Path) -> None:
    store = _open(root)
    first = store.ensure_user("алиса", tier="pro", admin=True)
    assert (first.status, first.admin, first.subscription_tier) == ("active", True, "pro")
    assert (first.subscription_period, first.subscription_start is None) == ("monthly", False)
    assert store.ensure_user("алиса") == first
    assert store.ensure_user("алиса", None, False) == replace(first, admin=False)
    store.set_user_status(first.id, "suspended")
    assert store.ensure_user("алиса", "studio", False).status == "suspended"
    assert store.ensure_user("bob").id != first.id
    with pytest.raises(RecordForbidden):
        store.set_user_status(new_id(), "active")
    with pytest.raises(RecordInvalid):
        store.ensure_user("x" * 300)


def test_a_field_added_to_the_schema_appears_in_an_old_store(root: Path) -> None:
    service = _open(root).as_service()
    service.create_item("media_jobs", {"operation": "old"})
    jobs = COLLECTIONS["media_jobs"]
    wider = replace(jobs, fields=(*jobs.fields, Field("mood", "string", nullable=False, default="it's fine")))
    with closing(sqlite3.connect(root / DATABASE_NAME)) as connection:
        for _ in range(2):
            create_missing(connection, [wider])
        assert connection.execute("SELECT operation, mood FROM media_jobs").fetchall() == [("old", "it's fine")]


def test_columns_of_somebody_else_are_left_alone(root: Path) -> None:
    _open(root)
    with closing(sqlite3.connect(root / DATABASE_NAME)) as connection:
        connection.execute("ALTER TABLE media_jobs ADD COLUMN theirs TEXT")
    service = _open(root).as_service()
    assert "theirs" not in service.create_item("media_jobs", {})


def test_the_folder_is_private(root: Path) -> None:
    _open(root)
    assert root.stat().st_mode & 0o077 == 0


def test_a_store_that_is_locked_too_long_is_unavailable(root: Path) -> None:
    service = _open(root).as_service()
    with closing(sqlite3.connect(root / DATABASE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordsUnavailable) as refusal:
            service.create_item("media_jobs", {})
        assert (refusal.value.collection, refusal.value.action) == ("media_jobs", "create")
        assert service.count_items("media_jobs") == 0
    service.create_item("media_jobs", {})


def test_a_damaged_database_is_unavailable(root: Path) -> None:
    root.mkdir()
    (root / DATABASE_NAME).write_bytes(b"this is no database" * 1000)
    with pytest.raises(RecordsUnavailable):
        _open(root)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordsUnavailable):
        _open(tmp_path / "file" / "store")


def test_a_ping_fails_when_the_folder_is_gone(root: Path) -> None:
    store = _open(root)
    store.ping()
    (root / "files" / "incoming").rmdir()
    with pytest.raises(RecordsUnavailable):
        store.ping()


def _fill_the_disk(root: Path, source: Path, answers: Any) -> None:
    service = _open(root).as_service()
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    seen = []
    try:
        store_file(service, source)
    except RecordsUnavailable as error:
        seen.append((error.collection, error.action))
    try:
        for _ in range(100):
            service.create_item("media_jobs", {"params": {"text": "x" * 20_000}})
    except RecordsUnavailable as error:
        seen.append((error.collection, error.action))
    answers.put(seen)


def test_a_full_disk_is_unavailable_and_leaves_a_whole_store(root: Path, photo: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    writer = context.Process(target=_fill_the_disk, args=(root, photo, answers), daemon=True)
    writer.start()
    assert answers.get(timeout=60) == [("directus_files", "create"), ("media_jobs", "create")]
    writer.join()
    assert list((root / "files").iterdir()) == [root / "files" / "incoming"]
    assert list((root / "files" / "incoming").iterdir()) == []
    service = _open(root).as_service()
    kept = service.count_items("media_jobs")
    service.create_item("media_jobs", {})
    assert service.count_items("media_jobs") == kept + 1


def test_content_left_by_a_crash_is_invisible_and_replaced(root: Path, photo: Path) -> None:
    service, file_id = _open(root).as_service(), new_id()
    (root / "files" / file_id).write_bytes(b"left behind")
    with pytest.raises(RecordForbidden):
        service.open_file(file_id)
    store_file(service, photo, file_id=file_id)
    assert service.open_file(file_id).read() == photo.read_bytes()


def test_content_left_by_a_crash_goes_with_the_file_that_was_never_recorded(root: Path, photo: Path) -> None:
    service, file_id = _open(root).as_service(), new_id()
    stored = store_file(service, photo)
    left = root / "files" / file_id
    left.write_bytes(b"never recorded")
    with pytest.raises(RecordForbidden):
        service.delete_file(file_id)
    assert not left.exists()
    assert (root / "files" / stored).exists()


def test_content_of_somebody_else_stays_when_its_deletion_is_refused(root: Path, photo: Path) -> None:
    store = _open(root)
    file_id = store_file(store.as_service(), photo)
    stranger = store.as_user(store.mint_token(store.ensure_user("stranger"), 60))
    with pytest.raises(RecordForbidden):
        stranger.delete_file(file_id)
    assert (root / "files" / file_id).read_bytes() == photo.read_bytes()


def test_a_file_whose_content_is_gone_looks_missing(root: Path, photo: Path) -> None:
    service = _open(root).as_service()
    file_id = store_file(service, photo)
    (root / "files" / file_id).unlink()
    with pytest.raises(RecordForbidden):
        service.open_file(file_id)


def test_old_parts_of_killed_uploads_are_swept_when_the_store_opens(root: Path) -> None:
    _open(root)
    old, fresh = (root / "files" / "incoming" / name for name in ("old", "fresh"))
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    _open(root)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_forked_child_and_its_parent_both_go_on_working(root: Path) -> None:
    """Fork while other threads write: nothing is lost, nothing hangs, no connection is shared."""
    store = EmbeddedStore(root, SECRET)
    service = store.as_service()
    stop = threading.Event()

    def write() -> int:
        written = 0
        while not stop.is_set():
            service.create_item("media_jobs", {"operation": "parent"})
            written += 1
        return written

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write) for _ in range(4)]
        children = [_forked(lambda: _write_some(store, 20)) for _ in range(5)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        stop.set()
        by_parent = sum(writer.result() for writer in writers)
    assert codes == [0] * 5
    assert service.count_items("media_jobs", {"operation": "child"}) == 100
    assert service.count_items("media_jobs", {"operation": "parent"}) == by_parent
    with closing(sqlite3.connect(root / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def _forked(work: Any) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def _write_some(store: EmbeddedStore, count: int) -> None:
    for _ in range(count):
        store.as_service().create_item("media_jobs", {"operation": "child"})


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_store_that_nobody_holds_any_more_closes_its_files_at_once(root: Path) -> None:
    before = _open_files()
    gc.disable()
    try:
        _open(root).as_service().create_item("media_jobs", {})
        assert _open_files() == before
    finally:
        gc.enable()


def test_a_thousand_calls_leave_no_file_open(root: Path, photo: Path) -> None:
    service = _open(root).as_service()
    file_id = store_file(service, photo)
    before = _open_files()
    for _ in range(1000):
        service.create_item("media_jobs", {})
        service.open_file(file_id).close()
    assert _open_files() <= before


@pytest.mark.parametrize("again", range(3))
def test_opening_one_new_store_many_times_at_once_works(root: Path, again: int) -> None:
    start = threading.Barrier(8)

    def open_one(n: int) -> str:
        start.wait()
        return str(EmbeddedStore(root, SECRET).as_service().create_item("media_jobs", {"progress": n})["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(open_one, range(8)))) == 8
