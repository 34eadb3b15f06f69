"""A PNG's chunks: every checksum verified, and those that decide nothing of its pixels left out.

Pillow reads a chunk whole, and gives up a picture for a long text or color profile in it.
"""

from __future__ import annotations

import io
import struct
import zlib
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BLOCK_BYTES = 256 * 1024
_ANCILLARY = 0x20
_DECIDES = (b"tRNS", b"acTL", b"fcTL", b"fdAT")
"""Chunks that a decoder may leave out, and the picture is another one then."""
_LAST = b"IEND"
_MOST_HOLES = 10_000

Hole = tuple[int, int]


class CheckedPng(NamedTuple):
    """A PNG without what decides nothing of its pixels."""

    pixels: BinaryIO
    flaw: str | None
    """What is wrong with what was left out."""


def checked_png(source: BinaryIO) -> CheckedPng:
    """Verify each chunk's checksum up to the last, and leave out those without pixels.

    Memory depends neither on how long a chunk is nor on how many there are. Raises: OSError,
    SyntaxError, as Pillow does, for what pixels hang on; ValueError, for too many chunks.
    """
    holes, flaw = list[Hole](), None
    source.seek(len(SIGNATURE))
    while (chunk := _header(source))[1] != _LAST:
        length, kind = chunk
        start = source.tell() - 8
        whole = _verify(source, length, kind)
        if not kind[0] & _ANCILLARY or kind in _DECIDES:
            if not whole:
                raise SyntaxError(f"broken PNG file (bad checksum in {kind!r})")
            continue
        if not whole:
            flaw = f"the checksum of its chunk {kind.decode('ascii')} is wrong"
        _add_hole(holes, start, source.tell())
    source.seek(0)
    return CheckedPng(io.BufferedReader(_Without(source, holes)) if holes else source, flaw)


def _add_hole(holes: list[Hole], start: int, end: int) -> None:
    if holes and holes[-1][1] == start:
        holes[-1] = holes[-1][0], end
    else:
        holes.append((start, end))
    if len(holes) > _MOST_HOLES:
        raise ValueError("the PNG has too many chunks to look through")


def _header(source: BinaryIO) -> tuple[int, bytes]:
    header = source.read(8)
    if len(header) < 8:  # noqa: PLR2004 - four bytes of length, four of type
        raise OSError("truncated PNG file")
    length, kind = struct.unpack(">I4s", header)
    if not kind.isalpha():
        raise SyntaxError(f"broken PNG file (chunk {kind!r})")
    return length, kind


def _verify(source: BinaryIO, length: int, kind: bytes) -> bool:
    """Read a chunk to its end; False: its checksum is another one."""
    checksum = zlib.crc32(kind)
    while length:
        block = source.read(min(length, _BLOCK_BYTES))
        if not block:
            raise OSError("truncated PNG file")
        checksum = zlib.crc32(block, checksum)
        length -= len(block)
    stored = source.read(4)
    if len(stored) < 4:  # noqa: PLR2004 - a checksum's bytes
        raise OSError("truncated PNG file")
    return bool(struct.unpack(">I", stored)[0] == checksum)


class _Without(io.RawIOBase):
    """A file, read as if some ranges of it were not there."""

    def __init__(self, source: BinaryIO, holes: Sequence[Hole]) -> None:
        super().__init__()
        self._source, self._place = source, 0
        # Where each kept range begins: as read here, and in the file; and the next hole's start.
        self._starts, self._offsets = [0], [0]
        for start, end in holes:
            self._starts.append(self._starts[-1] + start - self._offsets[-1])
            self._offsets.append(end)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("its end is not known")
        self._place = offset + (self._place if whence == io.SEEK_CUR else 0)
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        index = bisect_right(self._starts, self._place) - 1
        size = len(buffer)
        if index + 1 < len(self._starts):
            size = min(size, self._starts[index + 1] - self._place)
        self._source.seek(self._offsets[index] + self._place - self._starts[index])
        block = self._source.read(size)
        buffer[: len(block)] = block
        self._place += len(block)
        return len(block)
