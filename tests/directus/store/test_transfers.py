"""Contents on their way to and from Directus when the connection is cut, or what comes is not what was promised."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import requests

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique, RecordsUnavailable, RecordTooLarge
from geniequeue.records.protocol import Records
from tests.contract.conftest import new_id, store_file
from tests.directus.store.conftest import refusing
from tests.directus_fixture import DirectusPlace
from tests.fault_proxy import Fault, FaultProxy, http_answer


@pytest.mark.parametrize("cut_after", [0, 400, 300_000])
def test_a_download_that_was_cut_off_is_done_again(
    service: Records, proxy: FaultProxy, photo: Path, tmp_path: Path, cut_after: int
) -> None:
    file_id = store_file(service, photo)
    proxy.arm(Fault("GET /assets", cut_answer_after=cut_after))
    service.download(file_id, tmp_path / "copy", max_bytes=10**9)
    assert (tmp_path / "copy").read_bytes() == photo.read_bytes()
    assert not proxy.faults


def _content(body: bytes, *headers: str) -> Fault:
    return Fault("GET /assets", answer=http_answer(200, body, *headers))


@pytest.mark.parametrize(
    "fault",
    [
        _content(gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip"),
        _content(b"x" * 5, "Content-Length: 5"),
        _content(b"x" * 5, "Content-Length: 600000"),
        _content(b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        _content(b"<html>Welcome</html>"),
    ],
    ids=["a gzip bomb", "another length", "less than announced", "shorter without length", "html"],
)
def test_a_content_that_is_not_what_the_record_says_is_never_kept(
    service: Records, proxy: FaultProxy, photo: Path, tmp_path: Path, fault: Fault
) -> None:
    file_id = store_file(service, photo)
    proxy.arm(fault, fault, fault)
    with pytest.raises(RecordsUnavailable):
        service.download(file_id, tmp_path / "copy", max_bytes=10**9)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("cut_after", [100, 200_000])
def test_an_upload_that_was_cut_off_is_done_again_and_leaves_no_half_file(
    directus_place: DirectusPlace, service: Records, proxy: FaultProxy, photo: Path, cut_after: int
) -> None:
    proxy.arm(Fault("POST /files", cut_request_after=cut_after))
    file_id = store_file(service, photo)
    assert service.open_file(file_id).read() == photo.read_bytes()
    assert _sizes(directus_place) == [photo.stat().st_size]


def test_an_upload_cut_off_every_time_leaves_nothing(
    directus_place: DirectusPlace, service: Records, proxy: FaultProxy, photo: Path
) -> None:
    file_id = new_id()
    proxy.arm(*[Fault("POST /files", cut_request_after=200_000)] * 3)
    with pytest.raises(RecordsUnavailable):
        store_file(service, photo, file_id=file_id)
    with pytest.raises(RecordForbidden):
        directus_place.store.as_service().get_file(file_id)
    assert _sizes(directus_place) == []


def test_an_upload_whose_answer_was_lost_is_not_done_again(service: Records, proxy: FaultProxy, photo: Path) -> None:
    proxy.arm(Fault("POST /files", cut_answer_after=0))
    file_id = store_file(service, photo)
    assert service.get_file(file_id).filesize == photo.stat().st_size
    assert len([request for request in proxy.requests if request.startswith("POST /files")]) == 1


def test_a_file_that_somebody_is_uploading_is_taken_until_it_was_abandoned(
    directus_place: DirectusPlace, service: Records, photo: Path
) -> None:
    file_id = new_id()
    directus_place.leave_half(file_id)
    with pytest.raises(RecordNotUnique):
        store_file(service, photo, file_id=file_id)
    directus_place.age(file_id)
    store_file(service, photo, file_id=file_id)
    assert _sizes(directus_place) == [photo.stat().st_size]


def test_a_download_of_a_length_known_from_before_is_one_request(
    service: Records, proxy: FaultProxy, photo: Path, tmp_path: Path
) -> None:
    file_id = store_file(service, photo)
    proxy.requests.clear()
    service.download(file_id, tmp_path / "copy", max_bytes=10**9, size_bytes=photo.stat().st_size)
    assert proxy.requests == [f"GET /assets/{file_id}"]


def test_a_half_written_file_is_no_file_even_for_who_knows_its_length(
    directus_place: DirectusPlace, service: Records, tmp_path: Path
) -> None:
    file_id = new_id()
    directus_place.leave_half(file_id)
    with pytest.raises(RecordForbidden):
        service.download(file_id, tmp_path / "copy", max_bytes=10**9, size_bytes=100)
    assert not (tmp_path / "copy").exists()


def test_an_upload_for_somebody_is_one_request(
    service: Records, proxy: FaultProxy, photo: Path, directus_place: DirectusPlace
) -> None:
    owner = directus_place.account("alice").id
    file_id = store_file(service, photo, owner_id=owner, folder=directus_place.folder())
    assert [request.split("?")[0] for request in proxy.requests] == ["POST /files"]
    assert service.get_file(file_id).uploaded_by == owner


def test_an_owner_who_is_not_there_is_refused_and_leaves_nothing(
    directus_place: DirectusPlace, service: Records, photo: Path
) -> None:
    file_id = new_id()
    for _ in range(2):
        with pytest.raises(RecordInvalid, match="uploaded_by"):
            store_file(service, photo, file_id=file_id, owner_id=new_id())
    assert _sizes(directus_place) == []
    assert directus_place.server.sql("SELECT count(*) FROM directus_files").strip() == "0"


def test_an_owner_that_directus_did_not_take_from_the_form_is_set_afterwards(
    service: Records, proxy: FaultProxy, photo: Path, directus_place: DirectusPlace
) -> None:
    owner, file_id = directus_place.account("alice").id, new_id()
    directus_place.store.as_service().upload(photo, file_id=file_id, filename="a.jpg", mime="image/jpeg")
    record = directus_place.request("GET", f"/files/{file_id}?fields=id,filename_download,type,filesize,folder")
    answer = {"data": {**record, "uploaded_by": new_id()}}
    proxy.arm(Fault("POST /files", answer=http_answer(200, json.dumps(answer).encode())))
    store_file(service, photo, file_id=file_id, owner_id=owner)
    assert service.get_file(file_id).uploaded_by == owner


def test_a_creator_cannot_make_somebody_else_the_owner_of_what_he_uploads(directus_place: DirectusPlace) -> None:
    alice, bob = directus_place.account("alice"), directus_place.account("bob")
    owners = {}
    for named in (bob.id, alice.id, None):
        answer = requests.post(
            f"{directus_place.server.url}/files?fields=uploaded_by",
            headers={"Authorization": f"Bearer {alice.token}"},
            data={"uploaded_by": named} if named else {},
            files={"file": ("a.jpg", b"content", "image/jpeg")},
            timeout=30,
        )
        owners[named] = answer.json()["data"]["uploaded_by"] if answer.ok else answer.status_code
    assert owners == {bob.id: 400, alice.id: alice.id, None: alice.id}


@pytest.mark.parametrize("size_bytes", [1_000, 30_000_000])
def test_an_upload_under_a_taken_id_is_sent_once_and_leaves_what_stands_there(
    service: Records, proxy: FaultProxy, photo: Path, tmp_path: Path, size_bytes: int
) -> None:
    file_id = store_file(service, photo)
    other = tmp_path / "other"
    other.write_bytes(b"x" * size_bytes)
    proxy.requests.clear()
    with pytest.raises(RecordNotUnique):
        store_file(service, other, file_id=file_id)
    assert [request.split("?")[0] for request in proxy.requests][:2] == ["POST /files", f"GET /files/{file_id}"]
    # where Directus answers before it has read everything, the answer may be lost with the connection
    assert all(request.startswith(f"GET /files/{file_id}") for request in proxy.requests[1:])
    assert service.open_file(file_id).read() == photo.read_bytes()


def test_a_file_that_stands_there_is_no_upload_of_ours_because_an_answer_was_lost(
    service: Records, proxy: FaultProxy, photo: Path, tmp_path: Path
) -> None:
    file_id, other = store_file(service, photo), tmp_path / "as long"
    other.write_bytes(b"x" * photo.stat().st_size)
    proxy.arm(Fault("POST /files", cut_answer_after=0))
    with pytest.raises(RecordNotUnique):
        store_file(service, other, file_id=file_id)
    assert service.open_file(file_id).read() == photo.read_bytes()


def test_what_an_upload_left_half_while_directus_went_away_is_removed_by_the_next_call(
    directus_place: DirectusPlace, service: Records, proxy: FaultProxy, photo: Path
) -> None:
    file_id = new_id()
    proxy.arm(Fault("POST /files", cut_request_after=200_000, then_away=True))
    with pytest.raises(RecordsUnavailable):
        store_file(service, photo, file_id=file_id)
    proxy.come_back()
    assert _sizes(directus_place) != [photo.stat().st_size]
    store_file(service, photo, file_id=file_id)
    assert _sizes(directus_place) == [photo.stat().st_size]


@pytest.mark.parametrize("status", [408, 413])
def test_a_file_too_large_for_directus_is_refused_for_good(
    service: Records, proxy: FaultProxy, photo: Path, status: int
) -> None:
    proxy.arm(refusing(status, "CONTENT_TOO_LARGE", on="POST /files"))
    with pytest.raises(RecordTooLarge, match="FILES_MAX_UPLOAD_SIZE"):
        store_file(service, photo)


def _sizes(place: DirectusPlace) -> list[int]:
    return [path.stat().st_size for path in place.server.uploads.iterdir()]
