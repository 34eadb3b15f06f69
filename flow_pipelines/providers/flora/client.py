"""FLORA's documented calls as plain methods with typed results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import MAX_DOWNLOAD_BYTES, ApiRequest, Download, Purpose, Resend
from flow_pipelines.providers.flora.assets import AssetCalls
from flow_pipelines.providers.flora.calls import (
    CREATE_VERDICTS,
    IDEMPOTENCY_PAGE,
    OUTPUTS_PAGE,
    given,
)
from flow_pipelines.providers.flora.records import (
    Model,
    Project,
    Technique,
    TechniqueRun,
    Workspace,
)

ModelType = Literal["image", "video", "audio", "text"]


class FloraClient(AssetCalls):
    """FLORA's documented calls. Safe to share between threads.

    Every call but `create_technique_run` costs nothing. All may raise ProviderError, with FLORA's
    own code, message, fields and request id.
    """

    def list_workspaces(self) -> Sequence[Workspace]:
        """Return the workspaces that the key may use."""
        reply = self._call("list_workspaces", "GET", "/workspaces")
        return [reply.read(Workspace, item) for item in reply.objects("workspaces")]

    def list_projects(self, workspace_id: str, query: str | None = None) -> Iterator[Project]:
        """Go through a workspace's projects, asking for a page at a time."""
        params = given(workspace_id=workspace_id, query=query)
        return self._every(Project, "list_projects", "/projects", params)

    def create_project(self, name: str, workspace_id: str) -> Project:
        """Create a project. Sent once: a second copy would make a second project.

        Raises: SubmitOutcomeUnknown, when `list_projects` has to tell whether it was created.
        """
        self._transport.take_turn(Purpose.SUBMIT)
        body = {"name": name, "workspace_id": workspace_id}
        declared = {"json": body, "resend": Resend.NEVER}
        return self._call("create_project", "POST", "/projects", **declared).read(Project)

    def retrieve_project(self, project_id: str) -> Project:
        """Ask for a project. Raises: NotFound, also for one that the key may not see."""
        path = f"/projects/{read.path_part(project_id)}"
        return self._call("retrieve_project", "GET", path).read(Project)

    def list_models(self, type: ModelType | None = None) -> Sequence[Model]:  # noqa: A002 - FLORA's name
        """Return the models that FLORA offers, all or of one type."""
        reply = self._call("list_models", "GET", "/models", params=given(type=type))
        return [reply.read(Model, item) for item in reply.objects("models")]

    def list_techniques(
        self, query: str | None = None, workspace_id: str | None = None
    ) -> Iterator[Technique]:
        """Go through techniques, asking for a page at a time."""
        params = given(query=query, workspace_id=workspace_id)
        return self._every(Technique, "list_techniques", "/techniques", params)

    def retrieve_technique(self, technique: str) -> Technique:
        """Ask for a technique by its slug or `tech_…` id. Safe to repeat."""
        path = f"/techniques/{read.path_part(technique)}"
        return self._call("retrieve_technique", "GET", path).read(Technique)

    def create_technique_run(
        self,
        technique: str,
        inputs: Sequence[Mapping[str, str]],
        idempotency_key: str | None = None,
        callback_url: str | None = None,
    ) -> TechniqueRun:
        """Run a technique on `inputs` (`{id, type, value}` each). Billed; sent once.

        With `idempotency_key`, a copy within two hours runs nothing again: it is answered with the
        first run, or with 409 or 422 (KeyAlreadyKnown). Two sent at the same time may both run.
        `callback_url` is told when the run has ended; what comes there is for `read_callback`.
        """
        request = self.create_technique_run_request(
            technique, inputs, idempotency_key=idempotency_key, callback_url=callback_url
        )
        return self.send(request).read(TechniqueRun)

    def create_technique_run_request(
        self,
        technique: str,
        inputs: Sequence[Mapping[str, str]],
        *,
        idempotency_key: str | None,
        callback_url: str | None,
    ) -> ApiRequest:
        """Return the call that `create_technique_run` sends."""
        body: dict[str, Any] = {
            "inputs": [dict(given_input) for given_input in inputs],
            "mode": "async",
        }
        return self._request(
            "create_technique_run",
            "POST",
            f"/techniques/{read.path_part(technique)}/runs",
            resend=Resend.REPLAYS if idempotency_key else Resend.NEVER,
            json=body | given(idempotency_key=idempotency_key, callback_url=callback_url),
            headers={"Idempotency-Key": idempotency_key} if idempotency_key else {},
            verdicts=CREATE_VERDICTS if idempotency_key else {},
            source=IDEMPOTENCY_PAGE,
        )

    def retrieve_technique_run(self, technique: str, run_id: str) -> TechniqueRun:
        """Ask for a run of a technique. Safe to repeat.

        Raises: UnexpectedAnswer, for an answer that is not of this run or lacks its status.
        """
        path = f"/techniques/{read.path_part(technique)}/runs/{read.path_part(run_id)}"
        reply = self._call("retrieve_technique_run", "GET", path, provider_run_id=run_id)
        run = reply.read(TechniqueRun)
        is_list = isinstance(reply.document().get("outputs") or [], list)
        if run.run_id != run_id or run.status is None or not is_list:
            raise reply.unexpected("the answer is not this run, whole")
        return run

    def list_technique_runs(
        self,
        technique_id: str | None = None,
        workspace_id: str | None = None,
        project_id: str | None = None,
        status: str | None = None,
    ) -> Iterator[TechniqueRun]:
        """Go through technique runs, newest first, a page at a time; without an id: left out."""
        params = given(
            technique_id=technique_id,
            workspace_id=workspace_id,
            project_id=project_id,
            status=status,
        )
        needs = ("run_id", "technique_run_id")
        return self._every(
            TechniqueRun, "list_technique_runs", "/technique-runs", params, needs=needs
        )

    def download_output(
        self, url: str, *, max_bytes: int = MAX_DOWNLOAD_BYTES
    ) -> AbstractContextManager[Download]:
        """Stream an output by the link in its run, without the key; see `Provider.fetch`."""
        return self._open_link("download_output", url, max_bytes, source=OUTPUTS_PAGE)
