"""FloImg: workflows saved at FloImg, executed by id with named parameters.

Source: the pages under `docs/api` of FloImg's own site, github.com/FlojoInc/floimg-web
(`packages/frontend/src/content/docs`): workflows, errors, authentication, rate-limits. They
document neither a way to cancel, nor an idempotency key, nor a list of executions: an execution
whose id was lost cannot be found again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

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
from flow_pipelines.model.errors import ConfigurationError, NotFound, OutputRefused, RequestRejected
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Capabilities,
    Download,
    ErrorBody,
    Lane,
    ProviderProfile,
    Quota,
    RateLimit,
    Resend,
    SubmitRequest,
    Transport,
    Verdict,
    expect_object,
    expect_objects,
    unexpected,
)

Method = Literal["GET", "POST"]
NAME = "floimg"
WORKFLOWS_PAGE = "floimg-web docs/api/workflows"

STATES: Mapping[str, SubmissionState] = {
    "pending": SubmissionState.QUEUED,
    "running": SubmissionState.RUNNING,
    "completed": SubmissionState.SUCCEEDED,
    "failed": SubmissionState.FAILED,
}
WORKFLOW_FAILED = "workflow_failed"
"""Comes as HTTP 500, but is the end of one execution: sending it again would run it again."""
VERDICTS: Mapping[int | str, Verdict] = {WORKFLOW_FAILED: Verdict.REJECTED}
"""The other documented codes say the same as the HTTP status that they come with."""

PARAMETER_TYPES: Mapping[str, ParameterType] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}
"""The documentation shows `string` and `number`; of any other type, values go as they come."""
_IRREGULAR = {"jpg": "jpeg", "svg": "svg+xml"}
"""Formats whose media type is not `image/<format>`."""
OUTPUT_ID = "output"
"""An execution has one output, and FloImg gives it no id: its URL may differ at every poll."""
PAGE, MOST_PAGES = 100, 10
"""FloImg's longest page, and how many of them are looked through for one workflow."""

