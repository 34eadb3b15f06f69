"""Text in drawn pictures: colors, fonts, and lines cut to a width."""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

INK = (28, 30, 34)
FAINT = (110, 116, 124)
PAPER = (255, 255, 255)
RED = (190, 36, 36)

_ELLIPSIS = "…"
_LONGEST = 400
_ASCII = frozenset(map(chr, range(128)))
_BUILT_IN_EXTRAS = frozenset("·…“”–—")
_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
)


def font(size_px: int, text: str = "") -> FreeTypeFont | ImageFont:
    """Return a font that can write `text`.

    Pillow's built-in one, alike on every machine, has little beyond ASCII; other text is written
    in the first wide font that this machine has, and in the built-in one if it has none.
    """
    plain = text.isascii() or not set(text) - _BUILT_IN_EXTRAS - _ASCII
    return _built_in(size_px) if plain else _widest(size_px)


def write(
    draw: ImageDraw,
    place: tuple[float, float],
    text: str,
    size_px: int,
    color: tuple[int, int, int] = INK,
    anchor: str | None = None,
) -> None:
    """Write one line in a font that has its characters."""
    draw.text(place, text, color, font(size_px, text), anchor)


@lru_cache(maxsize=8)
def _built_in(size_px: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size_px)


@lru_cache(maxsize=8)
def _widest(size_px: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    for name in _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size_px)
        except OSError:
            continue
    return _built_in(size_px)


def fit(text: str, size_px: int, width_px: int) -> str:
    """Cut `text` to one line of at most `width_px`, with an ellipsis where it was cut."""
    text = " ".join(text[:_LONGEST].split())
    if _width(text, size_px) <= width_px:
        return text
    kept = bisect_right(
        range(len(text)), width_px, key=lambda end: _width(text[:end] + _ELLIPSIS, size_px)
    )
    return text[: max(kept - 1, 0)].rstrip() + _ELLIPSIS


def wrap(text: str, size_px: int, width_px: int, lines: int) -> list[str]:
    """Break `text` at spaces into at most `lines` lines; the last one is cut to fit."""
    words = text[:_LONGEST].split()
    broken: list[str] = []
    while words and len(broken) < lines - 1:
        taken = 1
        while taken < len(words) and _width(" ".join(words[: taken + 1]), size_px) <= width_px:
            taken += 1
        broken.append(fit(" ".join(words[:taken]), size_px, width_px))
        words = words[taken:]
    if words:
        broken.append(fit(" ".join(words), size_px, width_px))
    return broken


def _width(text: str, size_px: int) -> int:
    return math.ceil(font(size_px, text).getlength(text))
