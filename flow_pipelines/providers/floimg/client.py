"""FloImg's documented calls, as plain methods."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import ApiRequest, Download, Purpose, Resend
from flow_pipelines.providers.floimg.listings import Listing, ListingClient, read_wrapped
from flow_pipelines.providers.floimg.records import (
    Deletion,
    Execution,
    Project,
    SavedWorkflow,
    StoredImage,
    WorkflowSummary,
)

LONGEST_PAGE = 100
"""Entries of a page at FloImg, at most."""


class FloImgClient(ListingClient):
    """FloImg's documented calls. Opens no connection itself; safe to share between threads."""

    def execute_workflow(
        self,
        workflow_id: str,
        parameters: Mapping[str, Any],
        *,
        wait_seconds: float | None = None,
    ) -> Execution:
        """Execute a saved workflow; return the execution. Billed, and never sent a second time.

        By itself asynchronous: the answer comes at once, and `get_execution` tells the rest. With
        `wait_seconds` FloImg answers only when the workflow has ended; if that takes longer, or
        the connection breaks, the only name of what was bought is lost with the answer. So that
        has to be longer than the longest workflow, and is for a person at a prompt.

        Takes no turn under the rate limit: `FloImgProvider.take_turn` does.

        Raises: SubmitOutcomeUnknown, when perhaps it runs, or ran and ended badly (the code
        `workflow_failed`, HTTP 500); the other ProviderErrors: nothing was bought.
        """
        request = self.execute_workflow_request(workflow_id, parameters, wait_seconds=wait_seconds)
        return self.send(request).read(Execution)

    def execute_workflow_request(
        self,
        workflow_id: str,
        parameters: Mapping[str, Any],
        *,
        wait_seconds: float | None = None,
    ) -> ApiRequest:
        """Return the call that `execute_workflow` sends."""
        waits = wait_seconds is not None
        body = {"workflowId": workflow_id, "parameters": dict(parameters), "async": not waits}
        declared = {"resend": Resend.NEVER, "json": body, "read_seconds": wait_seconds}
        return self._request("execute_workflow", "POST", "/workflows/execute", **declared)

    def get_execution(self, execution_id: str) -> Execution:
        """Ask for an execution. Safe to repeat; costs nothing.

        Raises: RequestRejected with the code `workflow_failed`, where FloImg tells a failed
        execution by an error; it may also give one with the status `failed`.
        """
        path = f"/workflows/executions/{read.path_part(execution_id)}"
        reply = self._call("get_execution", "GET", path, provider_run_id=execution_id)
        execution = reply.read(Execution)
        if execution.execution_id != execution_id:
            raise reply.unexpected("the answer is about another execution")
        return execution

    def open_output(self, url: str, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output, or a stored image, by its link. The key does not go along.

        Raises: ProviderError, OutputRefused, TransferError.
        """
        return self._open_link("open_output", url, max_bytes)

    def list_workflows(
        self, *, project_id: str | None = None, limit: int = LONGEST_PAGE, offset: int = 0
    ) -> Listing[WorkflowSummary]:
        """List saved workflows, a page of `limit` (at most 100) a request. Costs nothing.

        Asks nothing before somebody loops over it; see `Listing`.
        """
        asked = {"limit": limit, "offset": offset, "projectId": project_id}
        return self._listing(WorkflowSummary, "list_workflows", "/workflows", "workflows", asked)

    def get_workflow(self, workflow_id: str) -> SavedWorkflow:
        """Ask for a saved workflow and its parameters. Safe to repeat; costs nothing."""
        path = f"/workflows/{read.path_part(workflow_id)}"
        reply = self._call("get_workflow", "GET", path)
        workflow = reply.read(SavedWorkflow)
        if workflow.id != workflow_id:
            raise reply.unexpected("the answer is about another workflow")
        return workflow

    def list_projects(self) -> Listing[Project]:
        """List the projects. Costs nothing. Whether they come in pages is not documented."""
        return self._listing(Project, "list_projects", "/projects", "projects", {})

    def create_project(self, name: str, description: str | None = None) -> Project:
        """Create a project. Not billed, but sent once: a second copy would be a second project.

        Raises: SubmitOutcomeUnknown, when it is perhaps there: look for it in `list_projects`.
        """
        body = {"name": name} | ({} if description is None else {"description": description})
        self._transport.take_turn(Purpose.SUBMIT)
        declared = {"json": body, "resend": Resend.NEVER}
        reply = self._call("create_project", "POST", "/projects", **declared)
        return read_wrapped(Project, reply, "project")

    def upload_image(
        self,
        content: bytes,
        file_name: str,
        media_type: str,
        *,
        project_id: str | None = None,
        name: str | None = None,
    ) -> StoredImage:
        """Store an image; return it with its id and its link. Not billed; size limit undocumented.

        Repeated within the retry budget when an answer is lost: a second copy is one more image
        in the account's own storage, under another id, which nothing refers to.
        """
        fields: Mapping[str, str | None] = {"projectId": project_id, "name": name}
        reply = self._call(
            "upload_image",
            "POST",
            "/storage/upload",
            form={field: value for field, value in fields.items() if value is not None},
            files={"file": (file_name, content, media_type)},
        )
        return reply.read(StoredImage)

    def list_images(
        self, *, project_id: str | None = None, limit: int = LONGEST_PAGE, offset: int = 0
    ) -> Listing[StoredImage]:
        """List stored images, a page of `limit` (at most 100) a request. Costs nothing.

        Asks nothing before somebody loops over it; see `Listing`.
        """
        asked = {"limit": limit, "offset": offset, "projectId": project_id}
        return self._listing(StoredImage, "list_images", "/storage/images", "images", asked)

    def get_image(self, image_id: str) -> StoredImage:
        """Ask for a stored image. Safe to repeat; costs nothing."""
        path = f"/storage/images/{read.path_part(image_id)}"
        reply = self._call("get_image", "GET", path)
        image = read_wrapped(StoredImage, reply, "image")
        if image.id != image_id:
            raise reply.unexpected("the answer is about another image")
        return image

    def delete_image(self, image_id: str) -> Deletion:
        """Delete a stored image for good. Safe to repeat.

        Raises: NotFound, for an image that is gone already: also where a first answer was lost.
        """
        path = f"/storage/images/{read.path_part(image_id)}"
        return self._call("delete_image", "DELETE", path).read(Deletion)
