"""A PNG's chunks: every checksum verified, and the long ones that hold no pixels left out.

Pillow reads a chunk whole, and a private one may be as long as the file.
"""

from __future__ import annotations

import io
import struct
import zlib
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONG_BYTES = 1024 * 1024
"""A chunk beyond this decides nothing of how the picture looks, unless it holds pixels."""
_BLOCK_BYTES = 256 * 1024
_ANCILLARY = 0x20
_FRAME = b"fdAT"
_LAST = b"IEND"

Hole = tuple[int, int]


def checked_png(source: BinaryIO) -> BinaryIO:
    """Verify each chunk's checksum up to the last; give the file without long ancillary chunks.

    Memory does not depend on how long a chunk is. Raises: OSError, SyntaxError, as Pillow does.
    """
    holes: list[Hole] = []
    source.seek(len(SIGNATURE))
    while (chunk := _header(source))[1] != _LAST:
        length, kind = chunk
        if length > LONG_BYTES and kind[0] & _ANCILLARY and kind != _FRAME:
            start = source.tell()
            holes.append((start - 8, start + length + 4))
        _verify(source, length, kind)
    source.seek(0)
    return io.BufferedReader(_Without(source, holes)) if holes else source


def _header(source: BinaryIO) -> tuple[int, bytes]:
    header = source.read(8)
    if len(header) < 8:  # noqa: PLR2004 - four bytes of length, four of type
        raise OSError("truncated PNG file")
    length, kind = struct.unpack(">I4s", header)
    if not kind.isalpha():
        raise SyntaxError(f"broken PNG file (chunk {kind!r})")
    return length, kind


def _verify(source: BinaryIO, length: int, kind: bytes) -> None:
    checksum = zlib.crc32(kind)
    while length:
        block = source.read(min(length, _BLOCK_BYTES))
        if not block:
            raise OSError("truncated PNG file")
        checksum = zlib.crc32(block, checksum)
        length -= len(block)
    told = source.read(4)
    if len(told) < 4:  # noqa: PLR2004 - a checksum's bytes
        raise OSError("truncated PNG file")
    if struct.unpack(">I", told)[0] != checksum:
        raise SyntaxError(f"broken PNG file (bad checksum in {kind!r})")


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
