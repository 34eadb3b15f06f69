"""Floyo's documented calls, as plain methods; sources: docs.floyo.ai/workflow-runs and /files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import RequestRejected
from flow_pipelines.provider import (
    MAX_DOWNLOAD_BYTES,
    ApiClient,
    ApiRequest,
    Download,
    Resend,
    Transport,
    Verdict,
)
from flow_pipelines.providers.floyo.calls import (
    API,
    CONFLICT,
    DEMO,
    FILES_PAGE,
    VERDICTS,
    expansion,
)
from flow_pipelines.providers.floyo.records import (
    Cancellation,
    CreatedRun,
    File,
    ListedRun,
    Run,
    UploadedFile,
)

OnConflict = Literal["fail", "rename"]
_LINK_VERDICTS: Mapping[int | str, Verdict] = {
    **VERDICTS,
    401: Verdict.NOT_FOUND,
    403: Verdict.NOT_FOUND,
    410: Verdict.NOT_FOUND,
}
"""No key goes with a presigned URL, so none can be at fault: the link has run out."""


class FileNameTaken(RequestRejected):
    """A file of this name is there already; nothing was stored.

    It may be the very one that was to be uploaded: where an answer is lost on its way, the upload
    is sent again, and finds its first copy.
    """

    def __init__(self, refused: RequestRejected) -> None:
        """Take what Floyo said."""
        super().__init__(
            refused.vendor_message,
            provider=refused.provider,
            operation=refused.operation,
            status=refused.status,
            code=refused.code,
            fields=refused.fields,
            request_id=refused.request_id,
        )
        self.suggestion: str | None = _suggestion(refused)
        """A free name like it, e.g. `name (1).png`, where Floyo gives one."""


def _suggestion(refused: RequestRejected) -> str | None:
    suggestions = (read.text(field.get("suggestion")) for field in refused.fields)
    return next((text for text in suggestions if text), None)


class FloyoClient(ApiClient):
    """Floyo's documented calls. Opens no connection itself; safe to share between threads."""

    api = API

    def __init__(self, transport: Transport, base_url: str, cdn_url: str) -> None:
        """`base_url` is the API's address, `cdn_url` that of the files."""
        super().__init__(transport, base_url)
        self._cdn_url = cdn_url.rstrip("/")

    def create_run(self, workflow: Mapping[str, Any], name: str | None = None) -> CreatedRun:
        """Run a graph in API format. Billed; sent once.

        Floyo documents no idempotency key, and answers 500 also where a wallet or a team's
        rights refuse the run ("Failed to create run"): no 5xx proves that nothing was bought.

        Raises: ProviderError; SubmitOutcomeUnknown, when a run may have been bought.
        """
        return self.send(self.create_run_request(workflow, name)).read(CreatedRun)

    def create_run_request(self, workflow: Mapping[str, Any], name: str | None) -> ApiRequest:
        """Return the call that `create_run` sends."""
        body: dict[str, Any] = {"workflow": workflow}
        if name is not None:
            body["name"] = name
        return self._request("create_run", "POST", "/runs", resend=Resend.NEVER, json=body)

    def retrieve_run(
        self,
        run_id: str,
        expand: bool = False,  # noqa: FBT001, FBT002 - Floyo's own parameter
        presigned_url_expires_in: int | None = None,
    ) -> Run:
        """Ask for a run. Safe to repeat; costs nothing.

        `expand` asks for presigned URLs of the outputs, which live
        `presigned_url_expires_in` seconds (30 … 604800, Floyo's default 300).

        Raises: NotFound; ConfigurationError, for an expiry that Floyo refuses, as it does every
        one without `expand`; ProviderError.
        """
        params = expansion("outputs.presigned_url", expand, presigned_url_expires_in)
        path = f"/runs/{read.path_part(run_id)}"
        reply = self._call("retrieve_run", "GET", path, params=params, provider_run_id=run_id)
        run = reply.read(Run)
        if run.id != run_id:
            raise reply.unexpected("the answer is another run")
        return run

    def cancel_run(self, run_id: str) -> Cancellation:
        """Cancel a queued or processing run.

        Safe to repeat: a run that ended before stays as it ended (409, with that status).
        Raises: NotFound, ProviderError.
        """
        path = f"/runs/{read.path_part(run_id)}/cancel"
        reply = self._call(
            "cancel_run", "POST", path, answers=frozenset({CONFLICT}), provider_run_id=run_id
        )
        already_ended = reply.answer.status == CONFLICT
        return reply.read(Cancellation, {**reply.document(), "already_ended": already_ended})

    def search_runs(self, name: str) -> tuple[ListedRun, ...]:
        """List runs whose name fits `name`. Seen in clients only: may be gone tomorrow."""
        search = {"search": name, "limit": "10"}
        reply = self._call(
            "search_runs", "GET", "/runs", params=search, source="seen in clients only"
        )
        runs = (item for item in reply.objects("runs") if read.identifier(item.get("id")))
        return tuple(reply.read(ListedRun, run) for run in runs)

    def retrieve_file(
        self,
        file_id: str,
        expand: bool = False,  # noqa: FBT001, FBT002 - Floyo's own parameter
        presigned_url_expires_in: int | None = None,
    ) -> File:
        """Ask for a file's facts. Safe to repeat; costs nothing.

        `expand` asks for a presigned URL, which lives `presigned_url_expires_in` seconds
        (30 … 604800, Floyo's default 300).

        Raises: NotFound; ConfigurationError, for an expiry that Floyo refuses; ProviderError.
        """
        params = expansion("presigned_url", expand, presigned_url_expires_in)
        path = f"/files/{read.path_part(file_id)}"
        reply = self._call("retrieve_file", "GET", path, params=params, source=FILES_PAGE)
        file = reply.read(File)
        if file.id != file_id:
            raise reply.unexpected("the answer is not this file")
        return file

    def download_file(
        self, file_id: str, *, max_bytes: int = MAX_DOWNLOAD_BYTES
    ) -> AbstractContextManager[Download]:
        """Stream a file by its id, with the key: works for as long as Floyo keeps the file.

        The download's `file_name` is the one of its `Content-Disposition`.
        Raises: ProviderError, OutputRefused, TransferError.
        """
        url = f"{self._cdn_url}/{read.path_part(file_id)}/download"
        return self._open("download_file", url, max_bytes, source=DEMO)

    def open_presigned_url(
        self, presigned_url: str, *, max_bytes: int = MAX_DOWNLOAD_BYTES
    ) -> AbstractContextManager[Download]:
        """Stream a file by a link that `retrieve_file` or `retrieve_run` gave; no key is sent.

        Raises: NotFound, when the link has run out; OutputRefused, TransferError, ProviderError.
        """
        declared = {"source": FILES_PAGE, "verdicts": _LINK_VERDICTS}
        return self._open_link("open_presigned_url", presigned_url, max_bytes, **declared)

    def upload_file(
        self,
        content: bytes,
        file_name: str,
        path: str | None = None,
        filename: str | None = None,
        on_conflict: OnConflict = "fail",
        *,
        media_type: str = "application/octet-stream",
    ) -> UploadedFile:
        """Upload a file that graphs can name by the `input_path` it gets. Not billed.

        Args:
            content: The whole file.
            file_name: Its name; `filename` goes before it, where given.
            path: Folder below the team's inputs; None: the root of them.
            filename: The name to keep it under.
            on_conflict: Where the name is taken: refuse, or keep it under a free one.
            media_type: Of the content.

        Raises: FileNameTaken, with a free name to use instead; ProviderError.
        """
        given = {"path": path, "filename": filename, "on_conflict": on_conflict}
        upload = API.request(
            "upload_file",
            "POST",
            f"{self._cdn_url}/upload",
            source=DEMO,
            paced=False,
            # Safe: a second copy replaces nothing and costs nothing. It is refused, or kept under
            # a name of its own.
            form={name: value for name, value in given.items() if value is not None},
            files={"file": (file_name, content, media_type)},
        )
        try:
            reply = self.send(upload)
        except RequestRejected as refused:
            # Which status a conflict has is not documented; its suggestion is.
            if refused.status != CONFLICT and _suggestion(refused) is None:
                raise
            raise FileNameTaken(refused) from refused
        stored = reply.read(UploadedFile)
        if stored.size_bytes not in (None, len(content)):
            raise reply.unexpected(f"{stored.size_bytes} bytes were kept of {len(content)}")
        return stored