_MILLISECOND, _USD = timedelta(milliseconds=1), Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """An execution as FloImg tells of it."""

    id: str
    status: str
    url: str | None = field(default=None, repr=False)
    """Opens the output, for whoever holds it; for how long is not documented."""
    width: int | None = None
    height: int | None = None
    format: str | None = None
    """Such as `png`; like the size, in the answer to an execute only."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    """As told in the answer to an execute, else from start to completion."""
    error_code: str | None = None
    error: str | None = None
    """Of undocumented shape, so as text, shortened."""


@dataclass(frozen=True, kw_only=True)
class SavedWorkflow:
    """A workflow saved at FloImg."""

    id: str
    name: str | None
    project_id: str | None
    parameters: Sequence[Mapping[str, Any]]
    """`{name, type, required?, default?}` each; none in a list of workflows."""
    created_at: datetime | None
    updated_at: datetime | None
    """In a list of workflows only."""


class FloImgClient:
    """FloImg's documented calls. Opens no connection itself; safe to share between threads."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        """`base_url` is the API's address, its version included."""
        self._transport, self._base_url = transport, base_url.rstrip("/")

    def execute_workflow(self, workflow_id: str, parameters: Mapping[str, Any]) -> Execution:
        """Execute a saved workflow; give the execution, usually pending. Billed; sent once.

        Always asynchronous: otherwise FloImg answers only when the workflow has ended, and with
        the connection the only name of what was bought is lost.
        """
        body = {"workflowId": workflow_id, "parameters": dict(parameters), "async": True}
        paid: dict[str, Any] = {"resend": Resend.NEVER, "json": body}
        return _execution(*self._send("execute_workflow", "POST", "/workflows/execute", **paid))

    def get_execution(self, execution_id: str) -> Execution:
        """Ask for an execution. Safe to repeat; costs nothing.

        Raises: RequestRejected with the code `workflow_failed`, where FloImg tells a failed
        execution by an error; it may also give one with the status `failed`.
        """
        path = f"/workflows/executions/{read.path_part(execution_id)}"
        request, answer = self._send("get_execution", "GET", path, provider_run_id=execution_id)
        found = _execution(request, answer)
        if found.id != execution_id:
            raise unexpected(NAME, request, answer, "the answer is about another execution")
        return found

    def list_workflows(
        self, limit: int = 20, offset: int = 0, project_id: str | None = None
    ) -> tuple[Sequence[SavedWorkflow], bool]:
        """List saved workflows, at most 100; give them, and whether there are more."""
        params = {"limit": str(limit), "offset": str(offset)}
        params |= {} if project_id is None else {"projectId": project_id}
        request, answer = self._send("list_workflows", "GET", "/workflows", params=params)
        items = expect_objects(NAME, request, answer, "workflows")
        found = [_workflow(item) for item in items if read.identifier(item.get("id"))]
        return found, read.members(answer.json()).get("hasMore") is True

    def get_workflow(self, workflow_id: str) -> SavedWorkflow:
        """Ask for a saved workflow and its parameters. Safe to repeat; costs nothing."""
        path = f"/workflows/{read.path_part(workflow_id)}"
        request, answer = self._send("get_workflow", "GET", path)
        document = expect_object(NAME, request, answer)
        if document.get("id") != workflow_id or not _has_sound_parameters(document):
            raise unexpected(NAME, request, answer, "the answer is not this workflow's parameters")
        return _workflow(document)

    def _send(
        self, operation: str, method: Method, path: str, **declared: Any
    ) -> tuple[ApiRequest, ApiAnswer]:
        request = _request(operation, method, f"{self._base_url}{path}", **declared)
        return request, self._transport.send(request)


class FloImgProvider:
    """FloImg behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities()

    def __init__(self, transport: Transport, base_url: str) -> None:
        """See `FloImgClient`."""
        self._transport = transport
        self.client = FloImgClient(transport, base_url)

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
        times = [saved.created_at, saved.updated_at or self._updated_at(saved)]
        told = [saved.id, saved.name, list(saved.parameters), *map(str, times)]
        return Workflow(
            reference=reference,
            version=stable_hash(told),
            body={"workflow_id": saved.id},
            parameters=tuple(_spec(one) for one in saved.parameters),
        )

    def _updated_at(self, saved: SavedWorkflow) -> datetime | None:
        found, more, page = list[SavedWorkflow](), True, 0
        while more and page < MOST_PAGES and not found:
            listed, more = self.client.list_workflows(PAGE, page * PAGE, saved.project_id)
            found, page = [one for one in listed if one.id == saved.id], page + 1
        return found[0].updated_at if found else None

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

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for an execution; see `provider.Provider`."""
        del workflow
        try:
            return _report(self.client.get_execution(provider_run_id))
        except RequestRejected as error:
            if error.code != WORKFLOW_FAILED:
                raise
            return _report(
                Execution(id=provider_run_id, status="failed", error=error.vendor_message)
            )

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Raise ConfigurationError: FloImg documents no way to cancel."""
        raise ConfigurationError(f"FloImg cannot cancel {provider_run_id} of {workflow.reference}")

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Find nothing: FloImg documents no list of executions."""
        del request, since
        return ()

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by the URL of a fresh poll; see `provider.Provider`."""
        if output.url is None:
            raise OutputRefused(f"{NAME}: the execution completed without a link to its output")
        request = _request("fetch", "GET", output.url, authenticated=False, paced=False)
        return self._transport.open(request, max_bytes=max_bytes)

    def cost_usd(
        self, report: RunReport, price_usd_per_run: Decimal | None
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "unknown"]]:
        """Take the batch's figure for what completed: FloImg tells no cost.

        Whether a failed execution counts against the plan is not documented.
        """
        if price_usd_per_run is None or report.state is not SubmissionState.SUCCEEDED:
            return None, "unknown"
        return price_usd_per_run.quantize(_USD), "estimated"

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Give the batch's own figure."""
        del workflow
        return price_usd_per_run


