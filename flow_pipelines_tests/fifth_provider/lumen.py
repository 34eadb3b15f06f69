"""Lumen, which nobody offers: jobs from presets, pictures kept by id, prices told beforehand.

The example to copy for a further provider. Each fact carries the page that states it; here these
are made up: lumen.example/docs. It documents no idempotency key and no list of jobs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import (
    ENDED,
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
    MAX_DOWNLOAD_BYTES,
    AnsweredRequest,
    ApiAnswer,
    ApiClient,
    ApiDefaults,
    ApiRequest,
    Capabilities,
    Download,
    ErrorBody,
    InputFile,
    ProviderAdapter,
    ProviderProfile,
    RateLimit,
    Resend,
    SubmitRequest,
    Transport,
    documented,
)
from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.provider.records import (
    Identifier,
    MaybeAmount,
    MaybeCount,
    MaybeFlag,
    MaybeIdentifier,
    MaybeMoment,
    MaybeText,
    Record,
    Status,
    every_object,
)
from flow_pipelines.redaction import Secret

NAME = "lumen"
JOBS_PAGE, FILES_PAGE = "lumen.example/docs/jobs", "lumen.example/docs/files"
STATES: Mapping[str, SubmissionState] = {
    "waiting": SubmissionState.QUEUED,
    "working": SubmissionState.RUNNING,
    "done": SubmissionState.SUCCEEDED,
    "broken": SubmissionState.FAILED,
    "stopped": SubmissionState.CANCELED,
}
KINDS: Mapping[str, ParameterType] = {"words": "text", "whole": "integer", "picture": "image"}
OUT_OF_CREDIT = "insufficient_balance"
SIGNING_VARIABLE = "LUMEN_CALLBACK_SECRET"
TOLERANCE_SECONDS = 300.0
"""How far a callback's time may be from ours, in either direction."""


# -- records: strict where everything depends on a field, lenient where it only informs --


class Picture(Record):
    """A picture that a job made."""

    id: MaybeIdentifier = None
    file: MaybeText = None
    bytes: MaybeCount = None


class AcceptedJob(Record):
    """The receipt: the id proves it, whatever else the answer has."""

    id: Identifier


class Job(AcceptedJob):
    """A job, as it is now; `charged` is in USD."""

    phase: Status
    started: MaybeMoment = None
    ended: MaybeMoment = None
    charged: MaybeAmount = None
    pictures: Annotated[tuple[Picture, ...], BeforeValidator(every_object)] = ()
    trouble: Annotated[Mapping[str, Any], BeforeValidator(read.members)] = Field(default={})
    """`{code, text}`: why it broke."""


class PresetInput(Record):
    """An input that a preset declares."""

    name: str = Field(min_length=1)
    kind: MaybeText = None
    needed: MaybeFlag = None
    unless: Any = None
    """Its value where none is given."""


class Preset(Record):
    """What jobs are made from; `price` is that of one job, in USD."""

    name: str
    inputs: Annotated[tuple[PresetInput, ...], BeforeValidator(tuple)]
    revision: MaybeCount = None
    price: MaybeAmount = None


class Upload(Record):
    """A picture of ours that Lumen keeps."""

    id: Identifier


