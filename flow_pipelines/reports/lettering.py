"""Fonts, and text that fits: what every picture drawn here needs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

INK = (28, 30, 34)
FAINT = (110, 116, 124)
PAPER = (255, 255, 255)
RED = (190, 36, 36)

_ELLIPSIS = "…"
_LONGEST = 400


@lru_cache(maxsize=8)
def font(size_px: int) -> FreeTypeFont | ImageFont:
    """Give Pillow's built-in font, so that a report looks alike on every machine."""
    from PIL import ImageFont

    return ImageFont.load_default(size_px)


def fit(text: str, size_px: int, width_px: int) -> str:
    """Cut `text` to one line of at most `width_px`, with an ellipsis where it was cut."""
    text = " ".join(text[:_LONGEST].split())
    if _width(text, size_px) <= width_px:
        return text
    while text and _width(text + _ELLIPSIS, size_px) > width_px:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


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


def _width(text: str, size_px: int) -> float:
    return font(size_px).getlength(text)
