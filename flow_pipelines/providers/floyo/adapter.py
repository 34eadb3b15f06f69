"""Floyo behind the verbs of `provider.Provider` and `provider.TakesFiles`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from flow_pipelines.batches import graphs
from flow_pipelines.model import OutputRef, Receipt, RunReport, Workflow
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
)
from flow_pipelines.providers.floyo.calls import NAME
from flow_pipelines.providers.floyo.client import FloyoClient
from flow_pipelines.providers.floyo.reports import cost_nothing, report_of

INPUT_FOLDER = "flow-pipelines"
"""Below the team's inputs, so that people see whose pictures these are."""
_MOST_PATHS = 10_000
_MS_PER_HOUR, _USD = 3_600_000, Decimal("0.000001")


class FloyoProvider:
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
        self._transport = transport
        self._usd_per_flotime_hour = usd_per_flotime_hour
        self._input_paths: dict[str, str] = {}
        self.client = FloyoClient(transport, base_url, cdn_url)

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Read a graph in API format; see `provider.Provider`."""
        graph = graphs.parse_graph(reference, read_file(reference))
        return Workflow(
            reference=reference,
            version=graphs.graph_version(graph),
            body={"graph": graph},
            parameters=graphs.graph_parameters(graph),
        )

    def take_turn(self, lane: Lane) -> None:
        """Wait for a turn; see `provider.Provider`."""
        self._transport.take_turn(lane)

    def submit(self, request: SubmitRequest) -> Receipt:
        """Buy one run, named by `request.label`; see `provider.Provider`."""
        run = self.client.create_run(_graph_of(request), name=request.label)
        return Receipt(provider_run_id=run.id)

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the call of `submit`; see `provider.Provider`."""
        return self.client.create_run_request(_graph_of(request), request.label)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a run; see `provider.Provider`."""
        del workflow
        return report_of(self.client.retrieve_run(provider_run_id))

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Cancel a run, then read it: the answer to a cancel tells neither outputs nor FloTime."""
        with suppress(UnexpectedAnswer):  # whatever it was: the run itself is asked now
            self.client.cancel_run(provider_run_id)
        return self.poll(provider_run_id, workflow)

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Look for runs named exactly `request.label`; see `provider.Provider`."""
        try:
            runs = self.client.search_runs(request.label)
        except (NotFound, RequestRejected, UnexpectedAnswer):
            # The call is not documented: that it is not there proves nothing.
            return ()
        found = {
            run.id: Receipt(provider_run_id=run.id, provider_status=run.status)
            for run in runs
            if run.name == request.label and (run.requested_at or since) >= since
        }
        return tuple(found.values())

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by its id; see `provider.Provider`."""
        if read.identifier(output.output_id) is None:
            raise OutputRefused(f"{NAME}: {output.output_id!r} is no file id of Floyo")
        return self.client.download_file(output.output_id, max_bytes=max_bytes)

    def cost_usd(
        self, report: RunReport, price_usd_per_run: Decimal | None
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "free", "unknown"]]:
        """Estimate from FloTime, else take the batch's figure: Floyo states no price of a run.

        What was canceled in the queue, or had no balance to begin with, used no FloTime.
        """
        if cost_nothing(report):
            return Decimal(0), "free"
        rate = self._usd_per_flotime_hour
        if rate is not None and report.flotime_ms is not None:
            return (rate * report.flotime_ms / _MS_PER_HOUR).quantize(_USD), "estimated"
        if price_usd_per_run is not None:
            return price_usd_per_run.quantize(_USD), "estimated"
        return None, "unknown"

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Return the batch's own figure: FloTime is known only afterwards."""
        del workflow
        return price_usd_per_run

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
        self._remember(stored.id, stored.input_path)
        return stored.id

    def input_value(self, uploaded: str) -> str:
        """Return the `input_path` of an uploaded file; see `TakesFiles`."""
        known = self._input_paths.get(uploaded)
        if known is not None:
            return known
        path = self.client.retrieve_file(uploaded).input_path
        if path is None:
            raise UnexpectedAnswer(
                f"file {uploaded} has no input_path", provider=NAME, operation="retrieve_file"
            )
        self._remember(uploaded, path)
        return path

    def _remember(self, file_id: str, input_path: str) -> None:
        if len(self._input_paths) >= _MOST_PATHS:
            self._input_paths.clear()
        self._input_paths[file_id] = input_path


def _graph_of(request: SubmitRequest) -> Mapping[str, Any]:
    try:
        return graphs.set_parameters(request.workflow.body["graph"], request.parameters)
    except ConfigurationError as error:
        # Nothing was sent, and nobody should have to find that out.
        raise RequestRejected(str(error), provider=NAME, operation="create_run") from error
