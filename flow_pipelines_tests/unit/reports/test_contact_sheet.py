"""The one picture of a night."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image, ImageChops

from flow_pipelines.reports.contact_sheet import MAX_BYTES, Tile, contact_sheet
from flow_pipelines.reports.lettering import fit, font, wrap
from flow_pipelines_tests.unit.storage.samples import encoded, picture

RED, BLUE = (200, 30, 30), (30, 30, 200)


def plain(color: tuple[int, int, int], size: tuple[int, int] = (300, 200)) -> bytes:
    return encoded(Image.new("RGB", size, color), "PNG")


def tile(image: bytes | None = None, **changes: object) -> Tile:
    settings = {"image_bytes": image, "caption": "a lighthouse", "note": "p1", **changes}
    return Tile(**settings)  # type: ignore[arg-type]


def opened(sheet: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(sheet))
    assert image.format == "JPEG"
    return image.convert("RGB")


def share_of(sheet: Image.Image, color: tuple[int, int, int], tolerance: int = 12) -> float:
    difference = ImageChops.difference(sheet, Image.new("RGB", sheet.size, color))
    near = difference.convert("RGB").point(lambda value: 255 if value <= tolerance else 0)
    red, green, blue = near.split()
    both = ImageChops.darker(ImageChops.darker(red, green), blue)
    return both.histogram()[255] / (sheet.width * sheet.height)


def test_every_picture_is_on_the_sheet() -> None:
    sheet = opened(contact_sheet("posters", "2 of 2", [tile(plain(RED)), tile(plain(BLUE))]))
    assert share_of(sheet, RED) > 0.05
    assert share_of(sheet, BLUE) > 0.05


def test_a_failure_is_marked_in_red_and_a_waiting_row_is_not() -> None:
    marked = (190, 36, 36)
    failed = opened(contact_sheet("posters", "", [tile(failed=True)]))
    waiting = opened(contact_sheet("posters", "", [tile()]))
    assert share_of(failed, marked, 40) > 0.004
    assert share_of(waiting, marked, 40) == 0


def test_bytes_that_do_not_decode_are_marked_like_a_failure() -> None:
    broken = opened(contact_sheet("posters", "", [tile(b"junk"), tile(picture()[:200])]))
    assert share_of(broken, (190, 36, 36), 40) > 0.004


def test_no_more_tiles_are_loaded_than_are_drawn() -> None:
    loaded = []

    def tiles() -> Iterator[Tile]:
        for number in range(1000):
            loaded.append(number)
            yield tile(plain(RED, (8, 8)))

    contact_sheet("posters", "", tiles(), total=1000, max_tiles=7)
    assert len(loaded) == 7


@pytest.mark.parametrize("total", [None, 9])
def test_a_sheet_that_leaves_tiles_out_says_so(total: int | None) -> None:
    whole = opened(contact_sheet("posters", "", [tile()] * 4))
    cut = opened(contact_sheet("posters", "", [tile()] * 9, total=total, max_tiles=4))
    assert cut.width == whole.width
    assert cut.height > whole.height


def test_a_sheet_of_the_worst_pictures_stays_below_its_limit() -> None:
    noise = picture(size=(256, 256))
    sheet = contact_sheet("noise", "", (tile(noise, caption="x " * 500) for _ in range(200)))
    assert len(sheet) < MAX_BYTES


def test_a_night_without_pictures_has_a_sheet_too() -> None:
    assert opened(contact_sheet("posters", "nothing was stored", [])).width == 640


def test_transparency_is_shown_on_white() -> None:
    clear = encoded(Image.new("RGBA", (100, 100), (0, 0, 0, 0)), "PNG")
    assert share_of(opened(contact_sheet("t", "", [tile(clear)])), (0, 0, 0)) < 0.01


@pytest.mark.parametrize("text", ["word " * 90, "W" * 300, "", "naïve 日本 — “x”"])
def test_text_fits_its_place(text: str) -> None:
    line = fit(text, 13, 120)
    assert font(13, line).getlength(line) <= 120
    lines = wrap(text, 13, 120, 2)
    assert len(lines) <= 2
    assert all(font(13, part).getlength(part) <= 120 for part in lines)


def test_text_that_fits_is_not_cut() -> None:
    assert fit("a  lighthouse\nat dusk", 13, 400) == "a lighthouse at dusk"
    assert wrap("a lighthouse at dusk", 13, 400, 2) == ["a lighthouse at dusk"]
    assert "".join(wrap("one two three four", 13, 60, 9)).replace(" ", "") == "onetwothreefour"
