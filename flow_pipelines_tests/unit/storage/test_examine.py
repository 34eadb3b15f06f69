"""Whatever an output is, it is kept; only how far it was verified differs."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from flow_pipelines.sandbox.files import KINDS, file_of
from flow_pipelines.storage.examine import OPAQUE, FileFacts, examine
from flow_pipelines.storage.promises import Promise
from flow_pipelines_tests.unit.storage.samples import encoded, picture

EXPECTED = {
    **dict.fromkeys(KINDS, "as_is"),
    **dict.fromkeys(("long zTXt", "large ICC profile", "bad CRC in an ancillary chunk"), "decoded"),
    **dict.fromkeys(("mp4", "above the pixel limit"), "recognized"),
    **dict.fromkeys(("empty", "JPEG without its last bytes"), "damaged"),
}


def looked_into(content: bytes, promise: Promise | None = None, **limits: int) -> FileFacts:
    return examine(io.BytesIO(content), promise or Promise(size_bytes=len(content)), **limits)


@pytest.mark.case(
    "19 of 20 kinds of paid files were dropped, and their nights collected again and again",
    "every file is kept, with how far it was verified and why no further",
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_any_kind_is_kept(kind: str) -> None:
    file = file_of(kind)
    promise = Promise(names=(file.name,), types=(file.media_type,), size_bytes=len(file.content))
    facts = looked_into(file.content, promise)
    assert facts.verified == EXPECTED[kind]
    assert facts.doubt != "a day"
    assert facts.why or kind in {"long zTXt", "large ICC profile"}
    assert facts.is_attachment == (facts.verified in {"as_is", "damaged"})
    extension = facts.extension.removeprefix("damaged.")
    assert file.name.endswith(f".{extension}") or extension == "bin"


@pytest.mark.parametrize(
    "content",
    [
        b"<html>sign in</html>",
        b"\xef\xbb\xbf<?xml version='1.0'?><Error/>",
        b'{"error": "expired"}',
        b"upstream connect error",
        "<svg/>".encode("utf-16"),
    ],
)
@pytest.mark.parametrize(
    "promise",
    [
        Promise(names=("ComfyUI_00001_.PNG",)),
        Promise(names=("clip.mp4",), types=("text/html",)),
        Promise(types=("image/png",)),
        Promise(types=("image/*", "text/html")),
        Promise(types=("audio/mpeg",)),
        Promise(names=("noname",), types=("video/mp4",)),
    ],
)
def test_text_where_a_picture_or_sound_was_promised_is_doubted_for_a_day(
    content: bytes, promise: Promise
) -> None:
    facts = looked_into(content, promise)
    assert (facts.verified, facts.doubt, facts.media_type) == ("damaged", "a day", OPAQUE)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("notes.json", "image/png"),
        ("drawing.svg", "image/svg+xml"),
        ("", "image/svg+xml"),
        ("", "text/html"),
        ("list.m3u8", "audio/mpegurl"),
        ("", "audio/x-mpegurl"),
        ("", ""),
    ],
)
def test_text_where_none_of_them_was_promised_is_what_it_is(name: str, media_type: str) -> None:
    facts = looked_into(b"<note/>", Promise(names=(name,), types=(media_type,)))
    assert (facts.verified, facts.doubt, facts.media_type) == ("as_is", None, OPAQUE)


def test_a_web_page_in_the_place_of_a_named_file_is_doubted_and_one_named_so_is_not() -> None:
    page = b"<!DOCTYPE html><title>Just a moment</title>"
    assert looked_into(page, Promise(names=("a.latent",))).doubt == "a day"
    assert looked_into(page, Promise(names=("report.html",))).doubt is None


@pytest.mark.parametrize(
    ("head", "media_type", "extension"),
    [
        (b"\0\0\0\x20ftypisom", "video/mp4", "mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "video/webm", "webm"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav", "wav"),
        (b"ID3\x04\0\0", "audio/mpeg", "mp3"),
        (b"\xff\xfb\x90\x64", "audio/mpeg", "mp3"),
        (b"fLaC\0\0\0\x22", "audio/flac", "flac"),
        (b"\0\0\0\x18ftypheic", "image/heic", "heic"),
    ],
)
def test_video_and_audio_are_known_by_their_first_bytes(
    head: bytes, media_type: str, extension: str
) -> None:
    facts = looked_into(head + b"\0" * 100)
    assert (facts.media_type, facts.extension) == (media_type, extension)
    assert (facts.verified, facts.width) == ("recognized", None)


def test_a_webp_is_decoded_although_it_begins_like_a_sound() -> None:
    assert looked_into(picture("WEBP")).width == 40


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_that_breaks_off_is_damaged_once_it_came_so_twice(image_format: str) -> None:
    facts = looked_into(picture(image_format)[:-30])
    assert (facts.verified, facts.doubt, facts.media_type) == ("damaged", "twice", OPAQUE)


def test_a_picture_above_the_limit_is_recognized_with_its_size() -> None:
    content = encoded(Image.new("1", (300, 200)), "PNG")
    facts = looked_into(content, max_pixels=59_999)
    assert (facts.verified, facts.media_type) == ("recognized", "image/png")
    assert (facts.width, facts.height) == (300, 200)
    assert "at most 59999" in (facts.why or "")


def test_a_whole_picture_that_does_not_decode_here_is_not_called_damaged() -> None:
    cut_within = picture("JPEG")[:300] + b"\xff\xd9"
    facts = looked_into(cut_within)
    assert (facts.verified, facts.media_type) == ("recognized", "image/jpeg")


@pytest.mark.parametrize("told", [None, 0])
def test_an_empty_file_is_damaged_at_once_only_where_it_was_announced(told: int | None) -> None:
    facts = looked_into(b"", Promise(size_bytes=told))
    assert (facts.verified, facts.doubt) == ("damaged", None if told == 0 else "twice")


def test_what_is_named_a_picture_and_is_something_else_is_fetched_twice() -> None:
    garbage = bytes(range(1, 9)) * 100
    named = looked_into(garbage, Promise(names=("a.png",)))
    assert (named.verified, named.doubt) == ("damaged", "twice")
    other = looked_into(garbage, Promise(names=("a.psd",)))
    assert (other.verified, other.doubt) == ("as_is", "twice")
    assert looked_into(garbage, Promise(names=("a.latent",))).doubt is None


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.OBJ", "obj"),
        ("mesh.tar.gz", "gz"),
        ("a.verylongext", "bin"),
        ("../../etc/passwd", "bin"),
        ("a.p/ng", "bin"),
        ("a.exe\0.png", "png"),
        ("", "bin"),
        ("a.\u0455vg", "bin"),
    ],
)
def test_an_extension_fits_in_a_key_or_is_bin(name: str, extension: str) -> None:
    found = looked_into(b"\x01\x02\x03", Promise(names=(name,))).extension
    assert found.removeprefix("damaged.") == extension


@pytest.mark.parametrize(
    ("content", "verified", "media_type"),
    [
        ("ein Fuß".encode(), "decoded", "text/plain; charset=utf-8"),
        ("ein Fuß".encode("latin-1"), "as_is", OPAQUE),
        (b"<script>alert(1)</script>", "decoded", OPAQUE),
        (b"", "decoded", "text/plain; charset=utf-8"),
    ],
)
def test_a_text_output_is_text_as_far_as_it_is_utf_8_and_no_markup(
    content: bytes, verified: str, media_type: str
) -> None:
    facts = looked_into(content, Promise(kind="text"))
    assert (facts.verified, facts.media_type, facts.extension) == (verified, media_type, "txt")
