"""Floyo behind the verbs of `provider.Provider` and `provider.TakesFiles`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any

from flow_pipelines.batches import graphs
from flow_pipelines.model import (
    Cost,
    CostBasis,
    OutputRef,
    Receipt,
    RunReport,
    SubmissionState,
    Workflow,
)
from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import (
    ConfigurationError,
    OutputRefused,
    RequestRejected,
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
)
from flow_pipelines.providers.floyo.calls import ACCOUNT_STATUSES, NAME
from flow_pipelines.providers.floyo.client import FloyoClient
from flow_pipelines.providers.floyo.records import CreatedRun, File, Run

INPUT_FOLDER = "flow-pipelines"
"""Below the team's inputs, so that people see whose pictures these are."""
_MS_PER_HOUR = 3_600_000


class FloyoProvider(ProviderAdapter[FloyoClient]):
    """Floyo behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities(
        cancel=True,
        find=True,
        durable_outputs=True,
        cached_when_identical=True,
        workflow_is_file=True,
        flotime=True,
    )

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        cdn_url: str,
        *,
        usd_per_flotime_hour: Decimal | None = None,
    ) -> None:
        """`usd_per_flotime_hour` is what the account's plan makes an hour of FloTime cost."""
        super().__init__(transport, FloyoClient(transport, base_url, cdn_url))
        self._usd_per_flotime_hour = usd_per_flotime_hour
        self._input_paths = InputValues()

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Read a graph in API format; see `Provider`."""
        graph = graphs.parse_graph(reference, read_file(reference))
        return Workflow(
            reference=reference,
            version=graphs.graph_version(graph),
            body={"graph": graph},
            parameters=graphs.graph_parameters(graph),
        )

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the call that runs the graph, named by `request.label`; see `Provider`."""
        return self.client.create_run_request(_graph_of(request), request.label)

    def read_receipt(self, reply: AnsweredRequest) -> Receipt:
        """Read the answer to a submit; see `ProviderAdapter`."""
        return Receipt(provider_run_id=reply.read(CreatedRun).id)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a run; see `Provider`."""
        del workflow
        return report_of(self.client.retrieve_run(provider_run_id))

    def send_cancel(self, provider_run_id: str) -> None:
        """Cancel a run; see `ProviderAdapter`."""
        self.client.cancel_run(provider_run_id)

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Look for runs named exactly `request.label`; see `Provider`."""
        runs = self.client.search_runs(request.label)
        receipts = {
            run.id: Receipt(
                provider_run_id=run.id, provider_status=run.status, created_at=run.requested_at
            )
            for run in runs
            if run.name == request.label and (run.requested_at or since) >= since
        }
        return tuple(receipts.values())

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by its id; see `Provider`."""
        if read.identifier(output.output_id) is None:
            raise OutputRefused(f"{NAME}: {output.output_id!r} is no file id of Floyo")
        return self.client.download_file(output.output_id, max_bytes=max_bytes)

    def cost(self, report: RunReport, price_usd_per_run: Decimal | None) -> Cost:
        """Estimate from FloTime, else take the batch's figure: Floyo states no price of a run.

        What was canceled in the queue, or had no balance to begin with, used no FloTime.
        """
        if cost_nothing(report):
            return Cost(Decimal(0), CostBasis.FREE)
        rate = self._usd_per_flotime_hour
        if rate is not None and report.flotime_ms is not None:
            return Cost.of(rate * report.flotime_ms / _MS_PER_HOUR, CostBasis.ESTIMATED)
        return Cost.of(price_usd_per_run, CostBasis.ESTIMATED)

    def upload_input(self, file: InputFile) -> str:
        """Upload a picture under its content's name; return its file id. See `TakesFiles`.

        Where the name is taken, the picture is kept once more under a free one. That the content
        is there already would not help: Floyo documents neither a look-up by name nor how an
        `input_path` follows from one, so only the answer to an upload tells it.
        """
        stored = self.client.upload_file(
            file.content,
            file.file_name,
            path=INPUT_FOLDER,
            on_conflict="rename",
            media_type=file.media_type,
        )
        self._input_paths.put(stored.id, stored.input_path)
        return stored.id

    def input_value(self, uploaded: str) -> str:
        """Return the `input_path` of an uploaded file; see `TakesFiles`."""
        return self._input_paths.get_or(uploaded, lambda: self._input_path(uploaded))

    def _input_path(self, file_id: str) -> str:
        path = self.client.retrieve_file(file_id).input_path
        if path is None:
            raise UnexpectedAnswer(
                f"file {file_id} has no input_path", provider=NAME, operation="retrieve_file"
            )
        return path


def _graph_of(request: SubmitRequest) -> Mapping[str, Any]:
    try:
        return graphs.set_parameters(request.workflow.body["graph"], request.parameters)
    except ConfigurationError as error:
        # Nothing was sent, and nobody should have to find that out.
        raise RequestRejected(str(error), provider=NAME, operation="create_run") from error


STATES: Mapping[str, SubmissionState] = {
    "queued": SubmissionState.QUEUED,
    "processing": SubmissionState.RUNNING,
    "done": SubmissionState.SUCCEEDED,
    "complete": SubmissionState.SUCCEEDED,  # seen in clients
    "completed": SubmissionState.SUCCEEDED,  # seen in clients
    "failed": SubmissionState.FAILED,
    "cancelled": SubmissionState.CANCELED,
    "canceled": SubmissionState.CANCELED,
    **dict.fromkeys(ACCOUNT_STATUSES, SubmissionState.FAILED),
}


def report_of(run: Run) -> RunReport:
    """Return what the rooms above need to know of a run."""
    word = run.status.lower()
    failed = STATES.get(word) is SubmissionState.FAILED
    return RunReport(
        provider_run_id=run.id,
        state=STATES.get(word),
        provider_status=run.status,
        label=run.name,
        created_at=run.requested_at,
        flotime_ms=run.flotime_ms,
        outputs=tuple(_output(index, file) for index, file in enumerate(run.outputs)),
        error_code=word if failed else None,
        error_message=run.errors or (f"Floyo says: {run.status}" if failed else None),
        account_problem=word in ACCOUNT_STATUSES,
    )


def cost_nothing(report: RunReport) -> bool:
    """Return whether a run ended before it began: FloTime is time of a GPU, and all that is billed.

    Source: docs.floyo.ai/plans-and-billing.
    """
    word = report.provider_status.lower()
    if word not in ACCOUNT_STATUSES and STATES.get(word) is not SubmissionState.CANCELED:
        return False
    if report.flotime_ms is None:
        return not report.has_run
    return report.flotime_ms == 0


def _output(index: int, file: File) -> OutputRef:
    return OutputRef(
        # An output without an id cannot be fetched; left out, it would be lost without a word.
        output_id=file.id or f"(no id) {index}",
        file_name=file.file_name,
        media_type=file.mime_type,
        size_bytes=file.size_bytes,
    )