PROFILE = ProviderProfile(
    name=NAME,
    title="FloImg",
    documentation="https://github.com/FlojoInc/floimg-web",
    key_variable="FLOIMG_API_KEY",
    urls={"base_url": "https://api.floimg.com/v1"},
    url_variables={"base_url": "FLOIMG_BASE_URL"},
    # Starter's, the smallest plan with an API; Pro has 300. Source: floimg-web docs/api/rate-limits
    rate_limit=RateLimit(requests=60, per_seconds=60.0),
    output_hosts=("storage.floimg.com",),
    probe=lambda url: _request("list_workflows", "GET", f"{url}/workflows", params={"limit": "1"}),
    probe_leaves_open="it may read workflows; whether it may execute them, only an execution shows",
    capabilities=FloImgProvider.capabilities,
    connect=FloImgProvider,
)


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{error: {code, message, details?, retryAfter?}}`.

    Source: floimg-web docs/api/errors; for `retryAfter` docs/api/rate-limits.
    """
    error = answer.json()["error"]
    details = error.get("details")
    return ErrorBody(
        code=read.code(error.get("code")),
        message=read.text(error.get("message")) or "",
        fields=[details] if isinstance(details, dict) else read.objects(details) or (),
        retry_after_seconds=read.count(error.get("retryAfter")),
    )


def read_quota(answer: ApiAnswer) -> Quota:
    """Read the headers of every answer; `Reset` is in Unix seconds.

    Source: floimg-web docs/api/rate-limits. Raises: LookupError, ValueError, OverflowError.
    """
    remaining, reset = (int(answer.headers[f"x-ratelimit-{it}"]) for it in ("remaining", "reset"))
    return Quota(remaining=remaining, resets_at=datetime.fromtimestamp(reset, UTC))


def _request(operation: str, method: Method, url: str, **declared: Any) -> ApiRequest:
    return ApiRequest(
        operation=operation,
        method=method,
        url=url,
        source=WORKFLOWS_PAGE,
        read_error=read_error,
        read_quota=read_quota,
        verdicts=VERDICTS,
        **{"resend": Resend.SAFE, **declared},
    )


def _report(execution: Execution) -> RunReport:
    state = STATES.get(execution.status.lower())
    failed = state is SubmissionState.FAILED
    kind = (execution.format or "").lower()
    media_type = f"image/{_IRREGULAR.get(kind, kind)}" if kind else None
    # What completed has an output. One that is not told yet must be missed, not forgotten.
    output = OutputRef(output_id=OUTPUT_ID, media_type=media_type, url=execution.url)
    return RunReport(
        provider_run_id=execution.id,
        state=state,
        provider_status=execution.status,
        started_at=execution.started_at,
        finished_at=execution.completed_at,
        run_ms=execution.duration_ms,
        outputs=(output,) if state is SubmissionState.SUCCEEDED else (),
        error_code=(execution.error_code or WORKFLOW_FAILED) if failed else None,
        error_message=(execution.error or f"FloImg says: {execution.status}") if failed else None,
    )


def _execution(request: ApiRequest, answer: ApiAnswer) -> Execution:
    document = expect_object(NAME, request, answer)
    execution_id, status = read.identifier(document.get("executionId")), document.get("status")
    if execution_id is None or not read.text(status):
        raise unexpected(NAME, request, answer, "the answer is no execution with id and status")
    output, error = read.members(document.get("output")), document.get("error")
    started_at = read.moment(document.get("startedAt"))
    completed_at = read.moment(document.get("completedAt"))
    duration_ms = read.count(document.get("duration"))
    if duration_ms is None and started_at and completed_at:
        duration_ms = read.count((completed_at - started_at) // _MILLISECOND)
    return Execution(
        id=execution_id,
        status=document["status"][:100],
        url=read.text(output.get("url")),
        width=read.count(output.get("width")),
        height=read.count(output.get("height")),
        format=read.code(output.get("format")),
        started_at=started_at,
        completed_at=completed_at,
        duration_ms=duration_ms,
        error_code=read.code(read.members(error).get("code")),
        error=read.prose(read.members(error).get("message") or error),
    )


def _has_sound_parameters(document: Mapping[str, Any]) -> bool:
    items = document.get("parameters") or []
    if not isinstance(items, list) or not all(
        read.text(read.members(i).get("name")) for i in items
    ):
        return False
    try:
        return bool(stable_hash(items))
    except (ValueError, RecursionError):  # NaN and the like: Python reads what JSON has not
        return False


def _workflow(document: Mapping[str, Any]) -> SavedWorkflow:
    parameters = document.get("parameters")
    return SavedWorkflow(
        id=document["id"],
        name=read.text(document.get("name")),
        project_id=read.text(document.get("projectId")),
        parameters=parameters if isinstance(parameters, list) else (),
        created_at=read.moment(document.get("createdAt")),
        updated_at=read.moment(document.get("updatedAt")),
    )


def _spec(parameter: Mapping[str, Any]) -> ParameterSpec:
    return ParameterSpec(
        name=parameter["name"],
        type=PARAMETER_TYPES.get(str(parameter.get("type")), "any"),
        required=parameter.get("required") is True,
        default=parameter.get("default"),
    )
