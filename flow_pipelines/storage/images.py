"""Proves that an image is one that a person can look at."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from flow_pipelines.model.errors import OutputRefused, TransferError
from flow_pipelines.storage.media import begins_like_an_image, looks_like_markup
from flow_pipelines.storage.png import SIGNATURE, checked_png

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
_ANIMATION_FACTOR = 8
"""An animation's frames are decoded up to this many times `max_pixels` in all."""
_MAX_FRAMES = 10_000
"""And no more of them than this: empty frames cost time without a pixel."""
_HEAD_BYTES = 1024

# Pillow's format → media type and extension.
_FORMATS = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "MPO": ("image/jpeg", "jpg"),
    "WEBP": ("image/webp", "webp"),
    "GIF": ("image/gif", "gif"),
    "BMP": ("image/bmp", "bmp"),
    "TIFF": ("image/tiff", "tif"),
    "AVIF": ("image/avif", "avif"),
}

# What Pillow's decoders raise for broken files, beside OSError.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What an image turned out to be."""

    media_type: str
    extension: str
    """Without a dot."""
    width: int
    """Pixels."""
    height: int
    flaw: str | None = None
    """What is wrong with it beside its pixels."""


class ImageBroken(TransferError):
    """The image breaks off, or breaks; another fetch may give it whole."""


class ImageTooLarge(OutputRefused):
    """The image has more pixels than are decoded here."""

    def __init__(self, message: str, size: tuple[int | None, int | None] = (None, None)) -> None:
        """Keep its width and height, where they are known."""
        self.width, self.height = size
        super().__init__(message)


def verify_image(source: BinaryIO, *, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Decode every pixel of an image, and say what it is by its content alone.

    Of an animation, frames are decoded up to 8 × `max_pixels` pixels in all, or 10,000 of them.

    Raises: ImageBroken: broken or cut, fetch it again. ImageTooLarge. OutputRefused: not an image
    (SVG and HTML never are); another fetch gives the same.
    """
    known = _begins_like_an_image(source)
    with _decoding(known):
        pixels, flaw = _pixels_of(source)
        with _opened(pixels) as image:
            width, height = image.size
            image_format = str(image.format)
            _check_size(image, max_pixels)
            _decode_frames(image, max_pixels)
    media_type, extension = _FORMATS[image_format]
    return ImageFacts(
        media_type=media_type, extension=extension, width=width, height=height, flaw=flaw
    )


def _begins_like_an_image(source: BinaryIO) -> bool:
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    if not head:
        raise ImageBroken("The output is empty.")
    if looks_like_markup(head):
        raise OutputRefused(
            f"The output is HTML, SVG, XML or JSON, not an image; it begins with {head[:60]!r}."
        )
    return begins_like_an_image(head)


@contextmanager
def _decoding(known: bool) -> Iterator[None]:  # noqa: FBT001 - of one thing, used twice
    """Turn what Pillow says about a file into our errors; `known`: it begins like an image."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        if known:
            raise ImageBroken("The image breaks off, or breaks, within its header.") from None
        raise OutputRefused("The output is of no image, video or audio type known here.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"The image is too large to decode: {error}") from None
    except _BROKEN as error:
        raise ImageBroken(f"The image does not decode: {error}") from error


def _pixels_of(source: BinaryIO) -> tuple[BinaryIO, str | None]:
    """Return what a decoder has to read, and what is wrong with the rest."""
    source.seek(0, io.SEEK_SET)
    if source.read(len(SIGNATURE)) != SIGNATURE:
        return source, None
    # The decoder stops at the last row, and would not see a file cut after it.
    return checked_png(source)


def _opened(source: BinaryIO) -> Image:
    from PIL import Image

    Image.init()
    source.seek(0, io.SEEK_SET)
    return Image.open(source, formats=[name for name in _FORMATS if name in Image.OPEN])


def _check_size(image: Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"The image has {width} × {height} pixels; at most {max_pixels} are decoded here.",
            (width, height),
        )


def _decode_frames(image: Image, max_pixels: int) -> None:
    # A JPEG's further frames (MPO) are other pictures: previews and depth maps.
    most = 1 if image.format == "MPO" else _MAX_FRAMES
    left = max_pixels * _ANIMATION_FACTOR
    for frame in range(most):
        if not _shows(image, frame):
            return
        # Each frame of a TIFF has a size of its own.
        _check_size(image, max_pixels)
        image.load()
        left -= image.width * image.height
        if left <= 0:
            return


def _shows(image: Image, frame: int) -> bool:
    """Go to a frame; False: the one before was the last. Counting them first takes for ever."""
    try:
        image.seek(frame)
    except EOFError:
        return False
    return True
