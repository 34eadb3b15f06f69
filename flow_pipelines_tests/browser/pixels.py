"""What a screenshot shows: whether something was painted at all."""

from __future__ import annotations

import io

from PIL import Image
from playwright.sync_api import Locator, Page


def picture_of(shown: Locator | Page) -> Image.Image:
    """Take a screenshot of a page or of an element, scrolled into view."""
    return Image.open(io.BytesIO(shown.screenshot())).convert("RGB")


def distinct_colors(shown: Locator | Page) -> int:
    """Count the colors on the screen: a picture has thousands, words hundreds, an empty box few."""
    picture = picture_of(shown)
    colors = picture.getcolors(maxcolors=picture.width * picture.height)
    return len(colors or ())


def pixels_like(shown: Locator | Page, color: tuple[int, int, int], *, within: int = 12) -> int:
    """Count the pixels of nearly this color."""
    picture = picture_of(shown)
    colors = picture.getcolors(maxcolors=picture.width * picture.height) or []
    return sum(
        count
        for count, seen in colors
        if all(abs(a - b) <= within for a, b in zip(seen, color, strict=True))
    )
