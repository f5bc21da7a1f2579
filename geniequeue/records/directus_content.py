"""File contents on their way: streamed in as multipart, streamed out with every byte counted."""

from __future__ import annotations

import io
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import urllib3
from urllib3.exceptions import HTTPError

from geniequeue.errors import RecordsUnavailable
from geniequeue.records.directus_errors import unavailable
from geniequeue.records.directus_http import Deadline
from geniequeue.records.directus_shapes import FILES

CHUNK_BYTES = 1 << 18


class Multipart:
    """A form with one file, whose fields come first: Directus ignores what follows the file.

    Args:
        fields: by name; none may hold a line break.
        source: the content; anything that can be opened and read.
        filename, mime: of the content, fit for a header.
    """

    def __init__(self, fields: Mapping[str, str], source: Path, filename: str, mime: str) -> None:
        boundary = secrets.token_hex(16)
        self._source = source
        head = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        file_head = f'name="file"; filename="{filename}"\r\nContent-Type: {mime}\r\n\r\n'
        self._head = "".join([*head, f"--{boundary}\r\nContent-Disposition: form-data; {file_head}"]).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._content_type = f"multipart/form-data; boundary={boundary}"
        self.sent_bytes = 0

    def headers(self) -> dict[str, str]:
        """Return the headers of the form; a length only where the source has one.

        The connection is not kept: where Directus refuses before it has read the content, it never reads on, and the
        next request on that connection would wait for ever.
        """
        headers = {"Content-Type": self._content_type, "Connection": "close"}
        about = self._source.stat()
        if stat.S_ISREG(about.st_mode):
            headers["Content-Length"] = str(len(self._head) + about.st_size + len(self._tail))
        return headers

    def chunks(self, content: BinaryIO, deadline: Deadline) -> Iterator[bytes]:
        """Yield the body; `sent_bytes` counts the content in it.

        Raises:
            TimeoutError: the deadline is over.
        """
        self.sent_bytes = 0
        yield self._head
        while chunk := content.read(CHUNK_BYTES):
            if deadline.left_s < 0:
                raise TimeoutError
            self.sent_bytes += len(chunk)
            yield chunk
        yield self._tail


class ContentReader(io.RawIOBase):
    """The body of an answer as a stream that ends with an error where it is cut off.

    Args:
        size_bytes: how long it must be.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, size_bytes: int) -> None:
        self._response = response
        self._left = size_bytes

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read some bytes.

        Raises:
            RecordsUnavailable: the content is cut off, or longer than it must be.
        """
        try:
            chunk = self._response.read1(min(len(buffer), CHUNK_BYTES))
        except (HTTPError, OSError) as error:
            raise unavailable(FILES, "read", f"a content cut off ({type(error).__name__})") from error
        self._left -= len(chunk)
        if self._left < 0 or (not chunk and self._left):
            raise unavailable(FILES, "read", f"a content {'longer' if self._left < 0 else 'shorter'} than recorded")
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Give the connection back, or end it where something is left to read."""
        if not self.closed:
            if self._left:
                self._response.close()
            self._response.release_conn()
        super().close()


def copy_to(target: Path, content: BinaryIO, deadline: Deadline) -> None:
    """Write a content to a new file; what was not written whole is gone afterwards.

    Raises:
        FileExistsError: there is one.
        RecordsUnavailable: cut off, of another length, or too slow.
    """
    with content, target.open("xb") as copy:
        try:
            while chunk := content.read(CHUNK_BYTES):
                if deadline.left_s < 0:
                    raise unavailable(FILES, "read", "a content too slow to come")
                copy.write(chunk)
        except BaseException:
            target.unlink()
            raise


def check_content_headers(response: urllib3.BaseHTTPResponse, size_bytes: int) -> None:
    """Refuse a content that is packed, or announced with another length than the record has.

    Raises:
        RecordsUnavailable: says what it got.
    """
    problem: RecordsUnavailable | None = None
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        problem = unavailable(FILES, "read", "a compressed content that was not asked for")
    elif response.headers.get("Content-Length", str(size_bytes)) != str(size_bytes):
        problem = unavailable(FILES, "read", "a content of another length than recorded")
    if problem:
        response.close()
        raise problem
