"""Tells types by a file's first and last bytes: what is no image, what is text, what is whole."""

from __future__ import annotations

# ISO base media files name their brand at byte 8. AVIF is missing: it is decoded like any image.
_BRANDS = {
    b"qt  ": ("video/quicktime", "mov"),
    b"M4A ": ("audio/mp4", "m4a"),
    b"heic": ("image/heic", "heic"),
    b"heix": ("image/heic", "heic"),
    b"mif1": ("image/heif", "heif"),
}
_DECODED_BRANDS = (b"avif", b"avis")
_STARTS = (
    (b"OggS", ("audio/ogg", "ogg")),
    (b"fLaC", ("audio/flac", "flac")),
    (b"ID3", ("audio/mpeg", "mp3")),
    (b"glTF", ("model/gltf-binary", "glb")),
)
_MPEG_FRAMES = (b"\xff\xf2", b"\xff\xf3", b"\xff\xfa", b"\xff\xfb")
_SURE_STARTS = (
    (b"\x89PNG\r\n\x1a\n", ("image/png", "png")),
    (b"\xff\xd8\xff", ("image/jpeg", "jpg")),
    (b"GIF87a", ("image/gif", "gif")),
    (b"GIF89a", ("image/gif", "gif")),
)
_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_RADIANCE = b"#?"
"""Of HDR pictures, whose header is text."""
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")
_LONGEST_CHARACTER = 4
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def recognize_media(head: bytes) -> tuple[str, str] | None:
    """Return media type and extension of video, audio and 3D files; None for anything else."""
    if head[4:8] == b"ftyp" and head[8:12] not in _DECODED_BRANDS:
        return _BRANDS.get(head[8:12], ("video/mp4", "mp4"))
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        webm = b"webm" in head[:64]
        return ("video/webm", "webm") if webm else ("video/x-matroska", "mkv")
    if head.startswith(b"RIFF"):
        riff = {b"WAVE": ("audio/wav", "wav"), b"AVI ": ("video/x-msvideo", "avi")}
        return riff.get(head[8:12])
    for start, media in _STARTS:
        if head.startswith(start):
            return media
    return ("audio/mpeg", "mp3") if head[:2] in _MPEG_FRAMES else None


def looks_like_markup(head: bytes) -> bool:
    """Return whether a file begins like HTML, SVG, XML or JSON: never an image."""
    return head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith((b"<", b"{", b"["))


def begins_like_an_image(head: bytes) -> bool:
    """Return whether a file begins, as far as it goes, like a type that is decoded."""
    return head[8:12] in _DECODED_BRANDS or any(
        head.startswith(start) or start.startswith(head) for start in _IMAGE_STARTS
    )


def image_type(head: bytes) -> tuple[str, str] | None:
    """Return type and extension of what surely is an image by its start, whole or not."""
    if head[:4] == b"RIFF" and head[8:15] == b"WEBPVP8":
        return "image/webp", "webp"
    if head[4:8] == b"ftyp" and head[8:12] in _DECODED_BRANDS:
        return "image/avif", "avif"
    return next((media for start, media in _SURE_STARTS if head.startswith(start)), None)


def reaches_its_end(head: bytes, tail: bytes, size_bytes: int) -> bool:
    """Return whether a JPEG, GIF or WebP has the end that its own format gives it."""
    media = image_type(head)
    if media is None:
        return False
    if media[1] == "webp":
        return size_bytes >= int.from_bytes(head[4:8], "little") + 8
    ends = {"jpg": b"\xff\xd9", "gif": b"\x3b"}.get(media[1])
    return ends is not None and tail.rstrip(b"\0").endswith(ends)


def looks_like_text(head: bytes) -> bool:
    """Return whether a file begins with text, markup included."""
    if head.startswith(_RADIANCE):
        return False
    if head.startswith(_UTF_16) or head.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"<":
        return True
    for cut in range(_LONGEST_CHARACTER):
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return bool(head) and not _CONTROLS.intersection(head)
    return False


def looks_like_html(head: bytes) -> bool:
    """Return whether a file begins like a web page."""
    return head.removeprefix(_BYTE_ORDER_MARK).lstrip().lower().startswith(_HTML)
