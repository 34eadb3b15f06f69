"""What FLORA takes as an asset, and from where it takes media; source: @flora-ai/flora 0.11.0."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flow_pipelines.model.errors import RequestRejected
from flow_pipelines.providers.flora.calls import NAME

OUTPUT_HOSTS = (".flora.ai", ".googleapis.com", ".amazonaws.com", ".imagekit.io")
"""FLORA's media, Google's and Amazon's storage, ImageKit: of outputs, and of media inputs."""
MEDIA_TYPES = frozenset(
    {
        *(f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif", "avif", "heic", "heif")),
        *(f"video/{kind}" for kind in ("mp4", "webm", "quicktime")),
        *(f"audio/{kind}" for kind in ("mpeg", "wav", "ogg")),
        "application/pdf",
    }
)
MAX_DIRECT_BYTES = 4_000_000
"""FLORA says 4 MB and not which; a file between the two ways of counting goes by a link."""
SIGNED_URL = "signed-url"
"""The `source` that reserves a link for an upload."""


@dataclass(frozen=True, kw_only=True)
class AssetFile:
    """A file on its way to FLORA."""

    content: bytes = field(repr=False)
    file_name: str
    media_type: str

    @property
    def fits_directly(self) -> bool:
        """Return whether FLORA takes it in one request."""
        return len(self.content) <= MAX_DIRECT_BYTES


def check_file(file: AssetFile, *, direct: bool) -> None:
    """Raise RequestRejected for a file that FLORA would refuse; nothing was sent."""
    problem = None
    if file.media_type not in MEDIA_TYPES:
        problem = f"is {file.media_type!r}; FLORA takes {', '.join(sorted(MEDIA_TYPES))}"
    elif not file.content:
        problem = "is empty"
    elif direct and not file.fits_directly:
        problem = (
            f"has {len(file.content)} bytes; in one request FLORA takes {MAX_DIRECT_BYTES}, more "
            "only by an upload link: `upload_asset` chooses"
        )
    if problem is not None:
        raise _rejected(f"{file.file_name!r} {problem}")


def check_source(source: str) -> None:
    """Raise RequestRejected for a `source` that FLORA would fetch nothing from."""
    try:
        parts = urlsplit(source)
        fine = parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        fine = False
    if source != SIGNED_URL and not fine:
        raise _rejected("FLORA fetches assets from https addresses only")


def _rejected(problem: str) -> RequestRejected:
    return RequestRejected(problem, provider=NAME, operation="create_asset")
