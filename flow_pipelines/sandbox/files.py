"""Files that workflows give beside pictures: one of every kind that was found in use."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from PIL import Image

_PNG = "image/png"
_OPAQUE = "application/octet-stream"
_LONG_TEXT = 2 * 1024 * 1024
_HUGE_SIDE = 14_000


class File(NamedTuple):
    """A file as a node saves it."""

    name: str
    media_type: str
    content: bytes


def _chunk(kind: bytes, content: bytes, *, flipped: int = 0) -> bytes:
    """Write a chunk (PNG specification, §5.3); `flipped` bits make its checksum a wrong one."""
    check = zlib.crc32(kind + content) ^ flipped
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _picture(image_format: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.save(buffer, image_format)
    return buffer.getvalue()


def _black(side: int) -> bytes:
    """Write a picture of a bit a pixel, without ever holding its pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side))
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", rows), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _png_with(chunk: bytes) -> bytes:
    content = _picture()
    return content[:33] + chunk + content[33:]


def _latent() -> bytes:
    header = json.dumps({"latent_tensor": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})
    return struct.pack("<Q", len(header)) + header.encode() + struct.pack("<2f", 0.5, -0.5)


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", "what is in it is nobody's business")
    return buffer.getvalue()


_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
_HTML = b"<!doctype html><title>A report</title><script>alert(1)</script>"
_PLY = b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n"
_TEXTS: Mapping[str, tuple[str, bytes]] = {
    "svg": ("image/svg+xml", _SVG),
    "html": ("text/html", _HTML),
    "xml": ("application/xml", b'<?xml version="1.0"?><notes><note>hello</note></notes>'),
    "json": ("application/json", b'{"caption": "a cat", "score": 0.93}'),
    "txt": ("text/plain", "ein Fuß im Schnee\n".encode()),
    "csv": ("text/csv", b"label,score\ncat,0.93\ndog,0.07\n"),
    "obj": ("model/obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    "ply": (_OPAQUE, _PLY),
}
_BINARIES: Mapping[str, tuple[str, bytes]] = {
    "fbx": (_OPAQUE, b"Kaydara FBX Binary  \x00\x1a\x00" + bytes(64)),
    "exr": ("image/x-exr", b"\x76\x2f\x31\x01\x02\x00\x00\x00" + bytes(64)),
    "hdr": (
        "image/vnd.radiance",
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\x80\x80\x80\x81",
    ),
    "psd": ("image/vnd.adobe.photoshop", b"8BPS\x00\x01" + bytes(64)),
    "pdf": ("application/pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"),
    "jxl": ("image/jxl", b"\xff\x0a" + bytes(range(64))),
    "aac": ("audio/aac", b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(64)),
    "mp4": ("video/mp4", b"\x00\x00\x00\x20ftypisom" + bytes(64)),
    "empty": (_OPAQUE, b""),
}
_MADE: Mapping[str, tuple[str, str, Callable[[], bytes]]] = {
    "latent": ("latent_00001_.latent", _OPAQUE, _latent),
    "zip": ("frames.zip", "application/zip", _archive),
    "long zTXt": (
        "workflow_00001_.png",
        _PNG,
        lambda: _png_with(_chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"n" * _LONG_TEXT))),
    ),
    "large ICC profile": (
        "proofed_00001_.png",
        _PNG,
        lambda: _png_with(_chunk(b"iCCP", b"wide\0\0" + zlib.compress(bytes(_LONG_TEXT)))),
    ),
    "bad CRC in an ancillary chunk": (
        "noted_00001_.png",
        _PNG,
        lambda: _png_with(_chunk(b"tEXt", b"prompt\0a cat", flipped=1)),
    ),
    "above the pixel limit": (
        "poster_00001_.png",
        _PNG,
        lambda: _black(_HUGE_SIDE),
    ),
    "JPEG without its last bytes": (
        "photo_00001_.jpg",
        "image/jpeg",
        lambda: _picture("JPEG", (320, 240))[:-40],
    ),
}
KINDS = (*_TEXTS, *_BINARIES, *_MADE)
"""Names of what `Tuning.extra_outputs` may ask for."""


@cache
def file_of(kind: str) -> File:
    """Return a file of one of `KINDS`, the same bytes every time. Raises: KeyError."""
    if kind in _MADE:
        name, media_type, make = _MADE[kind]
        return File(name, media_type, make())
    media_type, content = _TEXTS.get(kind) or _BINARIES[kind]
    return File(f"extra_00001_.{kind}", media_type, content)
