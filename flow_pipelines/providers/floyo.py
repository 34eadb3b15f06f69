"""Floyo: whole ComfyUI graphs in API format, run by a hosted ComfyUI.

Sources: docs.floyo.ai (pages `floyo-api-introduction`, `workflow-runs`, `files`,
`plans-and-billing`) and Floyo's own demo, github.com/FloyoAI/floyo-api-nodejs-demo. What only
other people's clients show is marked as seen in clients, and read with care.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from flow_pipelines.batches import graphs
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
    ApiAnswer,
    ApiRequest,
    Capabilities,
    Download,
    ErrorBody,
    Lane,
    ProviderProfile,
    RateLimit,
    Resend,
    SubmitRequest,
    Transport,
    Verdict,
    expect_object,
    expect_objects,
    unexpected,
)

NAME = "floyo"
RUNS_PAGE = "docs.floyo.ai/workflow-runs"
Method = Literal["GET", "POST"]

STATES: Mapping[str, SubmissionState] = {
    "queued": SubmissionState.QUEUED,
    "processing": SubmissionState.RUNNING,
    "done": SubmissionState.SUCCEEDED,
    "complete": SubmissionState.SUCCEEDED,  # seen in clients
    "completed": SubmissionState.SUCCEEDED,  # seen in clients
    "failed": SubmissionState.FAILED,
    "cancelled": SubmissionState.CANCELED,
    "canceled": SubmissionState.CANCELED,
    "insufficient_balance": SubmissionState.FAILED,
    "insufficient_api_credits": SubmissionState.FAILED,
}
"""Floyo's words; the last two from the end states of Floyo's own demo."""

ACCOUNT_STATUSES = ("insufficient_balance", "insufficient_api_credits")
VERDICTS: Mapping[int | str, Verdict] = dict.fromkeys(ACCOUNT_STATUSES, Verdict.ACCOUNT)
"""Whatever HTTP status they come with."""
SHORTEST_EXPIRY_SECONDS, LONGEST_EXPIRY_SECONDS = 30, 604_800
"""Life of a presigned URL; source: docs.floyo.ai/workflow-runs."""

_MS_PER_HOUR, _USD = 3_600_000, Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file at Floyo: an output of a run, or what `retrieve_file` names."""

    id: str | None
    """Case-sensitive. None: Floyo gave none that could be used."""
    file_name: str | None
    mime_type: str | None
    size_bytes: int | None
    created_at: datetime | None
    input_path: str | None
    """What a later graph names this file by, as an input."""
    presigned_url: str | None = field(default=None, repr=False)
    """Opens the file for whoever holds it, until it expires. Keep it out of logs."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as Floyo tells of it."""

    id: str
    name: str | None
    status: str
    requested_at: datetime | None
    flotime_ms: int | None
    """GPU time; on finished runs only."""
    outputs: tuple[File, ...]
    """On finished runs only; none at all when ComfyUI had the graph's result in its cache."""
    errors: str | None
    """Of undocumented shape, so as text, shortened."""


