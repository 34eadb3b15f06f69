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
from flow_pipelines.storage.png import checked_png
from flow_pipelines_tests.unit.storage.samples import picture

LONG_BYTES = 1024 * 1024
LONG = 24 * 1024 * 1024


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_chunks(*chunks: bytes, at_end: bool = False) -> bytes:
    """Return a PNG with more chunks: after its header, or before its last one."""
    content = picture("PNG")
    place = len(content) - 12 if at_end else 33
    return content[:place] + b"".join(chunks) + content[place:]


@pytest.mark.parametrize("at_end", [False, True])
def test_the_memory_to_verify_a_png_does_not_grow_with_its_longest_chunk(at_end: bool) -> None:
    content = io.BytesIO(with_chunks(chunk(b"flPx", bytes(LONG)), at_end=at_end))
    verify_image(io.BytesIO(picture("PNG")))
    tracemalloc.start()
    facts = verify_image(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (facts.width, facts.height) == (40, 30)
    assert peak < LONG / 8


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("length", [3, LONG_BYTES + 1])
def test_a_flipped_bit_is_noticed_where_no_pixels_hang_on_it_and_costs_nobody_the_picture(
    length: int, at_end: bool
) -> None:
    content = bytearray(with_chunks(chunk(b"flPx", bytes(length)), at_end=at_end))
    content[content.index(b"flPx") + 4 + length // 2] ^= 1
    facts = verify_image(io.BytesIO(bytes(content)))
    assert (facts.width, facts.height) == (40, 30)
    assert facts.flaw == "the checksum of its chunk flPx is wrong"


@pytest.mark.parametrize("kind", [b"IDAT", b"tRNS", b"fdAT"])
def test_a_flipped_bit_is_noticed_where_pixels_hang_on_it(kind: bytes) -> None:
    content = bytearray(with_chunks(chunk(kind, bytes(6))))
    content[content.index(kind) + 6] ^= 1
    with pytest.raises(TransferError, match="checksum"):
        verify_image(io.BytesIO(bytes(content)))


def test_holes_without_number_are_not_all_remembered() -> None:
    pair = chunk(b"flPx", b"") + chunk(b"IDAT", b"")
    with pytest.raises(ValueError, match="too many chunks"):
        checked_png(io.BytesIO(with_chunks(pair * 10_001)))


@pytest.mark.parametrize("missing", [1, 5, LONG_BYTES // 2])
def test_a_file_that_ends_within_a_long_chunk_is_cut(missing: int) -> None:
    content = picture("PNG")[:33] + chunk(b"flPx", bytes(LONG_BYTES + 1))[:-missing]
    with pytest.raises(TransferError, match="truncated"):
        verify_image(io.BytesIO(content))


def test_what_decides_nothing_of_the_pixels_is_left_out_and_what_does_stays() -> None:
    shade = chunk(b"tRNS", bytes(6))
    content = with_chunks(
        chunk(b"zTXt", bytes(LONG_BYTES + 1)), shade, chunk(b"iCCP", b"short"), chunk(b"eXIf", b"")
    )
    assert checked_png(io.BytesIO(content)).pixels.read() == with_chunks(shade)


def test_long_pixels_are_decoded() -> None:
    drawn = io.BytesIO()
    noise = Image.effect_noise((1400, 1000), 100)
    noise.save(drawn, "PNG", compress_level=0)
    plain = drawn.getvalue()
    scanlines = b"".join(b"\0" + noise.tobytes()[row * 1400 :][:1400] for row in range(1000))
    pixels = chunk(b"IDAT", zlib.compress(scanlines, 0))
    assert len(pixels) > LONG_BYTES
    content = plain[:33] + pixels + plain[-12:]
    shown = Image.open(checked_png(io.BytesIO(content)).pixels)
    assert shown.tobytes() == noise.tobytes()
