"""What names and types say of an output before anybody looked into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flow_pipelines.model.output import OutputKind

_EXTENSION = re.compile(r"\.([a-z0-9]{1,8})\Z")
_UNKNOWN = "bin"
_SEEN = frozenset({
    *("png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "apng", "bmp", "tif", "tiff", "avif"),
    *("heic", "heif", "jxl", "jp2", "exr", "hdr", "psd", "ico", "tga", "dds"),
})  # fmt: skip
_HEARD = frozenset({
    *("mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg"),
    *("mp3", "wav", "flac", "ogg", "oga", "opus", "m4a", "aac", "aiff"),
})  # fmt: skip
_PLAYED = _SEEN | _HEARD
_DECODED = frozenset({"png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif"})
_WRITTEN = frozenset({"html", "htm", "xhtml", "xml", "svg", "txt", "md", "mht"})
_TYPES = ("video/", "audio/", "image/*")
_PLAYLISTS = ("mpegurl", "midi")


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What was said of an output: by the provider, its link and the answer that brings it."""

    kind: OutputKind = "file"
    names: tuple[str, ...] = ()
    """File names, the provider's own first. Never used as a path."""
    types: tuple[str, ...] = ()
    """Media types, the provider's own first; `image/*` where it only says that it is a picture."""
    size_bytes: int | None = None
    """The provider's own word; None: it said nothing."""

    @property
    def extension(self) -> str:
        """Return what the first name ends with, fit for a key, or `bin`."""
        return next(_extensions(self.names), _UNKNOWN)

    @property
    def is_media(self) -> bool:
        """Return whether this was to be a picture, a video or a sound, and no text.

        A name that ends like something else is heard before a type: types are often guesses.
        """
        named = next(_extensions(self.names), None)
        if named is not None and named != _UNKNOWN:
            return named in _PLAYED
        return any(_is_media_type(media_type) for media_type in self.types)

    @property
    def is_decodable(self) -> bool:
        """Return whether this was to be a picture of a type that is decoded here."""
        named = next(_extensions(self.names), None)
        if named is not None and named != _UNKNOWN:
            return named in _DECODED
        return any(_subtype(media_type) in _DECODED for media_type in self.types)

    @property
    def may_be_a_page(self) -> bool:
        """Return whether HTML may be what was meant: named like it, or not named at all."""
        named = next(_extensions(self.names), None)
        return named is None or named in _WRITTEN


def _extensions(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        match = _EXTENSION.search(name.lower().rstrip())
        if match is not None:
            yield match[1]


def _is_media_type(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip().lower()
    if any(word in kind for word in _PLAYLISTS):
        return False
    return kind.startswith(_TYPES) or _subtype(kind) in _SEEN


def _subtype(media_type: str) -> str:
    kind = media_type.partition(";")[0].strip().lower()
    return kind.removeprefix("image/").removeprefix("x-")


NO_PROMISE = Promise()