class FloyoClient:
    """Floyo's documented calls. Opens no connection itself; safe to share between threads."""

    def __init__(self, transport: Transport, base_url: str, cdn_url: str) -> None:
        """`base_url` is the API's address, `cdn_url` that of the files."""
        self._transport = transport
        self._base_url, self._cdn_url = base_url.rstrip("/"), cdn_url.rstrip("/")

    def create_run(self, workflow: Mapping[str, Any], name: str | None = None) -> str:
        """Run a graph in API format; give the run's id. Billed; sent once.

        Floyo documents no idempotency key, and answers 500 also where a wallet or a team's
        rights refuse the run ("Failed to create run"): no 5xx proves that nothing was bought.
        """
        body: dict[str, Any] = {"workflow": workflow}
        if name is not None:
            body["name"] = name
        request, answer = self._send("create_run", "POST", "/runs", resend=Resend.NEVER, json=body)
        run_id = read.identifier(expect_object(NAME, request, answer).get("id"))
        if run_id is None:
            raise unexpected(NAME, request, answer, "the answer holds no usable run id")
        return run_id

    def retrieve_run(
        self,
        run_id: str,
        expand: bool = False,  # noqa: FBT001, FBT002 - Floyo's own parameter
        presigned_url_expires_in: int | None = None,
    ) -> Run:
        """Ask for a run. Safe to repeat; costs nothing.

        `expand` asks for presigned URLs of the outputs, which live
        `presigned_url_expires_in` seconds (30 … 604800, Floyo's default 300).
        """
        params = _expand("outputs.presigned_url", expand, presigned_url_expires_in)
        path = f"/runs/{read.path_part(run_id)}"
        request, answer = self._send(
            "retrieve_run", "GET", path, params=params, provider_run_id=run_id
        )
        document = expect_object(NAME, request, answer)
        if document.get("id") != run_id or not read.text(document.get("status")):
            raise unexpected(NAME, request, answer, "the answer is not this run with a status")
        if not isinstance(document.get("outputs") or [], list):
            raise unexpected(NAME, request, answer, "the run's outputs are not a list")
        return _run(document)

    def cancel_run(self, run_id: str) -> str:
        """Cancel a queued or processing run; give its status from now on.

        Safe to repeat: a run that ended before stays as it ended (409, with that status).
        """
        path, already_ended = f"/runs/{read.path_part(run_id)}/cancel", frozenset({409})
        request, answer = self._send(
            "cancel_run", "POST", path, answers=already_ended, provider_run_id=run_id
        )
        if answer.status not in already_ended:
            return "cancelled"
        return read.text(expect_object(NAME, request, answer).get("status")) or "unknown"

    def search_runs(self, name: str) -> tuple[Run, ...]:
        """List runs whose name fits `name`. Seen in clients only: may be gone tomorrow."""
        search = {"search": name, "limit": "10"}
        request, answer = self._send(
            "search_runs", "GET", "/runs", params=search, source="seen in clients only"
        )
        items = expect_objects(NAME, request, answer, "runs")
        return tuple(_run(item) for item in items if read.identifier(item.get("id")))

    def retrieve_file(
        self,
        file_id: str,
        expand: bool = False,  # noqa: FBT001, FBT002 - Floyo's own parameter
        presigned_url_expires_in: int | None = None,
    ) -> File:
        """Ask for a file's facts. Safe to repeat; costs nothing."""
        params = _expand("presigned_url", expand, presigned_url_expires_in)
        path = f"/files/{read.path_part(file_id)}"
        request, answer = self._send(
            "retrieve_file", "GET", path, params=params, source="docs.floyo.ai/files"
        )
        return _file(expect_object(NAME, request, answer))

    def download_file(
        self, file_id: str, *, max_bytes: int = 256 * 1024 * 1024
    ) -> AbstractContextManager[Download]:
        """Stream a file by its id, with the key: works for as long as Floyo keeps the file.

        Raises: ProviderError, OutputRefused, TransferError.
        """
        url = f"{self._cdn_url}/{read.path_part(file_id)}/download"
        source = "github.com/FloyoAI/floyo-api-nodejs-demo"
        request = _request("download_file", "GET", url, source=source, paced=False)
        return self._transport.open(request, max_bytes=max_bytes)

    def _send(
        self, operation: str, method: Method, path: str, **declared: Any
    ) -> tuple[ApiRequest, ApiAnswer]:
        request = _request(operation, method, f"{self._base_url}{path}", **declared)
        return request, self._transport.send(request)


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
        try:
            graph = graphs.set_parameters(request.workflow.body["graph"], request.parameters)
        except ConfigurationError as error:
            # Nothing was sent, and nobody should have to find that out.
            raise RequestRejected(str(error), provider=NAME, operation="create_run") from error
        return Receipt(provider_run_id=self.client.create_run(graph, name=request.label))

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a run; see `provider.Provider`."""
        del workflow
        return _report(self.client.retrieve_run(provider_run_id))

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Cancel a run, then read it: the answer to a cancel tells neither outputs nor FloTime."""
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
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "unknown"]]:
        """Estimate from FloTime, else take the batch's figure: Floyo states no price of a run."""
        rate = self._usd_per_flotime_hour
        if rate is not None and report.flotime_ms is not None:
            return (rate * report.flotime_ms / _MS_PER_HOUR).quantize(_USD), "estimated"
        if price_usd_per_run is not None:
            return price_usd_per_run.quantize(_USD), "estimated"
        return None, "unknown"

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Give the batch's own figure: FloTime is known only afterwards."""
        del workflow
        return price_usd_per_run


