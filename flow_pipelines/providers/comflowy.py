"""Comflowy: ComfyUI workflows saved at Comflowy, run by their id with values for their nodes.

Source: comflowy.com/blog/comflowy-api, one page of June 2024 that is the whole documentation. It
shows the answers' types and nothing of errors, limits or lifetimes. How Comflowy words failures is
taken from its own client of sibling calls, github.com/6174/comflowy-nodes: the HTTP status is
looked at first, then `success`, then `error`. Nothing lists workflows, their parameters or runs,
cancels a run, or tells what it cost: a run whose id was lost cannot be found again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from flow_pipelines.batches.graphs import is_node_parameter
from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import OutputRef, Receipt, RunReport, SubmissionState, Workflow
from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import ConfigurationError, OutputRefused, RequestRejected
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
    SignIn,
    SubmitRequest,
    Transport,
    Verdict,
    expect_object,
    unexpected,
)

NAME = "comflowy"
API_PAGE = "comflowy.com/blog/comflowy-api"

STATES: Mapping[str, SubmissionState] = {
    "waiting": SubmissionState.QUEUED,
    "pending": SubmissionState.QUEUED,
    "running": SubmissionState.RUNNING,
    "success": SubmissionState.SUCCEEDED,
    "failed": SubmissionState.FAILED,
}
"""Comflowy's words; how `waiting` and `pending` differ is not documented."""

UNAUTHORIZED, OUT_OF_CREDIT = "unauthorized", "out_of_credit"
_TELLING: Mapping[str, re.Pattern[str]] = {
    "rate_limited": re.compile(r"too many requests|rate.?limit"),
    UNAUTHORIZED: re.compile(
        r"\bunauthori[sz]ed\b|\bunauthenticated\b|\b(invalid|expired) (\w+ )?token\b|"
        r"\b(token|jwt)\b.{0,20}\b(invalid|expired)\b"
    ),
    OUT_OF_CREDIT: re.compile(
        r"\b(insufficient|not enough|out of|exceed\w*)\b.{0,30}\b(credits?|balance|quota)\b|"
        r"\b(credits?|balance|quota)\b.{0,30}\b(insufficient|not enough|too low|exceeded|"
        r"exhausted|used up)\b"
    ),
    "not_found": re.compile(
        r"\b(workflow|run)\b[ :'\"]*([\w-]{8,80}\b[ '\"]*)?(was |is |could )?"
        r"(not (be )?found|does not exist)\b"
    ),
}
"""Our codes → what an error text has to say to mean them: Comflowy documents no codes."""
_LOOKED_AT = 300
"""Characters of an error text; further on it may be quoting somebody's prompt."""
_SAYS_NOTHING_ITSELF = frozenset({400, 422})
"""Error statuses whose text may say more; all others speak for themselves."""
VERDICTS: Mapping[int | str, Verdict] = {
    "rate_limited": Verdict.UNAVAILABLE,
    UNAUTHORIZED: Verdict.ACCOUNT,
    OUT_OF_CREDIT: Verdict.ACCOUNT,
    "not_found": Verdict.NOT_FOUND,
}

