"""Lumen, which nobody offers: jobs from presets, pictures kept by id, prices told beforehand.

Source: its made-up pages, lumen.example/docs. It documents no idempotency key and no list of jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
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
from flow_pipelines.model.errors import ConfigurationError, NotFound
from flow_pipelines.provider import (
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
    expect_object,
    unexpected,
)

NAME = "lumen"
STATES: Mapping[str, SubmissionState] = {
    "waiting": SubmissionState.QUEUED,
    "working": SubmissionState.RUNNING,
    "done": SubmissionState.SUCCEEDED,
    "broken": SubmissionState.FAILED,
    "stopped": SubmissionState.CANCELED,
}
KINDS: Mapping[str, ParameterType] = {"words": "text", "whole": "integer"}
_USD = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as Lumen tells of it."""

    id: str
    phase: str
    started_at: datetime | None
    ended_at: datetime | None
    charged_usd: Decimal | None
    pictures: tuple[OutputRef, ...]
    trouble: Mapping[str, Any]


class LumenClient:
    """Lumen's documented calls. Opens no connection itself; safe to share between threads."""

    def __init__(
        self, transport: Transport, base_url: str, files_url: str, studio: str | None
    ) -> None:
        self._transport, self._studio = transport, studio
        self._base_url, self._files_url = base_url.rstrip("/"), files_url.rstrip("/")

    def create_job(self, preset: str, inputs: Mapping[str, Any], title: str) -> Job:
        """Start a job; give it as it was accepted. Billed; sent once."""
        return self._sent(self.create_job_request(preset, inputs, title))

    def create_job_request(self, preset: str, inputs: Mapping[str, Any], title: str) -> ApiRequest:
        """Return the call that `create_job` sends."""
        body = {"preset": preset, "inputs": dict(inputs), "title": title}
        body |= {} if self._studio is None else {"studio": self._studio}
        url = f"{self._base_url}/jobs"
        return _request("create_job", "POST", url, resend=Resend.NEVER, json=body)

    def get_job(self, job_id: str) -> Job:
        """Ask for a job. Safe to repeat; costs nothing."""
        path = f"/jobs/{read.path_part(job_id)}"
        return self._job("get_job", "GET", path, provider_run_id=job_id)

    def stop_job(self, job_id: str) -> Job:
        """Stop a job; one that ended before is given as it is. Safe to repeat."""
        path = f"/jobs/{read.path_part(job_id)}"
        return self._job("stop_job", "DELETE", path, provider_run_id=job_id)

    def get_preset(self, name: str) -> Mapping[str, Any]:
        """Ask for a preset. Safe to repeat; costs nothing."""
        path = f"{self._base_url}/presets/{read.path_part(name)}"
        request = _request("get_preset", "GET", path)
        answer = self._transport.send(request)
        preset = expect_object(NAME, request, answer)
        if preset.get("name") != name or read.objects(preset, "inputs") is None:
            raise unexpected(NAME, request, answer, "the answer is not this preset")
        return preset

    def open_picture(self, picture_id: str, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream a picture by its id."""
        url = f"{self._files_url}/pictures/{read.path_part(picture_id)}"
        request = _request("open_picture", "GET", url, paced=False)
        return self._transport.open(request, max_bytes=max_bytes)

    def _job(
        self, operation: str, method: Literal["GET", "POST", "DELETE"], path: str, **declared: Any
    ) -> Job:
        return self._sent(_request(operation, method, f"{self._base_url}{path}", **declared))

    def _sent(self, request: ApiRequest) -> Job:
        answer = self._transport.send(request)
        job = read.members(expect_object(NAME, request, answer).get("job"))
        job_id, phase = read.identifier(job.get("id")), read.text(job.get("phase"))
        if job_id is None or phase is None or request.provider_run_id not in (None, job_id):
            raise unexpected(NAME, request, answer, "the answer is not this job")
        pictures = [_picture(one) for one in read.objects(job, "pictures") or ()]
        return Job(
            id=job_id,
            phase=phase[:100],
            started_at=read.moment(job.get("started")),
            ended_at=read.moment(job.get("ended")),
            charged_usd=read.amount(job.get("charged")),
            pictures=tuple(one for one in pictures if one is not None),
            trouble=read.members(job.get("trouble")),
        )


class LumenProvider:
    """Lumen behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities(cancel=True, durable_outputs=True)

    def __init__(
        self, transport: Transport, base_url: str, files_url: str, studio: str | None = None
    ) -> None:
        self._transport = transport
        self.client = LumenClient(transport, base_url, files_url, studio)

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        del read_file
        try:
            preset = self.client.get_preset(reference)
        except NotFound as error:
            raise ConfigurationError(f"Lumen has no preset {reference!r}: {error}") from error
        inputs = [one for one in read.objects(preset, "inputs") or () if read.text(one.get("name"))]
        return Workflow(
            reference=reference,
            version=stable_hash([reference, preset.get("revision"), inputs]),
            body={"preset": reference},
            parameters=tuple(_spec(one) for one in inputs),
            price_usd=read.amount(preset.get("price")),
        )

    def take_turn(self, lane: Lane) -> None:
        self._transport.take_turn(lane)

    def submit(self, request: SubmitRequest) -> Receipt:
        preset = request.workflow.body["preset"]
        job = self.client.create_job(preset, request.parameters, request.label)
        return Receipt(provider_run_id=job.id, provider_status=job.phase, report=_report(job))

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        preset = request.workflow.body["preset"]
        return self.client.create_job_request(preset, request.parameters, request.label)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        del workflow
        return _report(self.client.get_job(provider_run_id))

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        del workflow
        return _report(self.client.stop_job(provider_run_id))

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        del request, since
        return ()

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        return self.client.open_picture(output.output_id, max_bytes=max_bytes)

    def cost_usd(
        self, report: RunReport, price_usd_per_run: Decimal | None
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "free", "unknown"]]:
        del price_usd_per_run
        if report.charged_usd is None:
            return None, "unknown"
        return report.charged_usd.quantize(_USD), "charged"

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        return workflow.price_usd if workflow.price_usd is not None else price_usd_per_run


