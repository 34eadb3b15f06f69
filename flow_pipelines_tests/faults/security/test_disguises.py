"""Files that are not what they say, or more than this machine has room for."""

from __future__ import annotations

import io

import pytest
from PIL import GifImagePlugin, Image

from flow_pipelines.model.errors import OutputRefused, TransferError
from flow_pipelines.storage import images
from flow_pipelines.storage.examine import examine
from flow_pipelines.storage.images import verify_image
from flow_pipelines.storage.promises import Promise

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>'
HTML = b"<!doctype html><script>alert(document.domain)</script>"
JS = b"/*...*/=1;alert(1)//"


def encoded(kind: str, size: tuple[int, int] = (4, 4)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 10, 30)).save(stream, kind)
    return stream.getvalue()


def gif(frames: int) -> bytes:
    """Build an animation of frames of a pixel each."""
    head = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    frame = b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00"
    return head + frame * frames + b"\x3b"


@pytest.mark.parametrize(
    "content",
    [
        SVG,
        b"\xef\xbb\xbf" + SVG,
        b"\r\n\t " + SVG,
        SVG.decode().encode("utf-16"),
        b'<?xml version="1.0"?>' + SVG,
        HTML,
        b"<!--ftypmp42-->" + HTML,
        b"<!--ftypisom-->" + SVG,
        b'{"error": "not ready"}',
        b"GIF89a" + JS,
        b"GIF89a=1;" + HTML,
        b"BM=1;alert(1)//",
        b"RIFF\x10\x00\x00\x00WEBP" + HTML,
        b"\xff\xd8\xff\xe0" + HTML,
        b"\x89PNG\r\n\x1a\n" + HTML,
        b"II*\x00" + HTML,
        b"\x00\x00\x00\x20ftypavif" + HTML,
        b"%PDF-1.7 " + HTML,
        b"PK\x03\x04 a jar",
        b"\x7fELF",
        b"#!/bin/sh\nrm -rf ~\n",
        b"",
    ],
)
@pytest.mark.parametrize("declared", ["image/png", "image/svg+xml", "text/html", None])
def test_what_only_looks_like_a_picture_is_never_taken_for_one(
    content: bytes, declared: str | None
) -> None:
    with pytest.raises(TransferError):
        verify_image(io.BytesIO(content))
    facts = examine(io.BytesIO(content), Promise(types=(declared,) if declared else ()))
    assert facts.verified in {"as_is", "damaged"}
    assert (facts.media_type, facts.is_attachment) == ("application/octet-stream", True)


@pytest.mark.parametrize(
    ("kind", "media_type", "extension"),
    [
        ("GIF", "image/gif", "gif"),
        ("PNG", "image/png", "png"),
        ("JPEG", "image/jpeg", "jpg"),
        ("WEBP", "image/webp", "webp"),
    ],
)
@pytest.mark.parametrize("tail", [HTML, SVG, JS])
def test_a_picture_with_a_page_behind_it_is_kept_as_a_picture_and_nothing_else(
    kind: str, media_type: str, extension: str, tail: bytes
) -> None:
    facts = examine(io.BytesIO(encoded(kind) + tail), Promise(types=("text/html",)))
    assert (facts.media_type, facts.extension) == (media_type, extension)


@pytest.mark.parametrize(
    "start", [b"ID3", b"OggS", b"glTF", b"\xff\xfb", b"\x00\x00\x00\x20ftypqt  "]
)
def test_what_is_kept_undecoded_never_counts_as_an_image_or_a_page(
    start: bytes,
) -> None:
    facts = examine(io.BytesIO(start + b"\0" + HTML), Promise(types=("text/html",)))
    assert not facts.media_type.startswith(("image/", "text/", "application/"))


def test_markup_in_a_text_output_is_kept_and_not_shown() -> None:
    facts = examine(io.BytesIO(HTML), Promise(kind="text"))
    assert (facts.media_type, facts.extension) == ("application/octet-stream", "txt")


def test_a_later_frame_may_not_be_larger_than_a_picture_may_be() -> None:
    stream = io.BytesIO()
    small, large = Image.new("1", (8, 8)), Image.new("1", (4000, 3000))
    small.save(stream, "TIFF", save_all=True, append_images=[large])
    with pytest.raises(OutputRefused, match="4000 × 3000"):
        verify_image(stream, max_pixels=10_000)


def test_frames_without_end_are_not_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = GifImagePlugin.GifImageFile.seek

    def seek(self: GifImagePlugin.GifImageFile, frame: int) -> None:
        seen.append(frame)
        plain(self, frame)

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "seek", seek)
    monkeypatch.setattr(images, "_MAX_FRAMES", 20)
    facts = verify_image(io.BytesIO(gif(500)))
    assert (facts.width, facts.height) == (1, 1)
    assert max(seen) == 19


def test_an_animation_is_looked_at_to_its_end_where_that_is_near() -> None:
    whole = gif(5)
    assert verify_image(io.BytesIO(whole)).extension == "gif"
    broken = whole[:-40] + b"\x2c" + b"\xff" * 39
    with pytest.raises(TransferError):
        verify_image(io.BytesIO(broken))
