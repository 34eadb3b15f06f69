"""Markdown for Dagster's pages: escaped words, and a sentence above a strip of thumbnails."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from flow_pipelines.reports.pictures import data_url, small_picture, webp

if TYPE_CHECKING:
    from PIL.Image import Image


SHOWN_IN_PLACE = 999
"""Characters; Dagster shows longer markdown only after a click."""

_OBEYED = re.compile(r"[\\`*\[\]|~]")


def plain(text: str) -> str:
    """Return `text` on one line, with nothing in it that would be a link, a tag or a cell's end."""
    line = " ".join(text.split())
    line = _OBEYED.sub(lambda mark: f"\\{mark[0]}", line)
    return html.escape(line, quote=False)


TILES = 4
_TILES_TRIED = ((4, 48), (4, 40), (4, 32), (3, 32), (2, 32), (1, 32))
_TILE_PIXELS = 96
"""Pixels of a side of a tile on the screen; what fits in place is smaller, and drawn larger."""
_QUALITIES = (60, 45, 30, 20, 10, 1)
_DRAWN_LARGER = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='{width}' "
    "height='{height}'%3E%3Cimage width='{width}' height='{height}' href='{url}'/%3E%3C/svg%3E"
)

MOSAIC_TILES = 12
MOSAIC_CHARACTERS = 36_000
"""Every materialization keeps its copy, twice."""
_MOSAIC_COLUMNS = 4
_MOSAIC_SIDES = (200, 160, 120, 96)
_SENTENCE = 200


def preview_markdown(images: Iterable[bytes | Image], sentence: str) -> str:
    """Return a sentence and a strip of the first four images, as a data URL.

    The whole stays below 1,000 characters, whatever the images are: first with less quality, then
    with fewer pixels, then with fewer images, at last with the sentence alone.
    """
    sentence = _one_line(sentence)
    tiles = _tiles(images, TILES, 48)
    for count, side in _TILES_TRIED:
        if 1 < count > len(tiles):
            continue
        for quality in _QUALITIES if tiles else ():
            text = f"{sentence}\n\n![pictures](<{_strip_url(tiles[:count], side, quality)}>)"
            if len(text) <= SHOWN_IN_PLACE:
                return text
    return sentence


def mosaic_markdown(images: Iterable[bytes | Image], sentence: str) -> str:
    """Return a sentence and the first twelve images, large enough to judge, as a data URL.

    Dagster shows it in a window of its own, after one click. Empty without images.
    """
    tiles = _tiles(images, MOSAIC_TILES, _MOSAIC_SIDES[0])
    sentence = _one_line(sentence)
    for side in _MOSAIC_SIDES if tiles else ():
        mosaic = _laid_out(tiles, side, _MOSAIC_COLUMNS, gap=4)
        for quality in (75, 45, 20):
            text = f"{sentence}\n\n![pictures]({_data_url(mosaic, quality)})"
            if len(text) <= MOSAIC_CHARACTERS:
                return text
    return sentence


def _one_line(sentence: str) -> str:
    return plain(" ".join(sentence.split())[:_SENTENCE])


def _tiles(images: Iterable[bytes | Image], most: int, side: int) -> list[Image]:
    """Cut the first images that decode to squares; no more are loaded than are used."""
    from PIL import ImageOps

    tiles: list[Image] = []
    for image in images:
        small = small_picture(image, 3 * side) if isinstance(image, bytes) else image
        if small != "broken":
            tiles.append(ImageOps.fit(small, (side, side)))
        if len(tiles) == most:
            break
    return tiles


def _strip_url(tiles: Sequence[Image], side: int, quality: int) -> str:
    strip = _laid_out(tiles, side, len(tiles), gap=1)
    height = _TILE_PIXELS
    width = round(strip.width * height / strip.height)
    return _DRAWN_LARGER.format(width=width, height=height, url=_data_url(strip, quality))


def _laid_out(tiles: Sequence[Image], side: int, columns: int, gap: int) -> Image:
    from PIL import Image

    columns = min(columns, len(tiles))
    lines = -(-len(tiles) // columns)
    step = side + gap
    sheet = Image.new("RGB", (columns * step - gap, lines * step - gap), (255, 255, 255))
    for index, tile in enumerate(tiles):
        line, column = divmod(index, columns)
        sheet.paste(
            tile.resize((side, side), Image.Resampling.LANCZOS), (column * step, line * step)
        )
    return sheet


def _data_url(picture: Image, quality: int) -> str:
    return data_url(webp(picture, quality, effort=6 if picture.height < _TILE_PIXELS else 4))