# -- the client: a method for each documented call --


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{trouble: {code, text, wait?}}`. Source: lumen.example/docs/trouble."""
    trouble = read.members(answer.json()["trouble"])
    return ErrorBody(
        code=read.code(trouble.get("code")),
        message=read.text(trouble.get("text")) or "",
        retry_after_seconds=read.count(trouble.get("wait")),
    )


API = ApiDefaults(provider=NAME, source=JOBS_PAGE, read_error=read_error)


class LumenClient(ApiClient):
    """Lumen's documented calls. Opens no connection itself; safe to share between threads."""

    api = API

    def __init__(
        self, transport: Transport, base_url: str, files_url: str, studio: str | None
    ) -> None:
        """`base_url` is the API's address, `files_url` that of the files."""
        super().__init__(transport, base_url)
        self._files_url, self._studio = files_url.rstrip("/"), studio

    def create_job(
        self,
        preset: str,
        inputs: Mapping[str, Any],
        title: str | None = None,
        callback: str | None = None,
    ) -> Job:
        """Start a job. Billed; sent once. `callback` is posted to when it has ended.

        Raises: SubmitOutcomeUnknown, when a job may have been bought; another ProviderError.
        """
        return read_job(self.send(self.create_job_request(preset, inputs, title, callback)))

    def create_job_request(
        self, preset: str, inputs: Mapping[str, Any], title: str | None, callback: str | None
    ) -> ApiRequest:
        """Return the call that `create_job` sends."""
        optional = {"title": title, "studio": self._studio, "callback": callback}
        body = {"preset": preset, "inputs": dict(inputs)}
        body |= {name: value for name, value in optional.items() if value is not None}
        return self._request("create_job", "POST", "/jobs", resend=Resend.NEVER, json=body)

    def get_job(self, job_id: str) -> Job:
        """Ask for a job. Safe to repeat; costs nothing."""
        path = f"/jobs/{read.path_part(job_id)}"
        return read_job(self._call("get_job", "GET", path, provider_run_id=job_id))

    def stop_job(self, job_id: str) -> Job:
        """Stop a job; one that ended before is returned as it is. Safe to repeat."""
        path = f"/jobs/{read.path_part(job_id)}"
        return read_job(self._call("stop_job", "DELETE", path, provider_run_id=job_id))

    def get_preset(self, name: str) -> Preset:
        """Ask for a preset. Safe to repeat; costs nothing."""
        reply = self._call("get_preset", "GET", f"/presets/{read.path_part(name)}")
        preset = reply.read(Preset)
        if preset.name != name:
            raise reply.unexpected("the answer is another preset")
        return preset

    def get_account(self) -> Mapping[str, Any]:
        """Ask whose key this is. Safe to repeat; costs nothing."""
        return self._call("get_account", "GET", "/account").document()

    def upload_picture(self, content: bytes, file_name: str, media_type: str) -> Upload:
        """Upload a picture that jobs may take. Not billed; a second copy does no harm."""
        upload = API.request(
            "upload_picture",
            "POST",
            f"{self._files_url}/uploads",
            source=FILES_PAGE,
            files={"file": (file_name, content, media_type)},
        )
        return self.send(upload).read(Upload)

    def open_picture(
        self, picture_id: str, *, max_bytes: int = MAX_DOWNLOAD_BYTES
    ) -> AbstractContextManager[Download]:
        """Stream a picture by its id, with the key."""
        url = f"{self._files_url}/pictures/{read.path_part(picture_id)}"
        return self._open("open_picture", url, max_bytes, source=FILES_PAGE)


def read_job(reply: AnsweredRequest) -> Job:
    """Read `{job: {…}}`. Raises: as `AnsweredRequest` says."""
    job = reply.read(Job, read.members(reply.document().get("job")))
    if reply.request.provider_run_id not in (None, job.id):
        raise reply.unexpected("the answer is another job")
    return job


class LumenProvider(ProviderAdapter[LumenClient]):
    """Lumen behind the verbs of `Provider` and `TakesFiles`."""

    name = NAME
    capabilities = Capabilities(cancel=True, durable_outputs=True)

    def __init__(
        self, transport: Transport, base_url: str, files_url: str, studio: str | None = None
    ) -> None:
        """`studio` is the account's part that jobs are counted under."""
        super().__init__(transport, LumenClient(transport, base_url, files_url, studio))

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Ask for a preset; see `Provider`."""
        del read_file
        try:
            preset = self.client.get_preset(reference)
        except NotFound as error:
            raise ConfigurationError(f"Lumen has no preset {reference!r}: {error}") from error
        inputs = [declared.model_dump() for declared in preset.inputs]
        return Workflow(
            reference=reference,
            version=stable_hash([reference, preset.revision, str(preset.price), inputs]),
            body={"preset": reference},
            parameters=tuple(_parameter(declared) for declared in preset.inputs),
            price_usd=preset.price,
        )

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the call that makes the job; see `Provider`."""
        preset = request.workflow.body["preset"]
        return self.client.create_job_request(
            preset, request.parameters, request.label, request.callback_url
        )

    def read_receipt(self, reply: AnsweredRequest) -> Receipt:
        """Read the answer to a submit; see `ProviderAdapter`."""
        job = reply.read(AcceptedJob, read.members(reply.document().get("job")))
        return Receipt(provider_run_id=job.id)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a job; see `Provider`."""
        del workflow
        return report_of(self.client.get_job(provider_run_id))

    def send_cancel(self, provider_run_id: str) -> None:
        """Stop a job; see `ProviderAdapter`."""
        self.client.stop_job(provider_run_id)

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream a picture by its id; see `Provider`."""
        return self.client.open_picture(output.output_id, max_bytes=max_bytes)

    def upload_input(self, file: InputFile) -> str:
        """Upload a picture; return its id. See `TakesFiles`."""
        return self.client.upload_picture(file.content, file.file_name, file.media_type).id

    def input_value(self, uploaded: str) -> str:
        """Return what an input takes for an upload: it follows from the id. See `TakesFiles`."""
        return f"upload:{uploaded}"


def report_of(job: Job) -> RunReport:
    """Return what the rooms above need to know of a job."""
    state = STATES.get(job.phase)
    failed = state is SubmissionState.FAILED
    code = read.code(job.trouble.get("code"))
    return RunReport(
        provider_run_id=job.id,
        state=state,
        provider_status=job.phase,
        started_at=job.started,
        finished_at=job.ended,
        charged_usd=job.charged,
        outputs=tuple(_output(index, picture) for index, picture in enumerate(job.pictures)),
        error_code=(code or "broken") if failed else None,
        error_message=(read.prose(job.trouble.get("text")) or "broken") if failed else None,
        account_problem=failed and code == OUT_OF_CREDIT,
    )


def _output(index: int, picture: Picture) -> OutputRef:
    return OutputRef(
        # A picture without an id cannot be fetched; left out, it would be lost without a word.
        output_id=picture.id or f"(no id) {index}",
        file_name=picture.file,
        size_bytes=picture.bytes,
    )


def _parameter(declared: PresetInput) -> ParameterSpec:
    return ParameterSpec(
        name=declared.name,
        type=KINDS.get(declared.kind or "", "any"),
        required=declared.needed is True,
        default=declared.unless,
    )


# -- callbacks --


def read_callback(request: CallbackRequest) -> Callback:
    """Verify and read `{event, job, phase}`; source: lumen.example/docs/callbacks.

    `Lumen-Signature` is the HMAC-SHA256, in hex, of `Lumen-Sent`, a dot, and the body.
    Raises: CallbackRefused.
    """
    sent, signature = (request.headers.get(f"lumen-{it}", "") for it in ("sent", "signature"))
    digests = [sign(secret, sent, request.body) for secret in request.secrets if secret]
    # Every pair is compared, so that the time it takes tells nothing.
    matches = [hmac.compare_digest(signature.encode("utf-8", "replace"), one) for one in digests]
    if not any(matches):
        raise CallbackRefused("no signature fits")
    try:
        document = read.members(json.loads(request.body))
    except (ValueError, RecursionError):
        document = {}
    sent_at = read.moment(sent)
    if sent_at is None or abs((request.now - sent_at).total_seconds()) > TOLERANCE_SECONDS:
        raise CallbackRefused("it is too old, of the future, or does not say when it was sent")
    state = STATES.get(read.text(document.get("phase")) or "")
    return Callback(
        provider_run_id=read.identifier(document.get("job")),
        event_id=read.identifier(document.get("event")),
        ended=state in ENDED,
    )


def sign(secret: Secret, sent: str, body: bytes) -> bytes:
    """Return the signature, as the header writes it, of a body sent at `sent`."""
    signed = sent.encode("utf-8", "replace") + b"." + body
    return hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest().encode()


# -- the profile: what the rooms above know before they use it --

CALLS = documented(
    JOBS_PAGE,
    create_job="POST /jobs",
    get_job="GET /jobs/{id}",
    stop_job="DELETE /jobs/{id}",
    get_preset="GET /presets/{name}",
    get_account="GET /account",
) + documented(
    FILES_PAGE,
    upload_picture="POST {files_url}/uploads",
    open_picture="GET {files_url}/pictures/{id}",
)

PROFILE = ProviderProfile(
    name=NAME,
    title="Lumen",
    documentation="https://lumen.example/docs",
    key_variable="LUMEN_API_KEY",
    key_prefixes=("lumen_key_",),
    urls={"base_url": "https://api.lumen.example", "files_url": "https://files.lumen.example"},
    url_variables={"base_url": "LUMEN_BASE_URL", "files_url": "LUMEN_FILES_URL"},
    other_variables={"studio": "LUMEN_STUDIO"},
    rate_limit=RateLimit(requests=120, per_seconds=60.0),
    probe=lambda url: API.request("get_account", "GET", f"{url}/account"),
    capabilities=LumenProvider.capabilities,
    calls=CALLS,
    read_callback=read_callback,
    callback_secret_variable=SIGNING_VARIABLE,
    connect=LumenProvider,
)
