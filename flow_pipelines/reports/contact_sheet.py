"""One picture of a night: every stored image small, captioned, failures marked."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from flow_pipelines.reports.lettering import FAINT, PAPER, RED, fit, wrap, write

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

MAX_TILES = 120
MAX_BYTES = 4_000_000

_THUMB = 220
_GAP = 14
_CAPTION = 13
_LINE = 17
_TEXT_HEIGHT = 3 * _LINE + 8
_HEADER = 76
_FOOTER = 40
_MAX_COLUMNS = 8
_MIN_WIDTH = 640
_EMPTY = (238, 240, 243)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One place on the sheet."""

    image_bytes: bytes | None
    """Any image type that Pillow reads; None: there is no picture."""
    caption: str
    """Two lines at most are shown: the prompt, usually."""
    note: str = ""
    """One line in grey: row, seed, cost; for a failure its reason."""
    failed: bool = False


def contact_sheet(
    title: str,
    subtitle: str,
    tiles: Iterable[Tile],
    *,
    total: int | None = None,
    max_tiles: int = MAX_TILES,
) -> bytes:
    """Draw the sheet as a JPEG of less than 4 MB.

    At most `max_tiles` tiles are taken from `tiles`, one at a time, and the rest is counted as
    "… and n more": from `total` where it is given, so that nobody has to load what is not shown.
    """
    source = iter(tiles)
    drawn = [_tile(tile) for tile in islice(source, max_tiles)]
    more = sum(1 for _ in source) if total is None else max(total - len(drawn), 0)
    return _jpeg(_sheet(title, subtitle, drawn, more))


def _sheet(title: str, subtitle: str, drawn: list[Image], more: int) -> Image:
    from PIL import Image, ImageDraw

    columns = min(max(math.ceil(math.sqrt(len(drawn) * 1.6)), 1), _MAX_COLUMNS)
    rows = math.ceil(len(drawn) / columns)
    step_x, step_y = _THUMB + _GAP, _THUMB + _TEXT_HEIGHT + _GAP
    width = max(columns * step_x + _GAP, _MIN_WIDTH)
    height = _HEADER + rows * step_y + (_FOOTER if more or not drawn else _GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (_GAP, 12), fit(title, 26, width - 2 * _GAP), 26)
    write(draw, (_GAP, 46), fit(subtitle, 15, width - 2 * _GAP), 15, FAINT)
    for index, tile in enumerate(drawn):
        row, column = divmod(index, columns)
        sheet.paste(tile, (_GAP + column * step_x, _HEADER + row * step_y))
    if more or not drawn:
        text = f"… and {more} more" if more else "No pictures."
        write(draw, (_GAP, height - _FOOTER + 8), text, 18)
    return sheet


def _tile(tile: Tile) -> Image:
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (_THUMB, _THUMB + _TEXT_HEIGHT), PAPER)
    draw = ImageDraw.Draw(canvas)
    thumbnail = _thumbnail(tile.image_bytes)
    broken = tile.image_bytes is not None and thumbnail is None
    failed = tile.failed or broken
    if thumbnail is None:
        word = "does not decode" if broken else "failed" if failed else "no picture yet"
        _draw_absence(draw, word, RED if failed else FAINT)
    else:
        place = ((_THUMB - thumbnail.width) // 2, (_THUMB - thumbnail.height) // 2)
        canvas.paste(thumbnail, place)
    if failed:
        draw.rectangle((0, 0, _THUMB - 1, _THUMB - 1), outline=RED, width=3)
    y = _THUMB + 4
    for line in wrap(tile.caption, _CAPTION, _THUMB, 2):
        write(draw, (0, y), line, _CAPTION)
        y += _LINE
    write(draw, (0, y), fit(tile.note, _CAPTION, _THUMB), _CAPTION, RED if failed else FAINT)
    return canvas


def _draw_absence(draw: ImageDraw, word: str, color: tuple[int, int, int]) -> None:
    draw.rectangle((0, 0, _THUMB - 1, _THUMB - 1), fill=_EMPTY)
    write(draw, (_THUMB // 2, _THUMB // 2), word, 20, color, "mm")


def _thumbnail(image_bytes: bytes | None) -> Image | None:
    from PIL import Image, ImageOps

    if image_bytes is None:
        return None
    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            image.draft("RGB", (_THUMB, _THUMB))
            small = ImageOps.exif_transpose(image)
            small.thumbnail((_THUMB, _THUMB))
            flat = Image.new("RGBA", small.size, (*PAPER, 255))
            flat.alpha_composite(small.convert("RGBA"))
            return flat.convert("RGB")
    # A sheet of the rest is worth more than none: whatever Pillow says, the tile is marked.
    except Exception:  # noqa: BLE001 - see above
        return None


def _jpeg(sheet: Image) -> bytes:
    """Encode below `MAX_BYTES`: first with less quality, then with fewer pixels."""
    while True:
        for quality in (85, 75, 60, 45):
            buffer = io.BytesIO()
            sheet.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() < MAX_BYTES:
                return buffer.getvalue()
        sheet = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4))
