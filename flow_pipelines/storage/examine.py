"""Finds out how far an output can be verified. Whatever it is, its bytes are kept as they are."""

from __future__ import annotations

import io
from codecs import getincrementaldecoder
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

from flow_pipelines.model.errors import OutputRefused
from flow_pipelines.model.output import Verified
from flow_pipelines.storage.images import (
    MAX_PIXELS,
    ImageBroken,
    ImageTooLarge,
    verify_image,
)
from flow_pipelines.storage.media import (
    begins_like_an_image,
    image_type,
    looks_like_html,
    looks_like_text,
    reaches_its_end,
    recognize_media,
)
from flow_pipelines.storage.png import SIGNATURE, checked_png
from flow_pipelines.storage.promises import NO_PROMISE, Promise

OPAQUE = "application/octet-stream"
_HEAD_BYTES = 1024
_TAIL_BYTES = 64
_BLOCK_BYTES = 1024 * 1024

Doubt = Literal["a day", "twice"]
"""What it takes to believe that this is what the provider has: that nothing better came for a day,
or that a second transfer brought the same bytes."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What an output turned out to be."""

    verified: Verified
    why: str | None = None
    """Why it was not looked into further, or what is wrong with it."""
    media_type: str = OPAQUE
    extension: str
    """Without a dot; fit for a key."""
    width: int | None = None
    """Pixels; None for what is no image, or not decoded."""
    height: int | None = None
    doubt: Doubt | None = None

    @property
    def is_attachment(self) -> bool:
        """Return whether a browser must save it and not show it: it may be a page with a script."""
        return self.media_type == OPAQUE


def examine(
    source: BinaryIO, promise: Promise = NO_PROMISE, *, max_pixels: int = MAX_PIXELS
) -> FileFacts:
    """Return the facts of a whole output. Never raises for its content; decoding is bounded."""
    size_bytes = source.seek(0, io.SEEK_END)
    source.seek(0)
    if promise.kind == "text":
        return _text(source)
    head = source.read(_HEAD_BYTES)
    short = _too_short(promise, head, size_bytes)
    if short is not None:
        return short
    if looks_like_text(head):
        return _written(head, promise)
    if begins_like_an_image(head) and recognize_media(head) is None:
        return _picture(source, promise, head, max_pixels)
    return _recognized(recognize_media(head), promise, "known by its first bytes")


def _too_short(promise: Promise, head: bytes, size_bytes: int) -> FileFacts | None:
    announced = promise.size_bytes
    if announced is not None and size_bytes < announced:
        why = f"it has {size_bytes} bytes, and the provider says {announced}"
        return _damaged(promise, head, why, "a day")
    if head:
        return None
    # Who says that it has no bytes is believed; who only sends none may have been cut off.
    return _damaged(promise, head, "it is empty", None if announced == 0 else "twice")


def _text(source: BinaryIO) -> FileFacts:
    decoder, is_markup = getincrementaldecoder("utf-8")(), False
    try:
        for number, block in enumerate(iter(lambda: source.read(_BLOCK_BYTES), b"")):
            decoder.decode(block)
            is_markup = is_markup or (number == 0 and block.lstrip()[:1] == b"<")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return FileFacts(verified="as_is", why="the text is not UTF-8", extension="txt")
    facts = FileFacts(verified="decoded", media_type="text/plain; charset=utf-8", extension="txt")
    return replace(facts, media_type=OPAQUE) if is_markup else facts


def _written(head: bytes, promise: Promise) -> FileFacts:
    """Judge text and markup: never shown, and never a picture."""
    if promise.is_media:
        why = f"text came in the place of a picture, video or sound; it begins with {head[:60]!r}"
        return _damaged(promise, head, why, "a day")
    if looks_like_html(head) and not promise.may_be_a_page:
        why = f"a web page came in the place of a .{promise.extension} file"
        return _damaged(promise, head, why, "a day")
    return FileFacts(
        verified="as_is",
        why="text or markup, which is not looked into and never shown",
        extension=promise.extension,
    )


def _picture(source: BinaryIO, promise: Promise, head: bytes, max_pixels: int) -> FileFacts:
    known = image_type(head)
    try:
        image = verify_image(source, max_pixels=max_pixels)
    except ImageTooLarge as error:
        facts = _recognized(known, promise, str(error))
        return replace(facts, width=error.width, height=error.height)
    except ImageBroken as error:
        if known is None or _is_whole(source, head):
            return _recognized(known, promise, str(error))
        return _damaged(promise, head, str(error), "twice")
    except OutputRefused as error:
        return _recognized(None, promise, str(error))
    return FileFacts(
        verified="decoded",
        why=image.flaw,
        media_type=image.media_type,
        extension=image.extension,
        width=image.width,
        height=image.height,
    )


def _recognized(known: tuple[str, str] | None, promise: Promise, why: str) -> FileFacts:
    if known is not None:
        return FileFacts(verified="recognized", why=why, media_type=known[0], extension=known[1])
    if promise.is_decodable:
        return _damaged(promise, b"", "it is no picture of any type that is known here", "twice")
    said = f"; the provider says {promise.types[0]}" if promise.types else ""
    return FileFacts(
        verified="as_is",
        why=f"no picture, video or sound that is known here{said}"[:500],
        extension=promise.extension,
        # A picture by its name that is none by its bytes is asked for once more.
        doubt="twice" if promise.is_media else None,
    )


def _damaged(promise: Promise, head: bytes, why: str, doubt: Doubt | None) -> FileFacts:
    known = image_type(head)
    return FileFacts(
        verified="damaged",
        why=why,
        extension=f"damaged.{known[1] if known else promise.extension}",
        doubt=doubt,
    )


def _is_whole(source: BinaryIO, head: bytes) -> bool:
    """Return whether an image that does not decode has all of itself, by its own format."""
    if head.startswith(SIGNATURE):
        try:
            checked_png(source)
        except (OSError, SyntaxError):
            return False
        except ValueError:
            pass  # more chunks than are looked through
        return True
    size_bytes = source.seek(0, io.SEEK_END)
    source.seek(max(size_bytes - _TAIL_BYTES, 0))
    return reaches_its_end(head, source.read(_TAIL_BYTES), size_bytes)