def read_error(answer: Any) -> ErrorBody:
    """Read `{trouble: {code, text, wait?}}`. Source: lumen.example/docs/trouble."""
    trouble = read.members(answer.json()["trouble"])
    return ErrorBody(
        code=read.code(trouble.get("code")),
        message=read.text(trouble.get("text")) or "",
        retry_after_seconds=read.count(trouble.get("wait")),
    )


def _request(
    operation: str, method: Literal["GET", "POST", "DELETE"], url: str, **declared: Any
) -> ApiRequest:
    return ApiRequest(
        operation=operation,
        method=method,
        url=url,
        source="lumen.example/docs/jobs",
        read_error=read_error,
        **{"resend": Resend.SAFE, **declared},
    )


PROFILE = ProviderProfile(
    name=NAME,
    title="Lumen",
    documentation="https://lumen.example/docs",
    key_variable="LUMEN_API_KEY",
    urls={"base_url": "https://api.lumen.example", "files_url": "https://files.lumen.example"},
    url_variables={"base_url": "LUMEN_BASE_URL", "files_url": "LUMEN_FILES_URL"},
    other_variables={"studio": "LUMEN_STUDIO"},
    rate_limit=RateLimit(requests=120, per_seconds=60.0),
    probe=lambda url: _request("get_account", "GET", f"{url}/account"),
    capabilities=LumenProvider.capabilities,
    connect=LumenProvider,
)


def _report(job: Job) -> RunReport:
    state = STATES.get(job.phase)
    failed = state is SubmissionState.FAILED
    return RunReport(
        provider_run_id=job.id,
        state=state,
        provider_status=job.phase,
        started_at=job.started_at,
        finished_at=job.ended_at,
        charged_usd=job.charged_usd,
        outputs=job.pictures,
        error_code=(read.code(job.trouble.get("code")) or "broken") if failed else None,
        error_message=(read.prose(job.trouble.get("text")) or "broken") if failed else None,
    )


def _picture(picture: Mapping[str, Any]) -> OutputRef | None:
    picture_id = read.identifier(picture.get("id"))
    if picture_id is None:
        return None
    return OutputRef(
        output_id=picture_id,
        file_name=read.text(picture.get("file")),
        size_bytes=read.count(picture.get("bytes")),
    )


def _spec(given: Mapping[str, Any]) -> ParameterSpec:
    return ParameterSpec(
        name=given["name"],
        type=KINDS.get(str(given.get("kind")), "any"),
        required=given.get("needed") is True,
        default=given.get("unless"),
    )
