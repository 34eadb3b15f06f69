"""What a screenshot shows: whether something was painted at all."""

from __future__ import annotations

import io

from PIL import Image
from playwright.sync_api import Locator, Page


def picture_of(shown: Locator | Page) -> Image.Image:
    """Take a screenshot of a page or of an element, scrolled into view."""
    return Image.open(io.BytesIO(shown.screenshot())).convert("RGB")


def distinct_colors(shown: Locator | Page) -> int:
    """Count the colors on the screen; a picture has hundreds, an empty box a few."""
    picture = picture_of(shown)
    colors = picture.getcolors(maxcolors=picture.width * picture.height)
    return len(colors or ())
