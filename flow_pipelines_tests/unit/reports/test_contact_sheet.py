"""The one picture of a night."""

from __future__ import annotations

import io
from typing import Literal

import pytest
from PIL import Image, ImageChops

from flow_pipelines.reports.contact_sheet import MAX_BYTES, ContactSheet
from flow_pipelines.reports.drawn_text import fit, font, wrap
from flow_pipelines.reports.pictures import small_picture
from flow_pipelines.reports.row_view import RowView
from flow_pipelines_tests.unit.storage.samples import picture

RED, BLUE = (200, 30, 30), (30, 30, 200)


MARK = (190, 36, 36)


def plain(color: tuple[int, int, int], size: tuple[int, int] = (300, 200)) -> Image.Image:
    return Image.new("RGB", size, color)


def card(**changes: object) -> RowView:
    return RowView(**{"prompt_id": "p1", "prompt": "a lighthouse", **changes})  # type: ignore[arg-type]


def sheet_of(
    *tiles: tuple[RowView, Image.Image | Literal["broken"] | None], subtitle: str = ""
) -> Image.Image:
    sheet = ContactSheet("posters", subtitle, len(tiles))
    for shown, image in tiles:
        sheet.add(shown, image)
    return opened(sheet.jpeg())


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
    sheet = sheet_of((card(), plain(RED)), (card(), plain(BLUE)))
    assert share_of(sheet, RED) > 0.05
    assert share_of(sheet, BLUE) > 0.05


@pytest.mark.parametrize("state", ["failed", "canceled", "unresolved", "not stored"])
def test_what_became_no_picture_is_marked_in_red(state: str) -> None:
    assert share_of(sheet_of((card(state=state, reason="out of memory"), None)), MARK, 40) > 0.004


@pytest.mark.parametrize("state", ["skipped", "not ended"])
def test_what_may_still_become_a_picture_is_not_marked(state: str) -> None:
    assert share_of(sheet_of((card(state=state), None)), MARK, 40) == 0


def test_bytes_that_do_not_decode_are_marked_like_a_failure() -> None:
    assert share_of(sheet_of((card(load=lambda: b""), "broken")), MARK, 40) > 0.004


def test_a_failed_run_with_a_picture_shows_it_with_the_mark() -> None:
    sheet = sheet_of((card(state="failed"), plain(BLUE)))
    assert share_of(sheet, BLUE) > 0.05
    assert share_of(sheet, MARK, 40) > 0.004


def test_a_reason_is_written_where_the_picture_would_be() -> None:
    told = sheet_of((card(state="failed", reason="out of memory " * 9), None))
    silent = sheet_of((card(state="failed"), None))
    assert share_of(told, MARK, 60) > share_of(silent, MARK, 60) * 1.2


def test_a_large_night_is_drawn_small_rather_than_cut() -> None:
    sheet = sheet_of(*[(card(), plain(RED, (60, 60)))] * 121)
    painted = share_of(sheet, RED) * sheet.width * sheet.height
    assert painted > 121 * 60 * 60 * 0.9


def test_a_sheet_that_leaves_cards_out_says_so() -> None:
    whole = sheet_of(*[(card(), None)] * 600)
    cut = sheet_of(*[(card(), None)] * 601)
    assert cut.width == whole.width
    assert cut.height > whole.height


def test_a_sheet_of_the_worst_pictures_stays_below_its_limit() -> None:
    noise = small_picture(picture(size=(256, 256)), 256)
    sheet = ContactSheet("noise", "", 600)
    for _ in range(600):
        sheet.add(card(prompt="x " * 500), noise)
    assert len(sheet.jpeg()) < MAX_BYTES


def test_a_night_without_pictures_has_a_sheet_too() -> None:
    assert sheet_of(subtitle="nothing was stored").width == 640


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
