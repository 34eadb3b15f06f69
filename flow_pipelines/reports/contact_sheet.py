"""One picture of a night: every stored image small, captioned, failures marked."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow_pipelines.reports.drawn_text import FAINT, PAPER, RED, fit, wrap, write
from flow_pipelines.reports.pictures import Broken
from flow_pipelines.reports.row_view import RowView, absence

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

MAX_BYTES = 4_000_000

_CAPTION = 13
_LINE = 17
_REASON_LINES = 6
_MARGIN = 24
_HEADER = 92
_FOOTER = 44
_MIN_WIDTH = 640
_EMPTY = (240, 241, 243)
_WARM = (252, 240, 239)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How large the tiles are, and how many a sheet takes."""

    thumb: int
    gap: int
    prompt_lines: int
    note_lines: int
    columns: int
    most: int

    @property
    def tile_height(self) -> int:
        """Return the pixels of a picture with its caption."""
        return self.thumb + (self.prompt_lines + self.note_lines) * _LINE + 8


LARGE = Grid(thumb=220, gap=18, prompt_lines=2, note_lines=2, columns=8, most=120)
DENSE = Grid(thumb=112, gap=8, prompt_lines=0, note_lines=1, columns=24, most=600)


class ContactSheet:
    """A sheet that is drawn tile by tile; nothing but the tiles is kept."""

    def __init__(self, title: str, subtitle: str, views: int) -> None:
        """Begin the sheet of a night with so many views.

        Up to 120 are drawn large, more of them small, and of more than 600 the first ones.
        """
        self._title, self._subtitle, self._count = title, subtitle, views
        self._grid = LARGE if views <= LARGE.most else DENSE
        self._tiles: list[Image] = []
        self._problems_left_out = 0

    def add(self, view: RowView, picture: Image | Broken | None) -> None:
        """Draw the next view; beyond the last place it is only counted."""
        if len(self._tiles) < self._grid.most:
            self._tiles.append(_tile(view, picture, self._grid))
        else:
            self._problems_left_out += view.is_problem

    def jpeg(self) -> bytes:
        """Return the sheet as a JPEG of less than 4 MB."""
        return _jpeg(self._drawn())

    def _drawn(self) -> Image:
        from PIL import Image, ImageDraw

        grid, count = self._grid, len(self._tiles)
        columns = min(max(math.ceil(math.sqrt(count * 1.6)), 1), grid.columns)
        step_x, step_y = grid.thumb + grid.gap, grid.tile_height + grid.gap
        width = max(columns * step_x - grid.gap + 2 * _MARGIN, _MIN_WIDTH)
        footer = self._footer()
        height = _HEADER + math.ceil(count / columns) * step_y + (_FOOTER if footer else 0)
        sheet = Image.new("RGB", (width, height), PAPER)
        draw = ImageDraw.Draw(sheet)
        write(draw, (_MARGIN, 20), fit(self._title, 28, width - 2 * _MARGIN), 28)
        write(draw, (_MARGIN, 58), fit(self._subtitle, 16, width - 2 * _MARGIN), 16, FAINT)
        for index, tile in enumerate(self._tiles):
            row, column = divmod(index, columns)
            sheet.paste(tile, (_MARGIN + column * step_x, _HEADER + row * step_y))
        write(draw, (_MARGIN, height - _FOOTER + 8), footer, 18)
        return sheet

    def _footer(self) -> str:
        more = self._count - len(self._tiles)
        if more <= 0:
            return "" if self._tiles else "No pictures."
        problems = self._problems_left_out
        among = f", {problems} of them without a picture" if problems else ""
        return f"… and {more:,} more{among}: gallery.html has them all"


def _tile(view: RowView, picture: Image | Broken | None, grid: Grid) -> Image:
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (grid.thumb, grid.tile_height), PAPER)
    draw = ImageDraw.Draw(canvas)
    marked = view.is_problem or picture == "broken"
    if picture is None or picture == "broken":
        words = absence(view, broken=picture is not None)
        _draw_absence(draw, words.word, words.reason, grid, marked=marked)
    else:
        small = picture.copy()
        small.thumbnail((grid.thumb, grid.thumb), reducing_gap=3.0)
        canvas.paste(small, ((grid.thumb - small.width) // 2, (grid.thumb - small.height) // 2))
    if marked:
        draw.rectangle((0, 0, grid.thumb - 1, grid.thumb - 1), outline=RED, width=3)
    y = grid.thumb + 4
    for line in wrap(view.prompt or view.prompt_id, _CAPTION, grid.thumb, grid.prompt_lines):
        write(draw, (0, y), line, _CAPTION)
        y += _LINE
    for line in _notes(view, grid):
        write(draw, (0, y), fit(line, _CAPTION, grid.thumb), _CAPTION, RED if marked else FAINT)
        y += _LINE
    return canvas


def _notes(view: RowView, grid: Grid) -> list[str]:
    seed = f"seed {view.seed}" if view.seed is not None else ""
    lines = [(view.prompt_id[:24], seed), (view.provider, view.cost, view.position)]
    return [" · ".join(filter(None, line)) for line in lines[: grid.note_lines]]


def _draw_absence(draw: ImageDraw, word: str, reason: str, grid: Grid, *, marked: bool) -> None:
    """Draw a square that says why there is no picture."""
    middle, edge = grid.thumb // 2, grid.thumb - 1
    draw.rectangle((0, 0, edge, edge), fill=_WARM if marked else _EMPTY)
    color = RED if marked else FAINT
    lines = wrap(reason, _CAPTION, grid.thumb - 24, _REASON_LINES) if grid is LARGE else []
    y = middle - len(lines) * _LINE // 2
    write(draw, (middle, y), word, 20 if grid is LARGE else _CAPTION, color, "mm")
    for line in lines:
        y += _LINE
        write(draw, (middle, y + 6), line, _CAPTION, color, "mm")


def _jpeg(sheet: Image) -> bytes:
    """Encode below `MAX_BYTES`: first with less quality, then with fewer pixels."""
    while True:
        for quality in (88, 75, 60, 45):
            buffer = io.BytesIO()
            sheet.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() < MAX_BYTES:
                return buffer.getvalue()
        sheet = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4))
