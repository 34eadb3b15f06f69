"""FloImg behind the verbs of the seam: workflows saved there, executed by id with parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import islice

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import (
    OutputRef,
    ParameterSpec,
    ParameterType,
    Receipt,
    RunReport,
    SubmissionState,
    Workflow,
)
from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import (
    ConfigurationError,
    NotFound,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.provider import (
    AnsweredRequest,
    ApiRequest,
    Capabilities,
    Download,
    InputFile,
    InputValues,
    ProviderAdapter,
    SubmitRequest,
    Transport,
    WorkflowListing,
)
from flow_pipelines.providers.floimg.calls import NAME, WORKFLOW_FAILED
from flow_pipelines.providers.floimg.client import FloImgClient
from flow_pipelines.providers.floimg.records import (
    Execution,
    SavedWorkflow,
    StartedExecution,
    WorkflowParameter,
)

PARAMETER_TYPES: Mapping[str, ParameterType] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}
"""The documentation shows `string` and `number`; of any other type, values go as they come."""
LOOKED_THROUGH = 1000
"""Workflows that are looked through for the last update of one."""


class FloImgProvider(ProviderAdapter[FloImgClient]):
    """FloImg behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities()

    def __init__(self, transport: Transport, base_url: str) -> None:
        """See `FloImgClient`."""
        super().__init__(transport, FloImgClient(transport, base_url))
        self._links = InputValues()

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Ask for a saved workflow; see `Provider`.

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
            parameters=tuple(_spec(declared) for declared in saved.parameters),
        )

    def _version(self, saved: SavedWorkflow) -> str:
        declared = [spec.model_dump(by_alias=True, exclude_unset=True) for spec in saved.parameters]
        times = [saved.created_at, saved.updated_at or self._updated_at(saved)]
        return stable_hash([saved.id, saved.name, declared, *map(str, times)])

    def _updated_at(self, saved: SavedWorkflow) -> datetime | None:
        listed = islice(self.client.list_workflows(project_id=saved.project_id), LOOKED_THROUGH)
        return next((workflow.updated_at for workflow in listed if workflow.id == saved.id), None)

    def list_workflows(self) -> Iterator[WorkflowListing]:
        """Go through the saved workflows; see `ListsWorkflows`."""
        for saved in self.client.list_workflows():
            yield WorkflowListing(reference=saved.id, name=saved.name or saved.id)

    def upload_input(self, file: InputFile) -> str:
        """Store a picture in FloImg's storage; return its id. See `TakesFiles`."""
        stored = self.client.upload_image(file.content, file.file_name, file.media_type)
        if stored.url is not None:
            self._links.put(stored.id, stored.url)
        return stored.id

    def input_value(self, uploaded: str) -> str:
        """Return the link of a stored image, asked for once; see `TakesFiles`."""
        return self._links.get_or(uploaded, lambda: self._link(uploaded))

    def _link(self, image_id: str) -> str:
        link = self.client.get_image(image_id).url
        if link is None:
            why = f"image {image_id} has no link"
            raise UnexpectedAnswer(why, provider=NAME, operation="get_image")
        return link

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the call that executes the workflow; nothing in it names the submission."""
        workflow_id = request.workflow.body["workflow_id"]
        return self.client.execute_workflow_request(workflow_id, request.parameters)

    def read_receipt(self, reply: AnsweredRequest) -> Receipt:
        """Read the answer to a submit; see `ProviderAdapter`."""
        started = reply.read(StartedExecution)
        try:
            report = report_of(reply.read(Execution))
        except SubmitOutcomeUnknown:  # by nothing but the report: the id is there
            return Receipt(provider_run_id=started.execution_id)
        return Receipt(
            provider_run_id=report.provider_run_id,
            provider_status=report.provider_status,
            report=report,
        )

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for an execution; see `Provider`."""
        del workflow
        try:
            return report_of(self.client.get_execution(provider_run_id))
        except RequestRejected as error:
            if error.code != WORKFLOW_FAILED:
                raise
            failed = {"execution_id": provider_run_id, "status": "failed"}
            return report_of(Execution.model_validate({**failed, "error": error.vendor_message}))

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by the URL of a poll; see `Provider`."""
        return self.client.open_output(self.link_of(output), max_bytes=max_bytes)


def _spec(declared: WorkflowParameter) -> ParameterSpec:
    return ParameterSpec(
        name=declared.name,
        type=PARAMETER_TYPES.get(declared.type or "", "any"),
        # FloImg has a value for what has a default, required or not.
        required=declared.required and declared.default is None,
        default=declared.default,
    )


STATES: Mapping[str, SubmissionState] = {
    "pending": SubmissionState.QUEUED,
    "running": SubmissionState.RUNNING,
    "completed": SubmissionState.SUCCEEDED,
    "failed": SubmissionState.FAILED,
}
OUTPUT_ID = "output"
"""An execution has one output, and FloImg gives it no id: its URL may differ at every poll."""

_IRREGULAR = {"jpg": "jpeg", "svg": "svg+xml"}
"""Formats whose media type is not `image/<format>`."""
_MILLISECOND = timedelta(milliseconds=1)


def report_of(execution: Execution) -> RunReport:
    """Return what the rooms above need to know of an execution."""
    state = STATES.get(execution.status.lower())
    failed = state is SubmissionState.FAILED
    message = execution.error_message or f"FloImg says: {execution.status}"
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
        error_message=message if failed else None,
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
