"""FLORA behind the verbs of the seam.

FLORA's three accounts of idempotency do not agree, so a run is created in the one way that is
right under each: the key in the body and in the header, the same bytes every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from itertools import islice, takewhile

from flow_pipelines.model import Cost, CostBasis, OutputRef, Receipt, RunReport, Workflow
from flow_pipelines.model import SubmissionState as S
from flow_pipelines.model.errors import (
    ConfigurationError,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
)
from flow_pipelines.provider import (
    AnsweredRequest,
    ApiRequest,
    Candidate,
    Capabilities,
    Download,
    InputFile,
    InputValues,
    ProviderAdapter,
    SubmitRequest,
    Transport,
    WorkflowListing,
)
from flow_pipelines.providers.flora.calls import NAME
from flow_pipelines.providers.flora.client import FloraClient
from flow_pipelines.providers.flora.records import Asset, TechniqueRun, Workspace
from flow_pipelines.providers.flora.workflows import (
    STATES,
    candidate_of,
    inputs_of,
    receipt_of,
    report_of,
    workflow_of,
)

MAX_LISTED = 1000
"""Runs, the newest first, among which candidates are looked for."""


class FloraProvider(ProviderAdapter[FloraClient]):
    """FLORA behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities(replays=True)

    def __init__(
        self, transport: Transport, base_url: str, *, workspace_id: str | None = None
    ) -> None:
        super().__init__(transport, FloraClient(transport, base_url))
        self._workspace_id = workspace_id
        self._addresses = InputValues()

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Ask for the technique of this slug or id; see `Provider`."""
        del read_file
        try:
            technique = self.client.retrieve_technique(reference)
        except NotFound as error:
            raise ConfigurationError(f"FLORA gives this key no technique {reference!r}") from error
        return workflow_of(reference, technique)

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the call that runs the technique under `request.idempotency_key`."""
        return self.client.create_technique_run_request(
            request.workflow.body["slug"],
            inputs_of(request),
            idempotency_key=request.idempotency_key,
            callback_url=request.callback_url,
        )

    def read_receipt(self, reply: AnsweredRequest) -> Receipt:
        """Read the answer to a submit; see `ProviderAdapter`."""
        return receipt_of(reply.read(TechniqueRun))

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a run; see `Provider`."""
        return report_of(self.client.retrieve_technique_run(workflow.body["slug"], provider_run_id))

    def candidates(
        self, request: SubmitRequest, since: datetime, until: datetime
    ) -> Sequence[Candidate]:
        """Return runs of the technique by their time; see `ListsCandidates`."""
        technique_id = request.workflow.body["technique_id"]
        listed = self.client.list_technique_runs(technique_id, self._workspace())
        of_technique = (run for run in listed if run.technique.technique_id in (None, technique_id))
        recent = takewhile(
            lambda run: (run.created_at or since) >= since, islice(of_technique, MAX_LISTED)
        )
        in_time = {run.run_id: run for run in recent if (run.created_at or until) <= until}
        return [candidate_of(run) for run in in_time.values()]

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by the link of a poll; see `Provider`."""
        return self.client.download_output(self.link_of(output), max_bytes=max_bytes)

    def cost(self, report: RunReport, price_usd_per_run: Decimal | None) -> Cost:
        """Return what was charged; nothing for what FLORA calls failed; else estimate the price."""
        if report.charged_usd is not None:
            return Cost.of(report.charged_usd, CostBasis.CHARGED)
        if STATES.get(report.provider_status.lower()) is S.FAILED:
            return Cost(Decimal(0), CostBasis.FREE)  # failed generations are not charged
        return Cost.of(price_usd_per_run, CostBasis.ESTIMATED)

    def upload_input(self, file: InputFile) -> str:
        """Upload a picture as an asset; return its id; see `TakesFiles`."""
        workspace_id = self._workspace()
        if workspace_id is None:
            raise ConfigurationError(
                "FLORA keeps pictures in a workspace, and this key sees several or none: name "
                "yours as workspace_id (FLORA_WORKSPACE_ID)"
            )
        asset = self.client.upload_asset(
            file.content, file.file_name, file.media_type, workspace_id
        )
        if asset.status == "failed":
            why = asset.failure_message or "FLORA does not say why"
            raise _asset_error(RequestRejected, f"{file.file_name} failed there: {why}")
        if (address := _address(asset)) is not None:
            self._addresses.put(asset.asset_id, address)
        return asset.asset_id

    def input_value(self, uploaded: str) -> str:
        """Return the address of an asset; see `TakesFiles`.

        Raises: NotFound, for one that is gone or failed; ProviderUnavailable, for one that is not
        ready yet; another ProviderError.
        """
        return self._addresses.get_or(uploaded, lambda: self._ask_address(uploaded))

    def _ask_address(self, asset_id: str) -> str:
        asset = self.client.retrieve_asset(asset_id)
        if asset.status == "failed":
            raise _asset_error(NotFound, f"the asset {asset_id} failed there")
        address = _address(asset)
        if address is None:
            problem = f"the asset {asset_id} is not ready yet: {asset.status}"
            raise _asset_error(ProviderUnavailable, problem)
        return address

    def list_workflows(self) -> Iterator[WorkflowListing]:
        """Go through the techniques; see `ListsWorkflows`."""
        for technique in self.client.list_techniques(workspace_id=self._workspace_id):
            reference = technique.slug or technique.technique_id
            yield WorkflowListing(
                reference=reference,
                name=technique.name or reference,
                description=technique.description,
            )

    def identity(self) -> frozenset[str]:
        """Return the workspaces that the key sees; see `TellsIdentity`."""
        return frozenset(workspace.workspace_id for workspace in self._workspaces())

    def _workspace(self) -> str | None:
        """Return the workspace to search, or None: all that the key sees, where there are many."""
        if self._workspace_id is None:
            self._workspaces()
        return self._workspace_id

    def _workspaces(self) -> Sequence[Workspace]:
        """Ask which workspaces the key sees; its only one is where to look."""
        workspaces = self.client.list_workspaces()
        if self._workspace_id is None and len(workspaces) == 1:
            self._workspace_id = workspaces[0].workspace_id
        return workspaces


def _address(asset: Asset) -> str | None:
    """Return an asset's address; None: it is not ready."""
    return asset.url if asset.status == "ready" else None


def _asset_error(kind: type[ProviderError], problem: str) -> ProviderError:
    return kind(problem, provider=NAME, operation="retrieve_asset")
