"""Tells types by the first bytes of a file: what is stored undecoded, what never is an image."""

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
_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def recognize_media(head: bytes) -> tuple[str, str] | None:
    """Give media type and extension of video, audio and 3D files; None for anything else."""
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
    """Tell whether a file begins like HTML, SVG, XML or JSON: never an image."""
    return head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith((b"<", b"{", b"["))


def begins_like_an_image(head: bytes) -> bool:
    """Tell whether a file begins, as far as it goes, like a type that is decoded."""
    return head[8:12] in _DECODED_BRANDS or any(
        head.startswith(start) or start.startswith(head) for start in _IMAGE_STARTS
    )
