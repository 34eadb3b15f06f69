"""What a prompt table's file is: its kind, its packing, its text, and what it is instead."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from flow_pipelines.batches.sources import raise_if_any, text_of
from flow_pipelines.model import TableFormat
from flow_pipelines.model.errors import InvalidBatch, Problem

KINDS = (".csv", ".tsv", ".txt", ".jsonl", ".parquet", ".xlsx")
PACKED = ".gz"
MAX_BYTES = 1024**3
"""Of a table, unpacked: a few bytes may stand for a disk full of zeros."""
_CHUNK = 1024 * 1024

_BEGINNINGS = {
    b"\x1f\x8b": "is packed by gzip: its name has to end in .gz",
    b"PK\x03\x04": "is an .xlsx workbook, or another ZIP archive: its name has to end in .xlsx",
    b"PAR1": "is a Parquet file: its name has to end in .parquet",
    b"\xd0\xcf\x11\xe0": "is an .xls workbook of old; save it as .xlsx",
    b"%PDF": "is a PDF document",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself: run `git lfs pull`",
}
"""How what is no text begins, and what to do about it."""
_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def kind_of(name: str) -> str | None:
    """Return the ending that says how a table is to be read; None: it is no prompt table."""
    kind = PurePosixPath(unpacked_name(name)).suffix.lower()
    return kind if kind in KINDS else None


def unpacked_name(name: str) -> str:
    """Return a file's name without the ending that says that it is packed."""
    return name[: -len(PACKED)] if name.lower().endswith(PACKED) else name


def unpacked(name: str, content: bytes) -> bytes:
    """Unpack a file whose name ends in .gz; others as they are. Raises: InvalidBatch."""
    if not name.lower().endswith(PACKED):
        return content
    parts, size = [], 0
    for part in _inflated(name, content):
        size += len(part)
        if size > MAX_BYTES:
            raise _broken(name, f"unpacks to more than {MAX_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _inflated(name: str, content: bytes) -> Iterator[bytes]:
    rest = content
    try:
        while rest:  # several members may follow each other
            stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield stream.decompress(rest, _CHUNK)
            while not stream.eof:
                part = stream.decompress(stream.unconsumed_tail, _CHUNK)
                if not part and not stream.unconsumed_tail and not stream.eof:
                    raise _broken(name, "is cut off: the end of what gzip packed is missing")
                yield part
            rest = stream.unused_data
    except zlib.error as error:
        raise _broken(name, f"cannot be unpacked by gzip: {error}") from None


def table_text(name: str, content: bytes, written: TableFormat) -> str:
    """Decode a table's text: UTF-8, unless `encoding` says otherwise.

    Raises: InvalidBatch, with what the file is where it is no text, else with the line.
    """
    raise_if_any(name, [Problem(fault, name) for fault in _what_else(content)])
    if written.encoding is None:
        _refuse_wide(name, content)
        return text_of(name, content)
    try:
        return content.decode(written.encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        raise _broken(name, f"is not {written.encoding} text: {error}") from None


def _what_else(content: bytes) -> Iterator[str]:
    for beginning, message in _BEGINNINGS.items():
        if content.startswith(beginning):
            yield message
    if content[:100].lstrip().lower().startswith(_PAGES):
        yield "is a page (HTML or XML), perhaps what a server said instead of the file"


def _refuse_wide(name: str, content: bytes) -> None:
    for beginning, encoding in _WIDE.items():
        if content.startswith(beginning):
            fix = f"save it as UTF-8, or write prompts: {{path: {name}, encoding: {encoding}}}"
            raise _broken(name, f"is {encoding} text; {fix}")


def _broken(name: str, message: str) -> InvalidBatch:
    return InvalidBatch(name, [Problem(message, name)])
