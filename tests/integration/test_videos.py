"""Videos through the whole running system: accepted, made with progress, proved, stored; and bad ones refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core import videos
from tests.service import FINAL, Service, await_true, output_path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "film.mp4"
    videos.ffmpeg(*videos.scene(seconds=1), *videos.tone(1), "-metadata", "title=SECRET", path)
    return path


@pytest.mark.parametrize(
    ("operation", "params", "size"),
    [
        ("resize_video", {"width": 160}, (160, 90)),
        ("crop_video", {"aspect": "1:1"}, (180, 180)),
        ("compress_video", {"crf": 32}, (320, 180)),
        ("create_teaser", {"duration": 1, "clips": 1}, (320, 180)),
        ("trim_videos", {"start": 0.2, "end": 0.7}, (320, 180)),
        ("strip_metadata", {}, (320, 180)),
        ("apply_watermark", {"watermark_text": "@creator"}, (320, 180)),
    ],
)
def test_an_operation_makes_a_video_that_plays(
    service: Service, token: str, film: Path, operation: str, params: dict[str, object], size: tuple[int, int]
) -> None:
    job = service.run(token, operation, film, params)
    assert (job["state"], job["progress"]) == ("completed", 100), job
    [output] = job["outputs"]
    assert output["mime"] == "video/mp4" and (output["width_px"], output["height_px"]) == size
    path = output_path(job)
    assert videos.shown_size(path) == size
    assert b"SECRET" not in path.read_bytes()
    # a film is as long as its sound, which may end within the frame after the last
    assert abs(output["duration_s"] * 30 - len(videos.frames_of(path))) < 1
    assert 10 << 20 < job["peak_memory_bytes"] < 600 << 20


def test_clips_are_joined_in_the_order_of_the_list(service: Service, token: str, tmp_path: Path) -> None:
    first, second = (videos.numbered(tmp_path / f"{count}.mp4", count) for count in (9, 15))
    ids = [service.upload(token, path) for path in (second, first)]
    records = service.store.as_user(token)
    item = {"operation": "join_videos", "params": {"input_file_ids": ids}}
    job_id = str(records.create_item("media_jobs", item)["id"])
    assert service.enqueue(token, job_id, "join_videos").status == 200
    job = service.await_final(token, job_id)
    assert job["state"] == "completed", job
    assert videos.numbers_of(output_path(job)) == [*range(15), *range(9)]


def test_the_command_line_joins_files(service: Service, tmp_path: Path) -> None:
    first, second = (videos.numbered(tmp_path / f"{count}.mp4", count) for count in (6, 12))
    made = tmp_path / "joined.mp4"
    params = f'input_file_ids=["@{second}"]'
    done = service.cli("submit", "join_videos", str(first), "--param", params, "--output", str(made))
    assert done.returncode == 0, done.stderr
    assert videos.numbers_of(made) == [*range(6), *range(12)]


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("videos") / "long.mp4"
    videos.ffmpeg(*videos.scene(640, 360, seconds=12), "-preset", "ultrafast", path)
    yield path


def test_progress_grows_with_speed_and_time_left_and_is_100_only_at_the_end(
    service: Service, token: str, long_film: Path
) -> None:
    job_id = service.create(token, "resize_video", long_film, {"width": 854, "upscale": True})
    assert service.enqueue(token, job_id, "resize_video").status == 200
    seen: list[tuple[str, float]] = []
    paces: list[tuple[float | None, float]] = []

    def ended() -> bool:
        job = service.request("GET", f"/api/queue/jobs/{job_id}", token).body
        seen.append((job["state"], job["progress"]))
        if job["left_s"] is not None:
            paces.append((job["speed"], job["left_s"]))
        return job["state"] in FINAL

    await_true(ended, 120, lambda: f"{seen}")
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert len(set(shares)) > 4 and seen[-1] == ("completed", 100)
    assert all(share < 100 for state, share in seen if state != "completed")
    # while the video is read back, it has no speed
    assert any(speed for speed, _ in paces) and all(speed is None or speed > 0 for speed, _ in paces)
    assert paces[-1][1] < paces[0][1]


def test_a_video_job_that_is_cancelled_leaves_no_program_behind(service: Service, token: str, long_film: Path) -> None:
    job_id = service.create(token, "resize_video", long_film, {"width": 3840, "upscale": True})
    assert service.enqueue(token, job_id, "resize_video").status == 200
    await_true(
        lambda: service.request("GET", f"/api/queue/jobs/{job_id}", token).body["progress"] > 2,
        60,
        service.log,
    )
    assert service.request("POST", f"/api/queue/jobs/{job_id}/cancel", token).status == 200
    assert service.await_final(token, job_id)["state"] == "cancelled"
    assert service.run(token, "resize_video", long_film, {"width": 64})["state"] == "completed"


REFUSED = [
    ("51_text", b"Dear diary, this is no video.", "type_not_allowed"),
    ("53_no_index", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\x10\0mdat" + bytes(4088), "corrupt_file"),
    ("58_hls", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "playlist_not_allowed"),
    ("58_ffconcat", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "playlist_not_allowed"),
    ("58_sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\n", "playlist_not_allowed"),
]


@pytest.mark.parametrize(("content", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_f33_f35_row(service: Service, token: str, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    job = service.run(token, "compress_video", path, {})
    assert (job["state"], job["error"], job["reason"]) == ("failed", "input", reason)
    assert job["attempts"] == 1 and job["outputs"] == []


def test_row_23_a_target_of_one_byte_fails_as_policy(service: Service, token: str, film: Path) -> None:
    job = service.run(token, "compress_video", film, {"target_size_mb": 0.000001})
    assert (job["error"], job["reason"]) == ("policy", "unreachable_target")
