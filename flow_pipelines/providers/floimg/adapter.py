"""FloImg behind the verbs of the seam: workflows saved there, executed by id with parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Literal

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import OutputRef, Receipt, RunReport, SubmissionState, Workflow
from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import (
    ConfigurationError,
    NotFound,
    OutputRefused,
    RequestRejected,
    UnexpectedAnswer,
)
from flow_pipelines.provider import (
    ApiRequest,
    Capabilities,
    Download,
    InputFile,
    Lane,
    SubmitRequest,
    Transport,
    WorkflowListing,
)
from flow_pipelines.providers.floimg.calls import NAME, WORKFLOW_FAILED
from flow_pipelines.providers.floimg.client import FloImgClient
from flow_pipelines.providers.floimg.parameters import parameter_specs
from flow_pipelines.providers.floimg.records import Execution, SavedWorkflow

STATES: Mapping[str, SubmissionState] = {
    "pending": SubmissionState.QUEUED,
    "running": SubmissionState.RUNNING,
    "completed": SubmissionState.SUCCEEDED,
    "failed": SubmissionState.FAILED,
}
OUTPUT_ID = "output"
"""An execution has one output, and FloImg gives it no id: its URL may differ at every poll."""
LOOKED_THROUGH = 1000
"""Workflows that are looked through for the last update of one."""

_IRREGULAR = {"jpg": "jpeg", "svg": "svg+xml"}
"""Formats whose media type is not `image/<format>`."""
_REMEMBERED_LINKS = 1000
_MILLISECOND, _USD = timedelta(milliseconds=1), Decimal("0.000001")


class FloImgProvider:
    """FloImg behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities()

    def __init__(self, transport: Transport, base_url: str) -> None:
        """See `FloImgClient`."""
        self._transport = transport
        self.client = FloImgClient(transport, base_url)
        self._links: Mapping[str, str] = {}

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Ask for a saved workflow; see `provider.Provider`.

        What it does is not told. That it changed shows only in `updatedAt`, which is looked for
        in the list of workflows, as far as its first thousand go.
        """
        del read_file
        try:
            saved = self.client.get_workflow(reference)
        except NotFound as error:
            raise ConfigurationError(f"FloImg has no workflow {reference!r}: {error}") from error
        return Workflow(
            reference=reference,
            version=self._version(saved),
            body={"workflow_id": saved.id},
            parameters=parameter_specs(saved.parameters),
        )

    def _version(self, saved: SavedWorkflow) -> str:
        declared = [one.model_dump(by_alias=True, exclude_unset=True) for one in saved.parameters]
        times = [saved.created_at, saved.updated_at or self._updated_at(saved)]
        return stable_hash([saved.id, saved.name, declared, *map(str, times)])

    def _updated_at(self, saved: SavedWorkflow) -> datetime | None:
        listed = islice(self.client.list_workflows(project_id=saved.project_id), LOOKED_THROUGH)
        return next((one.updated_at for one in listed if one.id == saved.id), None)

    def list_workflows(self) -> Iterator[WorkflowListing]:
        """Go through the saved workflows; see `provider.ListsWorkflows`."""
        for saved in self.client.list_workflows():
            yield WorkflowListing(reference=saved.id, name=saved.name or saved.id)

    def upload_input(self, file: InputFile) -> str:
        """Store a picture in FloImg's storage; return its id. See `provider.TakesFiles`."""
        stored = self.client.upload_image(file.content, file.file_name, file.media_type)
        if stored.url is not None:
            self._remember(stored.id, stored.url)
        return stored.id

    def input_value(self, uploaded: str) -> str:
        """Return the link of a stored image, asked for once; see `provider.TakesFiles`."""
        known = self._links.get(uploaded)
        if known is not None:
            return known
        link = self.client.get_image(uploaded).url
        if link is None:
            why = f"image {uploaded} has no link"
            raise UnexpectedAnswer(why, provider=NAME, operation="get_image")
        self._remember(uploaded, link)
        return link

    def _remember(self, image_id: str, link: str) -> None:
        # A new mapping, as threads share the old one.
        kept = list(self._links.items())[1 - _REMEMBERED_LINKS :]
        self._links = {**dict(kept), image_id: link}

    def take_turn(self, lane: Lane) -> None:
        """Wait for a turn; see `provider.Provider`."""
        self._transport.take_turn(lane)

    def submit(self, request: SubmitRequest) -> Receipt:
        """Buy one execution; it bears no name of ours. See `provider.Provider`."""
        workflow_id = request.workflow.body["workflow_id"]
        report = _report(self.client.execute_workflow(workflow_id, request.parameters))
        return Receipt(
            provider_run_id=report.provider_run_id,
            provider_status=report.provider_status,
            report=report,
        )

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the call of `submit`; see `provider.Provider`."""
        workflow_id = request.workflow.body["workflow_id"]
        return self.client.execute_workflow_request(workflow_id, request.parameters)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for an execution; see `provider.Provider`."""
        del workflow
        try:
            return _report(self.client.get_execution(provider_run_id))
        except RequestRejected as error:
            if error.code != WORKFLOW_FAILED:
                raise
            failed = {"execution_id": provider_run_id, "status": "failed"}
            return _report(Execution.model_validate({**failed, "error": error.vendor_message}))

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Raise ConfigurationError: FloImg documents no way to cancel."""
        raise ConfigurationError(f"FloImg cannot cancel {provider_run_id} of {workflow.reference}")

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Find nothing: FloImg documents no list of executions."""
        del request, since
        return ()

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by the URL of a poll; see `provider.Provider`."""
        if output.url is None:
            raise OutputRefused(f"{NAME}: the execution completed without a link to its output")
        return self.client.open_output(output.url, max_bytes=max_bytes)

    def cost_usd(
        self, report: RunReport, price_usd_per_run: Decimal | None
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "free", "unknown"]]:
        """Take the batch's figure for what completed: FloImg tells no cost.

        Whether a failed execution counts against the plan is not documented.
        """
        if price_usd_per_run is None or report.state is not SubmissionState.SUCCEEDED:
            return None, "unknown"
        return price_usd_per_run.quantize(_USD), "estimated"

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Return the batch's own figure."""
        del workflow
        return price_usd_per_run


def _report(execution: Execution) -> RunReport:
    state = STATES.get(execution.status.lower())
    failed = state is SubmissionState.FAILED
    told = execution.error_message or f"FloImg says: {execution.status}"
    return RunReport(
        provider_run_id=execution.execution_id,
        state=state,
        provider_status=execution.status,
        started_at=execution.started_at,
        finished_at=execution.completed_at,
        run_ms=_run_ms(execution),
        # What completed has an output. One that is not told yet must be missed, not forgotten.
        outputs=(_output(execution),) if state is SubmissionState.SUCCEEDED else (),
        error_code=(execution.error_code or WORKFLOW_FAILED) if failed else None,
        error_message=told if failed else None,
    )


def _output(execution: Execution) -> OutputRef:
    output = execution.output
    kind = (output.format or "").lower() if output else ""
    return OutputRef(
        output_id=OUTPUT_ID,
        media_type=f"image/{_IRREGULAR.get(kind, kind)}" if kind else None,
        url=output.url if output else None,
    )


def _run_ms(execution: Execution) -> int | None:
    started, completed = execution.started_at, execution.completed_at
    if execution.duration is not None or started is None or completed is None:
        return execution.duration
    return read.count((completed - started) // _MILLISECOND)
