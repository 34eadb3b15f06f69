"""What passes for an image, and what never does."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flow_pipelines.model.errors import OutputRefused, TransferError
from flow_pipelines.storage.examine import examine
from flow_pipelines.storage.images import ImageFacts, verify_image
from flow_pipelines.storage.promises import Promise
from flow_pipelines_tests.unit.storage.samples import encoded, picture

TYPES = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "WEBP": ("image/webp", "webp"),
    "GIF": ("image/gif", "gif"),
    "BMP": ("image/bmp", "bmp"),
    "TIFF": ("image/tiff", "tif"),
}
# A PNG's last checksum and a GIF's last two bytes say nothing of the picture.
UNREAD_TAIL = {"PNG": 4, "GIF": 2}


def verify(content: bytes, **limits: int) -> ImageFacts:
    return verify_image(io.BytesIO(content), **limits)


@pytest.mark.parametrize("image_format", TYPES)
def test_the_type_comes_from_the_content_whatever_was_declared(image_format: str) -> None:
    media_type, extension = TYPES[image_format]
    content = picture(image_format)
    assert verify(content) == ImageFacts(
        media_type=media_type, extension=extension, width=40, height=30
    )
    facts = examine(io.BytesIO(content), Promise(types=("image/x-icon",)))
    assert (facts.media_type, facts.extension) == (media_type, extension)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")
@pytest.mark.parametrize("image_format", TYPES)
def test_a_cut_image_is_to_be_fetched_again_wherever_it_was_cut(image_format: str) -> None:
    content = picture(image_format, (24, 24))
    for end in range(0, len(content) - UNREAD_TAIL.get(image_format, 0), 7):
        with pytest.raises(TransferError) as raised:
            verify(content[:end])
        assert not isinstance(raised.value, OutputRefused), end


@given(position=st.integers(min_value=60, max_value=1800), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_png_is_noticed(position: int, bit: int) -> None:
    content = bytearray(picture("PNG", (24, 26)))
    content[position] ^= 1 << bit
    with pytest.raises(TransferError):
        verify(bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html>please sign in</html>",
        b'  \n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b'{"error": "expired"}',
        b"just words",
        b"MZ\x90\x00 a program",
    ],
)
def test_what_is_no_image_is_refused_under_any_declared_type(content: bytes) -> None:
    with pytest.raises(OutputRefused):
        verify(content)
    facts = examine(io.BytesIO(content), Promise(types=("image/png",)))
    assert facts.verified in {"as_is", "damaged"}


def test_a_prompt_about_markup_inside_a_png_is_no_reason_to_refuse_it() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("prompt", '{"6": "<svg> and <html> in neon"}')
    assert verify(encoded(Image.new("RGB", (8, 8)), "PNG", pnginfo=info)).extension == "png"


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(OutputRefused, match="300 × 200 pixels; at most 59999"):
        verify(encoded(Image.new("1", (300, 200)), "PNG"), max_pixels=59_999)
    assert verify(encoded(Image.new("1", (300, 200)), "PNG"), max_pixels=60_000).width == 300


def test_a_decompression_bomb_is_refused() -> None:
    bomb = encoded(Image.new("1", (14_000, 14_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(OutputRefused):
        verify(bomb)


def test_every_frame_of_an_animation_is_decoded() -> None:
    frames = [Image.frombytes("P", (20, 20), bytes([n]) * 400) for n in range(6)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert verify(content).media_type == "image/gif"
    with pytest.raises(TransferError):
        verify(content[: len(content) - 20])


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_other_colour_modes_are_images_too(mode: str) -> None:
    assert verify(picture("TIFF", mode=mode)).height == 30
