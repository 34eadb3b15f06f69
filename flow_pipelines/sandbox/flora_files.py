"""What FLORA's stand-in keeps of uploaded files, and how it tells what they are."""

from __future__ import annotations

import secrets
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from flow_pipelines.sandbox.pictures import Picture

MEDIA_TYPES = frozenset(
    [
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/gif",
        "image/avif",
        "image/heic",
        "image/heif",
        "video/mp4",
        "video/webm",
        "video/quicktime",
        "audio/mpeg",
        "audio/wav",
        "audio/ogg",
        "application/pdf",
    ]
)
MAX_DIRECT_BYTES = 4_000_000
MAX_PIXELS = 150_000_000
RESERVED_SECONDS = 900.0
_MAX_ASSETS = 500
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


@dataclass(kw_only=True)
class Asset:
    """One asset."""

    id: str
    account: str
    via: str
    created_at: float
    """Unix seconds, like every time here."""
    name: str | None = None
    project_id: str | None = None
    declared_type: str | None = None
    media_type: str | None = None
    status: str = "pending_upload"
    failure: str | None = None
    content: bytes = b""
    picture: Picture | None = None
    """In the place of content, for what would have been fetched from elsewhere."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    expires_at: float = 0.0

    def reserve(self, now: float) -> None:
        """Wait for a file, under a new token, for a while."""
        self.status, self.failure, self.content = "pending_upload", None, b""
        self.token, self.expires_at = secrets.token_urlsafe(24), now + RESERVED_SECONDS

    def settle(self) -> None:
        """Become ready or failed, by the content that came."""
        self.failure = problem_of(self.content, self.declared_type or self.media_type or "")
        self.status = "ready" if self.failure is None else "failed"


class Shelf:
    """Keeps assets, the latest of them. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget every asset."""
        with self._lock:
            self._assets: OrderedDict[str, Asset] = OrderedDict()

    def keep(self, asset: Asset) -> None:
        """Keep an asset; the oldest of many is forgotten."""
        with self._lock:
            self._assets[asset.id] = asset
            while len(self._assets) > _MAX_ASSETS:
                self._assets.popitem(last=False)

    def find(self, asset_id: str) -> Asset | None:
        """Return an asset, whoever's it is."""
        with self._lock:
            return self._assets.get(asset_id)

    def of(self, account: str) -> list[Asset]:
        """Return an account's assets, newest first."""
        with self._lock:
            every = list(reversed(self._assets.values()))
        return [asset for asset in every if asset.account == account]


def problem_of(content: bytes, media_type: str) -> str | None:
    """Tell why this is no `media_type` that is kept; None: it is one, as far as can be seen."""
    if media_type not in MEDIA_TYPES:
        return f"The type {media_type or '(none)'} is not allowed."
    if not content:
        return "The file is empty."
    found = next((kind for start, kind in _BEGINNINGS if content.startswith(start)), None)
    declared = {kind for _, kind in _BEGINNINGS}
    if found != media_type and (found is not None or media_type in declared):
        return f"The file is not {media_type}."
    if found == "image/png" and _png_pixels(content) > MAX_PIXELS:
        return "The image has more than 150 megapixels."
    return None


def _png_pixels(content: bytes) -> int:
    """Read width and height (PNG specification, §11.2.2)."""
    if len(content) < 24:  # noqa: PLR2004 - signature, chunk head, width, height
        return 0
    width, height = struct.unpack(">II", content[16:24])
    return int(width) * int(height)
