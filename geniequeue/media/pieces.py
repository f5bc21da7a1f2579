"""Pieces of a file that stay: what a lossless strip is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import TypeAlias

Data: TypeAlias = "mmap | bytes"

_BLOCK_BYTES = 1 << 20
# More blocks than any camera or program writes; a file of millions of empty ones is not worth the time.
MAX_BLOCKS = 200_000


class Broken(Exception):
    """The container is cut off or says something impossible."""


@dataclass(frozen=True)
class Piece:
    """A part of the output.

    Attributes:
        start, end: where it is in the input.
        new: the bytes instead, where it is not simply copied.
        picture: a decoder computes pixels from it, so it must be copied as it is.
    """

    start: int
    end: int
    new: bytes | None = None
    picture: bool = False

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start if self.new is None else len(self.new)

    def blocks(self, data: Data) -> Iterator[bytes]:
        """Yield its bytes, at most 1 MiB at a time."""
        if self.new is not None:
            yield self.new
            return
        for at in range(self.start, self.end, _BLOCK_BYTES):
            yield data[at : min(at + _BLOCK_BYTES, self.end)]


def made(new: bytes) -> Piece:
    """A piece that was not in the input."""
    return Piece(0, 0, new)


def counted(blocks: int) -> int:
    """Return `blocks` plus one.

    Raises:
        Broken: there are too many.
    """
    if blocks >= MAX_BLOCKS:
        raise Broken(f"more than {MAX_BLOCKS} blocks")
    return blocks + 1


def digest(data: Data, pieces: Iterable[Piece]) -> str:
    """Hash what the pixels are computed from."""
    sha = hashlib.sha256()
    for piece in pieces:
        if piece.picture:
            for block in piece.blocks(data):
                sha.update(block)
    return sha.hexdigest()


def same(data: Data, pieces: Iterable[Piece]) -> bool:
    """Whether the pieces put together are `data` itself: nothing is left to strip."""
    at = 0
    for piece in pieces:
        for block in piece.blocks(data):
            if data[at : at + len(block)] != block:
                return False
            at += len(block)
    return at == len(data)
