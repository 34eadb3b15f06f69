"""Stored pictures made small, a few at a time, and written into a page as it has room for them."""

from __future__ import annotations

import base64
import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

LoadPicture = Callable[[], bytes | None]
"""Returns a stored picture, None where it cannot be shown. Called once, perhaps from a thread."""
Broken = Literal["broken"]

LARGEST = 1024
"""Pixels of the longer side: what a page shows is never larger."""
MAX_PIXELS = 100_000_000
_THREADS = 4
_AHEAD = 6
_WHITE = (255, 255, 255)

_GOOD, _FAIR = 78, 45
_WORTH_LESS_QUALITY = 1.7
"""A picture of up to so many times its share is encoded with less quality; a larger one gets fewer
pixels."""
_USUAL_BYTES_PER_PIXEL = 0.12
_SMALLEST = 24


def small_pictures(
    loads: Iterable[LoadPicture | None],
) -> Iterator[Image | Broken | None]:
    """Yield each picture, in order, with at most 1,024 pixels a side, flat on white.

    A few are loaded ahead in threads, so that whole pictures of a handful are in memory at once,
    however many there are. "broken": bytes that are no picture. None: nothing to show.
    """
    waiting: deque[Future[Image | Broken | None]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="pictures") as pool:
        try:
            for load in loads:
                waiting.append(pool.submit(_loaded, load))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for picture in waiting:
                picture.cancel()


def small_picture(content: bytes, side: int) -> Image | Broken:
    """Decode a picture and make it fit a square of `side` pixels, upright, flat on white."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (side, side))
            if image.width * image.height > MAX_PIXELS:
                return "broken"
            small = ImageOps.exif_transpose(image)
            small.thumbnail((side, side), reducing_gap=3.0)
            flat = Image.new("RGBA", small.size, (*_WHITE, 255))
            flat.alpha_composite(small.convert("RGBA"))
            return flat.convert("RGB")
    # A page of the rest is worth more than none: whatever Pillow says, the place is marked.
    except Exception:  # noqa: BLE001 - see above
        return "broken"


class PictureBudget:
    """How much of a page is left for pictures, shared out fairly among those to come."""

    def __init__(self, characters: int, pictures: int) -> None:
        """Share `characters` of the page among `pictures`."""
        self._characters_left = max(characters, 0)
        self._pictures = pictures
        self._bytes_per_pixel = _USUAL_BYTES_PER_PIXEL

    def data_url(self, image: Image) -> str | None:
        """Write one picture as a data URL, as large and as good as its share allows.

        What it leaves is shared out among the later ones. None: its share is too small for any.
        """
        share = self._characters_left // max(self._pictures, 1)
        self._pictures -= 1
        content = self._within(image, (share - len(data_url(b""))) * 3 // 4 - 2)
        if content is None:
            return None
        url = data_url(content)
        self._characters_left -= len(url)
        return url

    def _within(self, image: Image, most: int) -> bytes | None:
        """Encode in at most `most` bytes; what one picture took tells where to begin next time."""
        ratio = max(image.size) / min(image.size)
        side = math.sqrt(max(most, 0) / self._bytes_per_pixel * ratio)
        side = min(side, max(image.size))
        while side >= _SMALLEST:
            small = image.copy()
            small.thumbnail((round(side), round(side)), reducing_gap=2.0)
            content = webp(small, _GOOD)
            self._learn(len(content) / (small.width * small.height))
            if most < len(content) <= most * _WORTH_LESS_QUALITY:
                content = webp(small, _FAIR)
            if len(content) <= most:
                return content
            side *= max(math.sqrt(most / len(content)) * 0.9, 0.3)
        return None

    def _learn(self, bytes_per_pixel: float) -> None:
        """Move the estimate a fifth of the way, within reason."""
        moved = 0.8 * self._bytes_per_pixel + 0.2 * bytes_per_pixel
        self._bytes_per_pixel = min(max(moved, 0.04), 1.0)


def webp(image: Image, quality: int, effort: int = 3) -> bytes:
    """Encode a picture; `effort` 0 … 6 trades time for bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=effort)
    return buffer.getvalue()


def data_url(content: bytes, media_type: str = "image/webp") -> str:
    """Return an address that holds the picture itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _loaded(load: LoadPicture | None) -> Image | Broken | None:
    content = load() if load is not None else None
    return None if content is None else small_picture(content, LARGEST)