def _request(operation: str, method: Method, url: str, **declared: Any) -> ApiRequest:
    known: dict[str, Any] = {"resend": Resend.SAFE, "source": RUNS_PAGE, "verdicts": VERDICTS}
    return ApiRequest(
        operation=operation, method=method, url=url, read_error=read_error, **(known | declared)
    )


def _probe(base_url: str) -> ApiRequest:
    """Ask for a run that does not exist: only a key that works is told so, by a 404."""
    url = f"{base_url}/runs/run_0000000000000000"
    return _request("retrieve_run", "GET", url, answers=frozenset({404}))


PROFILE = ProviderProfile(
    name=NAME,
    title="Floyo",
    documentation="https://docs.floyo.ai",
    key_variable="FLOYO_API_KEY",
    urls={"base_url": "https://api.floyo.ai", "cdn_url": "https://cdn.floyo.ai"},
    url_variables={"base_url": "FLOYO_BASE_URL", "cdn_url": "FLOYO_CDN_URL"},
    rate_limit=RateLimit(requests=100, per_seconds=60.0),  # per key; the introduction page
    probe=_probe,
    capabilities=FloyoProvider.capabilities,
    connect=FloyoProvider,
)


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{error, message?}`; source: docs.floyo.ai/floyo-api-introduction.

    `error` is a short text ("run not found"); only where it looks like a code is it one.
    """
    document = answer.json()
    error, message = read.text(document.get("error")), read.text(document.get("message"))
    code = read.code(error)
    said = [text for text in (None if code else error, message) if text]
    return ErrorBody(code=code, message=": ".join(said) or (error or ""))


def _report(run: Run) -> RunReport:
    word = run.status.lower()
    failed = STATES.get(word) is SubmissionState.FAILED
    return RunReport(
        provider_run_id=run.id,
        state=STATES.get(word),
        provider_status=run.status,
        flotime_ms=run.flotime_ms,
        outputs=tuple(_output(index, file) for index, file in enumerate(run.outputs)),
        error_code=word if failed else None,
        error_message=run.errors or (f"Floyo says: {run.status}" if failed else None),
        account_problem=word in ACCOUNT_STATUSES,
    )


def _output(index: int, file: File) -> OutputRef:
    return OutputRef(
        # An output without an id cannot be fetched; left out, it would be lost without a word.
        output_id=file.id or f"(no id) {index}",
        file_name=file.file_name,
        media_type=file.mime_type,
        size_bytes=file.size_bytes,
    )


def _run(document: Mapping[str, Any]) -> Run:
    outputs = document.get("outputs")
    files = outputs if isinstance(outputs, list) else []
    return Run(
        id=document["id"],
        name=read.text(document.get("name")),
        status=(read.text(document.get("status")) or "")[:100],
        requested_at=read.moment(document.get("requested_at")),
        flotime_ms=read.count(document.get("flotime_ms")),
        outputs=tuple(_file(item if isinstance(item, dict) else {}) for item in files),
        errors=read.prose(document.get("errors")),
    )


def _file(document: Mapping[str, Any]) -> File:
    return File(
        id=read.identifier(document.get("id")),
        file_name=read.text(document.get("file_name")),
        mime_type=read.text(document.get("mime_type")),
        size_bytes=read.count(document.get("size_bytes")),
        created_at=read.moment(document.get("created_at")),
        input_path=read.text(document.get("input_path")),
        presigned_url=read.text(document.get("presigned_url")),
    )


def _expand(what: str, expand: bool, expires_in: int | None) -> dict[str, str]:  # noqa: FBT001 - as its callers
    """Floyo refuses an expiry without the expansion that it belongs to."""
    if expires_in is None:
        return {"expand": what} if expand else {}
    if not expand or not SHORTEST_EXPIRY_SECONDS <= expires_in <= LONGEST_EXPIRY_SECONDS:
        raise ConfigurationError(
            f"presigned_url_expires_in={expires_in}: Floyo takes {SHORTEST_EXPIRY_SECONDS} … "
            f"{LONGEST_EXPIRY_SECONDS} seconds, and only with expand=True"
        )
    return {"expand": what, "presigned_url_expires_in": str(expires_in)}
