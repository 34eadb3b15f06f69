"""A PNG's chunks are all verified, and none is held in memory for its length."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import pytest
from PIL import Image

from flow_pipelines.model.errors import TransferError
from flow_pipelines.storage.images import verify_image
from flow_pipelines.storage.png import LONG_BYTES, checked_png
from flow_pipelines_tests.unit.storage.samples import picture

LONG = 24 * 1024 * 1024


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_chunks(*chunks: bytes, at_end: bool = False) -> bytes:
    """Give a PNG with more chunks: after its header, or before its last one."""
    content = picture("PNG")
    place = len(content) - 12 if at_end else 33
    return content[:place] + b"".join(chunks) + content[place:]


@pytest.mark.parametrize("at_end", [False, True])
def test_the_memory_to_verify_a_png_does_not_grow_with_its_longest_chunk(at_end: bool) -> None:
    content = io.BytesIO(with_chunks(chunk(b"flPx", bytes(LONG)), at_end=at_end))
    verify_image(io.BytesIO(picture("PNG")), declared_media_type=None)
    tracemalloc.start()
    facts = verify_image(content, declared_media_type=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (facts.width, facts.height) == (40, 30)
    assert peak < LONG / 8


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("length", [3, LONG_BYTES + 1])
def test_a_flipped_bit_is_noticed_in_a_chunk_of_any_length(length: int, at_end: bool) -> None:
    content = bytearray(with_chunks(chunk(b"flPx", bytes(length)), at_end=at_end))
    content[content.index(b"flPx") + 4 + length // 2] ^= 1
    with pytest.raises(TransferError, match="checksum"):
        verify_image(io.BytesIO(bytes(content)), declared_media_type=None)


@pytest.mark.parametrize("missing", [1, 5, LONG_BYTES // 2])
def test_a_file_that_ends_within_a_long_chunk_is_cut(missing: int) -> None:
    content = picture("PNG")[:33] + chunk(b"flPx", bytes(LONG_BYTES + 1))[:-missing]
    with pytest.raises(TransferError, match="truncated"):
        verify_image(io.BytesIO(content), declared_media_type=None)


def test_only_long_chunks_without_pixels_are_left_out() -> None:
    note = chunk(b"flPx", b"short")
    content = with_chunks(
        chunk(b"flPx", bytes(LONG_BYTES + 1)), note, chunk(b"flPx", bytes(2 * LONG_BYTES))
    )
    assert checked_png(io.BytesIO(content)).read() == with_chunks(note)


def test_long_pixels_are_decoded() -> None:
    drawn = io.BytesIO()
    noise = Image.effect_noise((1400, 1000), 100)
    noise.save(drawn, "PNG", compress_level=0)
    plain = drawn.getvalue()
    scanlines = b"".join(b"\0" + noise.tobytes()[row * 1400 :][:1400] for row in range(1000))
    pixels = chunk(b"IDAT", zlib.compress(scanlines, 0))
    assert len(pixels) > LONG_BYTES
    content = plain[:33] + pixels + plain[-12:]
    shown = Image.open(checked_png(io.BytesIO(content)))
    assert shown.tobytes() == noise.tobytes()
