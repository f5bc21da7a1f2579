"""Playlists in disguise open neither a file nor a socket, each tried through the real sandbox."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.errors import InputError
from geniequeue.media.ffmpeg import FfmpegFailed, Source, run
from tests.core import videos
from tests.core.conftest import RunInside
from tests.core.test_video_bad_input import OPERATIONS

SECRET = b"PLANTED-SECRET"


class Trap:
    """A planted file and a listening port; `touched` says whether anybody came."""

    def __init__(self, folder: Path, secret: Path) -> None:
        self.secret = secret
        self.folder = folder
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.visitors: list[object] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, address = self._socket.accept()
            except OSError:
                return
            self.visitors.append(address)
            connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    secret = tmp_path / "secret.ts"
    videos.ffmpeg(*videos.scene(64, 64, seconds=0.2), "-metadata", f"title={SECRET.decode()}", secret)
    trap = Trap(tmp_path, secret)
    yield trap
    trap.close()


def playlists(trap: Trap) -> dict[str, bytes]:
    targets = (f"file://{trap.secret}", f"http://127.0.0.1:{trap.port}/x.ts", str(trap.secret))
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n" + "".join(f"#EXTINF:1,\n{each}\n" for each in targets)
    hls += "#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp2t"><Representation id="1" '
        f'bandwidth="1"><BaseURL>{targets[1]}</BaseURL><SegmentBase/></Representation></AdaptationSet></Period></MPD>'
    )
    concat = "ffconcat version 1.0\n" + "".join(f"file '{each}'\n" for each in targets)
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {trap.port} RTP/AVP 96\n"
    gab2 = b"GAB2\0\x02\0" + struct.pack("<I", 0) + b"\x04\0" + struct.pack("<I", len(hls)) + hls.encode()
    return {
        "hls": hls.encode(),
        "hls_with_a_mark": b"\xef\xbb\xbf" + hls.encode(),
        "dash": dash.encode(),
        "ffconcat": concat.encode(),
        "sdp": sdp.encode(),
        "pls": f"[playlist]\nFile1={targets[1]}\nNumberOfEntries=1\n".encode(),
        "xbin": b"XBIN\x1a" + struct.pack("<HHBB", 80, 25, 16, 0) + hls.encode(),
        "avi": b"RIFF" + struct.pack("<I", 4096) + b"AVI LIST" + struct.pack("<I", len(gab2)) + b"movi" + gab2,
        "ftyp_then_hls": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + hls.encode(),
    }


@pytest.mark.parametrize(
    "name", ["hls", "hls_with_a_mark", "dash", "ffconcat", "sdp", "pls", "xbin", "avi", "ftyp_then_hls"]
)
def test_f35_row_58_a_playlist_in_disguise_opens_neither_a_file_nor_a_socket(
    run_inside: RunInside, trap: Trap, name: str
) -> None:
    content, opened = playlists(trap)[name], trap.secret.stat().st_atime_ns
    for operation, params in OPERATIONS:
        with pytest.raises(InputError) as caught:
            run_inside(operation, content, name="film.mp4", **params)
        expected = {
            "xbin": {"type_not_allowed"},
            "avi": {"corrupt_file", "no_video"},
            "ftyp_then_hls": {"corrupt_file"},
        }
        assert caught.value.reason in expected.get(name, {"playlist_not_allowed"})
    assert trap.visitors == []
    assert trap.secret.stat().st_atime_ns == opened


@pytest.mark.parametrize("name", ["hls", "dash", "ffconcat", "sdp"])
def test_f35_row_58_the_second_wall_holds_without_the_first(tmp_path: Path, trap: Trap, name: str) -> None:
    playlist = tmp_path / "film.mp4"
    playlist.write_bytes(playlists(trap)[name])
    for demuxer in ("mov", "matroska", "avi", "mpegts"):
        with pytest.raises(FfmpegFailed):
            run([*Source(playlist, demuxer, 1 << 20).arguments(), "-f", "null", "-"], cwd=tmp_path)
    assert trap.visitors == []


def test_f35_row_58_the_trap_itself_works(tmp_path: Path, trap: Trap) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_bytes(playlists(trap)["hls"])
    command = [videos.FFMPEG, "-nostdin", "-protocol_whitelist", "file,http,tcp", "-f", "hls"]
    rest = ["-http_persistent", "0", "-i", str(playlist), "-f", "null", "-"]
    subprocess.run([*command, *rest], capture_output=True, timeout=60, check=False)
    assert trap.visitors
