"""FLORA's calls about assets: the files that its runs take. None of them is billed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import RequestRejected
from flow_pipelines.provider import read_no_error
from flow_pipelines.providers.flora.calls import API, ASSETS_PAGE, NAME, STORE_VERDICTS, given
from flow_pipelines.providers.flora.paging import PagingClient
from flow_pipelines.providers.flora.records import Asset, Upload

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


class AssetCalls(PagingClient):
    """What `FloraClient` offers about assets."""

    def create_asset(
        self, source: AssetFile | str, workspace_id: str, project_id: str | None = None
    ) -> Asset:
        """Create an asset: of a file, of an https address, or, for `SIGNED_URL`, a reservation.

        A file is sent whole and has 4 MB at most. What is at an address FLORA fetches by itself,
        up to 50 MB. A reservation gives an `upload`, for `upload_file`, and then `complete_asset`.

        Repeated after a lost answer, for a second asset of the same content does no harm.
        Raises: RequestRejected, also before anything is sent; another ProviderError.
        """
        places = given(workspace_id=workspace_id, project_id=project_id)
        if isinstance(source, str):
            check_source(source)
            return self._asset("create_asset", "", json={"source": source, **places})
        check_file(source, direct=True)
        files = {"file": (source.file_name, source.content, source.media_type)}
        return self._asset("create_asset", "", form=places, files=files)

    def reserve_asset(self, file: AssetFile, workspace_id: str) -> Asset:
        """Create an asset that waits for `file`: `create_asset` with its name and type."""
        check_file(file, direct=False)
        about = {"content_type": file.media_type, "file_name": file.file_name}
        body = {"source": SIGNED_URL, "workspace_id": workspace_id, **about}
        return self._asset("create_asset", "", json=body)

    def upload_file(self, upload: Upload, file: AssetFile) -> None:
        """Post a file to where a reservation says, without the key. Safe to repeat.

        The same bytes come to the same place, however often. Raises: RequestRejected, for a link
        that has run out or a file that it is not for; another ProviderError.
        """
        check_file(file, direct=False)
        self.send(
            API.request(
                "upload_file",
                "POST",
                upload.url or "",
                form=upload.form_fields,
                files={
                    upload.file_field or "file": (file.file_name, file.content, file.media_type)
                },
                authenticated=False,
                paced=False,
                read_error=read_no_error,
                verdicts=STORE_VERDICTS,
                source=ASSETS_PAGE,
            )
        )

    def complete_asset(self, asset_id: str) -> Asset:
        """Confirm that a reservation's file has been posted.

        Raises: RequestRejected with code `conflict`, for an asset that waits for none.
        """
        return self._asset("complete_asset", f"/{read.path_part(asset_id)}/complete")

    def retry_asset(self, asset_id: str) -> Asset:
        """Get a fresh `upload` for an asset that failed or whose link has run out.

        Raises: RequestRejected with code `conflict`, for any other asset.
        """
        return self._asset("retry_asset", f"/{read.path_part(asset_id)}/retry")

    def retrieve_asset(self, asset_id: str) -> Asset:
        """Ask for an asset. Raises: NotFound, also for one that the key may not see."""
        path = f"/assets/{read.path_part(asset_id)}"
        return self._call("retrieve_asset", "GET", path, source=ASSETS_PAGE).read(Asset)

    def list_assets(
        self,
        workspace_id: str | None = None,
        project_id: str | None = None,
        query: str | None = None,
    ) -> Iterator[Asset]:
        """Go through assets, a page at a time; those without an id are left out."""
        params = given(workspace_id=workspace_id, project_id=project_id, query=query)
        return self._every(Asset, "list_assets", "/assets", params, needs=("asset_id",))

    def upload_asset(
        self, content: bytes, file_name: str, media_type: str, workspace_id: str
    ) -> Asset:
        """Upload a file in whichever way takes its size; return the asset, which may not be ready.

        Sends one request up to 4 MB, else three to five. Safe to repeat.
        Raises: RequestRejected, also before anything is sent; another ProviderError.
        """
        file = AssetFile(content=content, file_name=file_name, media_type=media_type)
        if file.fits_directly:
            return self.create_asset(file, workspace_id)
        asset = self.reserve_asset(file, workspace_id)
        try:
            self.upload_file(asset.upload or Upload(), file)
        except RequestRejected:
            fresh = self.retry_asset(asset.asset_id)  # a link that ran out is renewed, once
            self.upload_file(fresh.upload or Upload(), file)
        return self._completed(asset.asset_id)

    def _completed(self, asset_id: str) -> Asset:
        try:
            return self.complete_asset(asset_id)
        except RequestRejected as refused:
            if refused.code != "conflict":
                raise
            # A repeated request, perhaps: the first one, whose answer was lost, completed it.
            return self.retrieve_asset(asset_id)

    def _asset(self, operation: str, path: str, **declared: Any) -> Asset:
        """Send a POST about an asset; one that waits for its file has to say where to post it."""
        reply = self._call(operation, "POST", f"/assets{path}", source=ASSETS_PAGE, **declared)
        asset = reply.read(Asset)
        reserved = (
            operation == "retry_asset" or (declared.get("json") or {}).get("source") == SIGNED_URL
        )
        upload = asset.upload or Upload()
        if reserved and (not upload.url or (upload.method or "POST") != "POST"):
            raise reply.unexpected("the answer says not where to post the file")
        return asset
