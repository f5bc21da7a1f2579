"""Contents on their way to and from Directus when the connection is cut, or what comes is not what was promised."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique, RecordsUnavailable
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


def test_of_an_upload_under_a_taken_id_no_byte_is_sent(service: Records, proxy: FaultProxy, photo: Path) -> None:
    file_id = store_file(service, photo)
    proxy.requests.clear()
    with pytest.raises(RecordNotUnique):
        store_file(service, photo, file_id=file_id)
    assert [request.split("?")[0] for request in proxy.requests] == [f"GET /files/{file_id}"]


@pytest.mark.parametrize("status", [408, 413])
def test_a_file_too_large_for_directus_is_refused_for_good(
    service: Records, proxy: FaultProxy, photo: Path, status: int
) -> None:
    proxy.arm(refusing(status, "CONTENT_TOO_LARGE", on="POST /files"))
    with pytest.raises(RecordInvalid, match="FILES_MAX_UPLOAD_SIZE"):
        store_file(service, photo)


def _sizes(place: DirectusPlace) -> list[int]:
    return [path.stat().st_size for path in place.server.uploads.iterdir()]