_RUN_ID = re.compile(r"[!-~]{1,200}")
_WORKFLOW_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_VIEW_PARAMETERS = frozenset({"filename", "subfolder", "type"})
"""What names a file in the query of ComfyUI's own `/view`; the rest of a query may be a signature.
Source: docs.comfy.org/development/comfyui-server/comms_routes."""
_USD = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as Comflowy tells of it."""

    id: str
    status: str
    error: str | None
    """Of undocumented shape, so as text, shortened."""
    output_images: tuple[Any, ...] = field(repr=False)
    """Links, normally: each opens a picture for whoever holds it. Keep them out of logs."""
    full_outputs: Mapping[str, Any] = field(repr=False)
    """Node id → `{images: [link, …]}`."""


class ComflowyClient:
    """Comflowy's documented calls. Opens no connection itself; safe to share between threads.

    The access token that they need is the transport's business (`SIGN_IN`).
    """

    def __init__(self, transport: Transport, base_url: str) -> None:
        """`base_url` is the API's address, up to and with its version."""
        self._transport, self._base_url = transport, base_url.rstrip("/")

    def run(
        self,
        workflow_id: str,
        params: Mapping[str, Any],
        callback_urls: Mapping[str, str] | None = None,
    ) -> str:
        """Run a saved workflow with `params` (`"<node id>::<field>"` → value); give the run's id.

        Billed; sent once. `callback_urls` (`on_result_url`, `on_progress_event_url`) are posted to
        unsigned, and only the result names its run: confirm what they say with `check`.
        """
        body: dict[str, Any] = {"workflow_id": workflow_id, "params": dict(params)}
        if callback_urls is not None:
            body["callback_urls"] = dict(callback_urls)
        # `success: false` without a run id: nothing was created, so this request is at fault.
        verdicts = {**VERDICTS, 200: Verdict.REJECTED}
        request, answer = self._post(
            "run", resend=Resend.NEVER, json=body, is_error=_created_nothing, verdicts=verdicts
        )
        run_id = _run_id(expect_object(NAME, request, answer))
        if run_id is None:
            raise unexpected(NAME, request, answer, "the answer holds no usable run id")
        return run_id

    def check(self, run_id: str) -> Run:
        """Ask for a run. Safe to repeat; costs nothing. Documented as a POST, with no body."""
        request, answer = self._post(
            "check", params={"id": run_id}, is_error=_tells_nothing, provider_run_id=run_id
        )
        data = _data(expect_object(NAME, request, answer))
        status, images = read.text(data.get("status")), data.get("output_images") or []
        if status is None or not isinstance(images, list):
            raise unexpected(NAME, request, answer, "the answer holds no status, or no list")
        full_outputs = data.get("full_outputs")
        return Run(
            id=run_id,
            status=status[:100],
            error=read.prose(data.get("error")),
            output_images=tuple(images),
            full_outputs=full_outputs if isinstance(full_outputs, dict) else {},
        )

    def download(
        self, url: str, *, max_bytes: int = 256 * 1024 * 1024
    ) -> AbstractContextManager[Download]:
        """Stream an output by a link from `check`. How long links live is not documented.

        Raises: ProviderError, OutputRefused, TransferError.
        """
        request = ApiRequest(
            operation="download",
            method="GET",
            url=url,
            resend=Resend.SAFE,
            source=API_PAGE,
            paced=False,
            read_error=read_error,
        )
        return self._transport.open(request, max_bytes=max_bytes)

    def _post(self, operation: str, **rest: Any) -> tuple[ApiRequest, ApiAnswer]:
        declared = {"resend": Resend.SAFE, "verdicts": VERDICTS, **rest}
        request = ApiRequest(
            operation=operation,
            method="POST",
            url=f"{self._base_url}/{operation}",
            source=API_PAGE,
            read_error=read_error,
            **declared,
        )
        return request, self._transport.send(request)


