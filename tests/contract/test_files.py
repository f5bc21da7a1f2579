"""Files: complete or absent, never changed, never leaked."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique, RecordsUnavailable
from geniequeue.records.protocol import Records, RecordStore
from tests.accounts import Account
from tests.contract.conftest import Place, new_id, store_file


def test_a_file_comes_back_as_it_went_in(
    place: Place, service: Records, photo: Path, tmp_path: Path, alice: Account
) -> None:
    file_id, folder = new_id(), place.folder()
    info = service.upload(
        photo, file_id=file_id, filename="photo.jpg", mime="image/jpeg", folder=folder, owner_id=alice.id
    )
    assert (info.id, info.filename_download, info.type) == (file_id, "photo.jpg", "image/jpeg")
    assert (info.filesize, info.uploaded_by, info.folder) == (photo.stat().st_size, alice.id, folder)
    assert service.get_file(file_id) == info
    target = tmp_path / "copy"
    service.download(file_id, target, max_bytes=info.filesize)
    assert target.read_bytes() == photo.read_bytes()
    with service.open_file(file_id) as content:
        assert content.read(4) == photo.read_bytes()[:4]
    assert file_id in service.location(file_id)


def test_an_empty_file_is_a_file(service: Records, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    file_id = store_file(service, empty)
    service.download(file_id, tmp_path / "copy", max_bytes=0)
    assert (tmp_path / "copy").stat().st_size == 0


def test_a_second_upload_under_an_id_is_refused_and_leaves_the_first(
    service: Records, photo: Path, tmp_path: Path, alice: Account
) -> None:
    file_id = store_file(service, photo)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    for records in (service, alice.records):
        with pytest.raises(RecordNotUnique):
            store_file(records, other, file_id=file_id)
    assert service.open_file(file_id).read() == photo.read_bytes()
    assert service.get_file(file_id).filesize == photo.stat().st_size


def test_a_file_longer_than_allowed_is_not_downloaded(service: Records, photo: Path, tmp_path: Path) -> None:
    file_id = store_file(service, photo)
    with pytest.raises(RecordInvalid):
        service.download(file_id, tmp_path / "copy", max_bytes=photo.stat().st_size - 1)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("said", [0, -1, 1, 10**9], ids=["right", "too small", "too large", "far too large"])
def test_a_length_known_from_before_changes_nothing_about_what_is_downloaded(
    service: Records, photo: Path, tmp_path: Path, said: int
) -> None:
    file_id, size_bytes = store_file(service, photo), photo.stat().st_size
    service.download(file_id, tmp_path / "copy", max_bytes=10**10, size_bytes=size_bytes + said)
    assert (tmp_path / "copy").read_bytes() == photo.read_bytes()
    with pytest.raises(RecordInvalid):
        service.download(file_id, tmp_path / "other", max_bytes=size_bytes - 1, size_bytes=size_bytes)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("content", [b"", b"half", b"\0" * 10_000_000], ids=["empty", "shorter", "longer"])
def test_a_content_of_another_length_than_recorded_is_no_answer(
    place: Place, service: Records, photo: Path, tmp_path: Path, content: bytes
) -> None:
    file_id = store_file(service, photo)
    place.replace_content(file_id, content)
    for known in ({}, {"size_bytes": photo.stat().st_size}):
        with pytest.raises(RecordsUnavailable):
            service.download(file_id, tmp_path / "copy", max_bytes=10**9, **known)
        assert not (tmp_path / "copy").exists()


def test_a_download_never_writes_over_a_file(service: Records, photo: Path, tmp_path: Path) -> None:
    file_id = store_file(service, photo)
    target = tmp_path / "taken"
    target.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        service.download(file_id, target, max_bytes=10**9)
    assert target.read_bytes() == b"precious"


def test_a_deleted_file_is_gone_and_its_id_is_free_again(service: Records, photo: Path, tmp_path: Path) -> None:
    file_id = store_file(service, photo)
    with service.open_file(file_id) as reader:
        service.delete_file(file_id)
        assert reader.read() == photo.read_bytes()
    for attempt in (
        lambda: service.get_file(file_id),
        lambda: service.open_file(file_id),
        lambda: service.download(file_id, tmp_path / "copy", max_bytes=10**9),
        lambda: service.download(file_id, tmp_path / "copy", max_bytes=10**9, size_bytes=photo.stat().st_size),
        lambda: service.delete_file(file_id),
    ):
        with pytest.raises(RecordForbidden):
            attempt()
    assert store_file(service, photo, file_id=file_id) == file_id


def test_a_file_is_read_by_its_owner_and_nobody_else(
    service: Records, photo: Path, alice: Account, bob: Account
) -> None:
    for file_id in (store_file(alice.records, photo), store_file(service, photo, owner_id=alice.id)):
        assert alice.records.get_file(file_id).uploaded_by == alice.id
        assert alice.records.open_file(file_id).read() == photo.read_bytes()
        with pytest.raises(RecordForbidden) as foreign:
            bob.records.open_file(file_id)
        with pytest.raises(RecordForbidden) as missing:
            bob.records.open_file(new_id())
        assert str(foreign.value) == str(missing.value)


def test_a_creator_reads_the_files_in_the_folders_of_his_profiles(
    place: Place, service: Records, photo: Path, alice: Account, bob: Account
) -> None:
    folder = place.folder()
    service.create_item("creator_profiles", {"user_id": alice.id, "media_folder_id": folder})
    service.create_item("creator_profiles", {"user_id": bob.id})
    inside, nowhere = store_file(service, photo, folder=folder), store_file(service, photo)
    assert alice.records.get_file(inside).folder == folder
    for records, file_id in ((bob.records, inside), (bob.records, nowhere), (alice.records, nowhere)):
        with pytest.raises(RecordForbidden):
            records.get_file(file_id)


def test_an_administrator_reads_and_deletes_every_file(photo: Path, alice: Account, admin: Account) -> None:
    file_id = store_file(alice.records, photo)
    assert admin.records.get_file(file_id).uploaded_by == alice.id
    with pytest.raises(RecordForbidden):
        alice.records.delete_file(file_id)
    admin.records.delete_file(file_id)


def test_only_the_service_uploads_for_somebody_else(photo: Path, alice: Account, bob: Account) -> None:
    with pytest.raises(RecordForbidden):
        store_file(alice.records, photo, owner_id=bob.id)
    file_id = store_file(alice.records, photo, owner_id=alice.id)
    assert alice.records.get_file(file_id).uploaded_by == alice.id


def test_a_creator_cannot_upload_into_a_foreign_folder(
    place: Place, service: Records, photo: Path, alice: Account
) -> None:
    own, foreign, file_id = place.folder(), place.folder(), new_id()
    service.create_item("creator_profiles", {"user_id": alice.id, "media_folder_id": own})
    with pytest.raises(RecordForbidden):
        store_file(alice.records, photo, file_id=file_id, folder=foreign)
    with pytest.raises(RecordForbidden):
        service.get_file(file_id)
    store_file(alice.records, photo, file_id=file_id, folder=own)


@pytest.mark.parametrize("file_id", ["", "../photo", "..", "/etc/passwd", "x" * 300, "a\0b"])
def test_a_malformed_file_id_is_never_a_path(service: Records, photo: Path, file_id: str) -> None:
    with pytest.raises(RecordInvalid):
        store_file(service, photo, file_id=file_id)
    for read in (service.get_file, service.open_file, service.delete_file):
        with pytest.raises(RecordForbidden):
            read(file_id)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../x.jpg", "x.jpg"),
        ("C:\\Users\\me\\x.jpg", "x.jpg"),
        ("a\0.jpg", "a.jpg"),
        ("CON", "CON"),
        ("-i", "i"),
        ("|id", "id"),
        ("x.jpg;id", "x.jpgid"),
        ("x\r\nSet-Cookie: a.jpg", "xSet-Cookie a.jpg"),
        ("gpj\u202eevil.exe", "gpjevil.exe"),
        ("\ud800.jpg", "jpg"),
        ("..", "file"),
        ("", "file"),
        ("фото 🐘.jpg", "фото 🐘.jpg"),
        ("я" * 300 + ".jpg", "я" * 98 + ".jpg"),
    ],
)
def test_the_name_for_downloads_is_cleaned(service: Records, photo: Path, given: str, kept: str) -> None:
    file_id = store_file(service, photo, filename=given)
    assert service.get_file(file_id).filename_download == kept


@pytest.mark.parametrize("mime", ["", "text\r\nX: y", "x/" + "y" * 300, "é/é"])
def test_a_media_type_that_fits_no_header_becomes_the_general_one(service: Records, photo: Path, mime: str) -> None:
    file_id = store_file(service, photo, mime=mime)
    assert service.get_file(file_id).type == "application/octet-stream"


def _upload(open_store: Callable[[], RecordStore], source: Path, file_id: str) -> None:
    open_store().as_service().upload(source, file_id=file_id, filename="half.jpg", mime="image/jpeg")


def test_an_upload_killed_half_way_leaves_no_visible_file(
    place: Place, service: Records, photo: Path, tmp_path: Path
) -> None:
    source, file_id = tmp_path / "pipe", new_id()
    os.mkfifo(source)
    uploader = multiprocessing.get_context("spawn").Process(
        target=_upload, args=(place.open_again, source, file_id), daemon=True
    )
    uploader.start()
    with source.open("wb", buffering=0) as pipe:
        written: Any = 0
        while written < 3_000_000:  # far more than a pipe holds, so that the uploader has taken most of it
            written += pipe.write(b"x" * 65_536)
        assert uploader.pid
        os.kill(uploader.pid, signal.SIGKILL)
        uploader.join()
    with pytest.raises(RecordForbidden):
        service.get_file(file_id)
    place.age(file_id)
    store_file(service, photo, file_id=file_id)
    assert service.open_file(file_id).read() == photo.read_bytes()
