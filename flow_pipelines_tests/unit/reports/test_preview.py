"""What fits into a materialization."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from flow_pipelines.reports.preview import (
    MOSAIC_CHARACTERS,
    mosaic_markdown,
    preview_markdown,
)
from flow_pipelines_tests.unit.storage.samples import encoded, picture

RED, GREEN = (200, 30, 30), (30, 160, 30)
SENTENCE = "24 images of 24 of 25 rows, $0.48; 1 failed."
COLORS = [(200, 30, 30), (30, 160, 30), (30, 30, 200), (120, 120, 120), (0, 0, 0)]


def strip_of(markdown: str) -> Image.Image:
    """Return the picture that the page embeds, as it is in there."""
    found = re.search(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", markdown)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB")


def shown_size(markdown: str) -> tuple[int, int]:
    """Return the size on the screen."""
    address = re.search(r"!\[pictures\]\(<data:image/svg\+xml,(.*)>\)$", markdown)
    assert address is not None
    drawing = ET.fromstring(unquote(address[1]))
    return int(drawing.attrib["width"]), int(drawing.attrib["height"])


def test_the_first_four_pictures_stand_side_by_side() -> None:
    images = [encoded(Image.new("RGB", (300, 200), color), "JPEG") for color in COLORS]
    markdown = preview_markdown(images, SENTENCE)
    strip = strip_of(markdown)
    width, height = shown_size(markdown)
    assert height == 96
    assert 4 * 96 <= width < 4 * 100
    step = (strip.width + 1) / 4
    for index, color in enumerate(COLORS[:4]):
        pixel = strip.getpixel((int(index * step + step / 2), strip.height // 2))
        assert isinstance(pixel, tuple)
        assert all(abs(a - b) < 25 for a, b in zip(pixel, color, strict=True))


def test_no_more_than_four_pictures_are_loaded() -> None:
    loaded = []

    def images() -> Iterator[bytes]:
        for number in range(100):
            loaded.append(number)
            yield picture(seed=number)

    preview_markdown(images(), SENTENCE)
    assert len(loaded) == 4


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_pictures_still_fit_in_place(seed: int) -> None:
    images = [picture(size=(32, 32), seed=seed * 10 + n) for n in range(4)]
    markdown = preview_markdown(images, "x" * 5000)
    assert len(markdown) < 1000
    assert strip_of(markdown).height >= 32


@pytest.mark.parametrize("images", [[], [b"junk"]])
def test_without_pictures_the_sentence_stands_alone(images: list[bytes]) -> None:
    assert preview_markdown(images, SENTENCE) == SENTENCE


def test_a_picture_that_does_not_decode_is_left_out() -> None:
    assert shown_size(preview_markdown([b"junk", picture()], SENTENCE)) == (96, 96)


def test_the_first_twelve_pictures_are_large_after_a_click() -> None:
    images = [
        encoded(Image.new("RGB", (300, 200), RED if n < 12 else GREEN), "PNG") for n in range(13)
    ]
    mosaic = strip_of(mosaic_markdown(images, SENTENCE))
    assert mosaic.size == (4 * 204 - 4, 3 * 204 - 4)
    assert (mosaic.getpixel((700, 500)) or (0,))[0] > 150  # type: ignore[index]


def test_what_opens_after_a_click_has_a_limit_too() -> None:
    noise = [picture(size=(256, 256), seed=n) for n in range(12)]
    assert len(mosaic_markdown(noise, "x" * 5000)) <= MOSAIC_CHARACTERS
    assert strip_of(mosaic_markdown(noise, SENTENCE)).width > 300


@pytest.mark.parametrize("images", [[], [b"junk"]])
def test_without_pictures_nothing_has_to_be_clicked(images: list[bytes]) -> None:
    assert mosaic_markdown(images, SENTENCE) == SENTENCE