class ComflowyProvider:
    """Comflowy behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities(cached_when_identical=True)

    def __init__(self, transport: Transport, base_url: str) -> None:
        """`base_url` is the API's address."""
        self._transport = transport
        self.client = ComflowyClient(transport, base_url)

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Take a workflow by its id, without a request: no call tells anything about one."""
        del read_file
        if not _WORKFLOW_ID.fullmatch(reference) or reference.endswith(".json"):
            raise ConfigurationError(
                f"{reference!r} is not a workflow id of Comflowy: in its editor, the address ends "
                "with ?id= and the id"
            )
        return Workflow(
            reference=reference,
            version=stable_hash([NAME, reference]),
            body={"workflow_id": reference},
            closed=False,
            node_parameters=True,
        )

    def take_turn(self, lane: Lane) -> None:
        """Wait for a turn; see `provider.Provider`."""
        self._transport.take_turn(lane)

    def submit(self, request: SubmitRequest) -> Receipt:
        """Buy one run; nothing that is sent names the submission. See `provider.Provider`."""
        wrong = [name for name in request.parameters if not is_node_parameter(name)]
        if wrong:
            # Nothing was sent, and nobody should have to find that out.
            why = f'{wrong[0]!r} is not written "<node id>::<field>"'
            raise RequestRejected(why, provider=NAME, operation="run")
        workflow_id = request.workflow.body["workflow_id"]
        return Receipt(provider_run_id=self.client.run(workflow_id, request.parameters))

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a run; see `provider.Provider`."""
        del workflow
        return _report(self.client.check(provider_run_id))

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Raise ConfigurationError: Comflowy documents no such call."""
        del workflow
        raise ConfigurationError(f"Comflowy has no way to cancel a run, {provider_run_id} neither")

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Find nothing: Comflowy documents no list of runs."""
        del request, since
        return ()

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by its link; see `provider.Provider`."""
        if output.url is None:
            raise OutputRefused(f"{NAME}: output {output.output_id} has no link that opens it")
        return self.client.download(output.url, max_bytes=max_bytes)

    def cost_usd(
        self, report: RunReport, price_usd_per_run: Decimal | None
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "unknown"]]:
        """Take the batch's figure for a run that succeeded; what failed runs cost is unknown."""
        if report.state is SubmissionState.SUCCEEDED and price_usd_per_run is not None:
            return price_usd_per_run.quantize(_USD), "estimated"
        return None, "unknown"

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Give the batch's own figure: Comflowy counts credits, and no answer tells them."""
        del workflow
        return price_usd_per_run


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{success: false, error?}` into one of our codes and a bounded text."""
    document = answer.json()
    said = document.get("error") or document.get("message") or _data(document).get("error")
    message = read.prose(said, 500) or ""
    silent = answer.status < 300 or answer.status in _SAYS_NOTHING_ITSELF  # noqa: PLR2004 - HTTP's own class of good answers
    return ErrorBody(code=_meaning(message) if silent else None, message=message)


def _meaning(message: str) -> str | None:
    text = message[:_LOOKED_AT].lower()
    return next((code for code, pattern in _TELLING.items() if pattern.search(text)), None)


def _says_no(answer: ApiAnswer) -> bool:
    return answer.json().get("success") is False


def _created_nothing(answer: ApiAnswer) -> bool:
    """Tell a refusal; a run id is a receipt, whatever stands beside it."""
    return _says_no(answer) and _run_id(answer.json()) is None


def _tells_nothing(answer: ApiAnswer) -> bool:
    """Tell an error from a run that failed, should that come with `success: false` too."""
    status = _data(answer.json()).get("status")
    return _says_no(answer) and STATES.get(str(status).lower()) is not SubmissionState.FAILED


def _data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    data = document.get("data")
    return data if isinstance(data, dict) else {}


def _run_id(document: Mapping[str, Any]) -> str | None:
    value = _data(document).get("run_id")
    whole = read.count(value)
    found = value if whole is None else str(whole)
    return found if isinstance(found, str) and _RUN_ID.fullmatch(found) else None


def _report(run: Run) -> RunReport:
    state = STATES.get(run.status.lower())
    failed = state is SubmissionState.FAILED
    return RunReport(
        provider_run_id=run.id,
        state=state,
        provider_status=run.status,
        outputs=_outputs(run),
        error_code=run.status.lower() if failed else None,
        error_message=(run.error or f"Comflowy says: {run.status}") if failed else None,
        account_problem=failed and _meaning(run.error or "") == OUT_OF_CREDIT,
    )


def _outputs(run: Run) -> tuple[OutputRef, ...]:
    """Give every output once: those of `output_images` in order, then what only nodes name."""
    found = [_output(index, link) for index, link in enumerate(run.output_images)]
    found += [_output(-1, link) for link in _links_of_nodes(run.full_outputs)]
    once: dict[str, OutputRef] = {}
    for ref in found:
        once.setdefault(ref.output_id, ref)
    return tuple(once.values())


def _links_of_nodes(full_outputs: Mapping[str, Any]) -> Iterator[str]:
    for node_id in sorted(full_outputs, key=lambda name: (len(name), name)):
        node = full_outputs[node_id]
        images = node.get("images") if isinstance(node, dict) else None
        if isinstance(images, list):
            yield from (link for link in images if _parts(link) is not None)


def _output(index: int, link: Any) -> OutputRef:
    """Name an output by what its link does not change when it is signed anew."""
    parts = _parts(link)
    if parts is None:
        # It cannot be fetched; left out, it would be lost without a word.
        return OutputRef(output_id=f"(no link) {index}")
    host, path, query = parts
    return OutputRef(
        output_id=stable_hash([host, path, *sorted(query.items())])[:24],
        file_name=(query.get("filename") or unquote(path).rpartition("/")[2])[-255:] or None,
        url=link,
    )


def _parts(link: Any) -> tuple[str, str, dict[str, str]] | None:
    """Split a link into host, path and what of its query names a file; None: it is no link."""
    try:
        parts = urlsplit(link if isinstance(link, str) else "")
        host = parts.hostname
        query = {k: v for k, v in parse_qsl(parts.query) if k in _VIEW_PARAMETERS}
    except ValueError:
        return None
    return (host, parts.path, query) if host and parts.scheme in {"http", "https"} else None


def _token_request(base_url: str) -> ApiRequest:
    """Ask for an access token. The page names no method; it calls the address `GET_API`."""
    return ApiRequest(
        operation="get_token",
        method="GET",
        url=f"{base_url.rstrip('/')}/auth/token",
        resend=Resend.SAFE,
        source=API_PAGE,
        key_parameter="ppt",
        paced=False,
        is_error=_says_no,
        read_error=read_error,
        verdicts={**VERDICTS, 200: Verdict.ACCOUNT},
    )


SIGN_IN = SignIn(
    request=_token_request,
    read_token=lambda answer: read.text(answer.json().get("access_token")),
    refusals=frozenset({401, UNAUTHORIZED}),
)
"""How long a token lives and how one that has ended is refused is not documented."""

PROFILE = ProviderProfile(
    name=NAME,
    title="Comflowy",
    documentation="https://www.comflowy.com/blog/comflowy-api",
    key_variable="COMFLOWY_API_KEY",
    urls={"base_url": "https://app.comflowy.com/api/open/v0"},
    url_variables={"base_url": "COMFLOWY_BASE_URL"},
    # Ours: Comflowy publishes no limit. `requests_per_minute` of the resource is another.
    rate_limit=RateLimit(requests=60, per_seconds=60.0),
    sign_in=SIGN_IN,
    capabilities=ComflowyProvider.capabilities,
    connect=ComflowyProvider,
)
