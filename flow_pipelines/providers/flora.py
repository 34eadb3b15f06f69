"""FLORA: techniques, saved workflows with typed inputs and a price of their own.

Sources: developer.flora.ai, FLORA's OpenAPI document and SDK (@flora-ai/flora 0.11.0). Their three
accounts of idempotency do not agree, so a run is created in the one way that is right under each:
the key in the body and in the header, the same bytes every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice, takewhile
from typing import Any, Literal

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import OutputRef, ParameterSpec, Receipt, RunReport, Workflow
from flow_pipelines.model import SubmissionState as S
from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import ConfigurationError, NotFound, OutputRefused, RequestRejected
from flow_pipelines.model.output import with_names_apart
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

NAME, API_PAGE = "flora", "developer.flora.ai/api-reference"
STATES: Mapping[str, S] = {
    "pending": S.QUEUED,
    "running": S.RUNNING,
    "completed": S.SUCCEEDED,
    "failed": S.FAILED,
}
CREATE_VERDICTS: Mapping[int | str, Verdict] = {
    "idempotency_duplicate": Verdict.KEY_KNOWN,  # 409, the OpenAPI document
    "idempotency_conflict": Verdict.KEY_KNOWN,  # 422, platform/idempotency
    "conflict": Verdict.REJECTED,  # 409, platform/errors
    409: Verdict.KEY_KNOWN,  # in words nobody documents: only a look at the runs can tell
}
WAIT_AFTER_429_SECONDS = 5.0  # where no `retry-after` is given; as FLORA's own sample does
INPUT_TYPES = ("text", "imageUrl", "videoUrl", "audioUrl", "documentUrl")
"""As the SDK spells them; older pages have `image_url` and `IMAGE_URL` too."""
OUTPUT_HOSTS = (".flora.ai", ".googleapis.com", ".amazonaws.com", ".imagekit.io")
"""FLORA's media, Google's and Amazon's storage, ImageKit."""
PAGE_ITEMS, MAX_PAGES, MAX_FOUND = 100, 100, 1000
"""A page is the most that FLORA gives at once; the other two are bounds of ours."""
_USD = Decimal("0.000001")
Method = Literal["GET", "POST"]


@dataclass(frozen=True, kw_only=True)
class Technique:
    """A technique as FLORA defines it."""

    technique_id: str
    slug: str | None
    run_cost_usd: Decimal | None
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[Mapping[str, Any]]
    """`id`, `type` as FLORA spells it, and `optional` of each."""


class FloraClient:
    """FLORA's documented calls, answered in our words. Safe to share between threads."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        self._transport, self._base_url = transport, base_url.rstrip("/")

    def list_workspaces(self) -> Mapping[str, str | None]:
        """Give id → name of the workspaces that the key may use. Costs nothing."""
        request, answer = self._send("list_workspaces", "GET", "/workspaces")
        items = expect_objects(NAME, request, answer, "workspaces")
        named = {read.identifier(item.get("workspace_id")): item.get("name") for item in items}
        return {found: read.text(name) for found, name in named.items() if found}

    def list_techniques(
        self, query: str | None = None, workspace_id: str | None = None
    ) -> Iterator[Technique]:
        """Go through techniques, asking for a page at a time. Costs nothing."""
        params = _given(query=query, workspace_id=workspace_id)
        for request, answer, items in self._pages("list_techniques", "/techniques", params):
            yield from (_technique(request, answer, item) for item in items)

    def retrieve_technique(self, technique: str) -> Technique:
        """Ask for a technique by its slug or `tech_…` id. Safe to repeat; costs nothing."""
        path = f"/techniques/{read.path_part(technique)}"
        request, answer = self._send("retrieve_technique", "GET", path)
        return _technique(request, answer, expect_object(NAME, request, answer))

    def create_technique_run(
        self,
        slug: str,
        inputs: Sequence[Mapping[str, str]],
        idempotency_key: str | None = None,
        callback_url: str | None = None,
    ) -> Receipt:
        """Run a technique on `inputs` (`{id, type, value}` each). Billed; sent once.

        With `idempotency_key`, a copy within two hours runs nothing again: it is answered with the
        first run, or with 409 or 422 (KeyAlreadyKnown). Two sent at the same time may both run.
        """
        body: dict[str, Any] = {"inputs": [dict(one) for one in inputs], "mode": "async"}
        request, answer = self._send(
            "create_technique_run",
            "POST",
            f"/techniques/{read.path_part(slug)}/runs",
            resend=Resend.REPLAYS if idempotency_key else Resend.NEVER,
            json=body | _given(idempotency_key=idempotency_key, callback_url=callback_url),
            headers={"Idempotency-Key": idempotency_key} if idempotency_key else {},
            verdicts=CREATE_VERDICTS,
            source="developer.flora.ai/platform/idempotency",
        )
        if receipt := _receipt(expect_object(NAME, request, answer)):
            return receipt
        raise unexpected(NAME, request, answer, "the answer holds no usable run id")

    def retrieve_technique_run(self, slug: str, run_id: str) -> RunReport:
        """Ask for a run of a technique. Safe to repeat; costs nothing."""
        path = f"/techniques/{read.path_part(slug)}/runs/{read.path_part(run_id)}"
        request, answer = self._send("retrieve_technique_run", "GET", path, provider_run_id=run_id)
        document = expect_object(NAME, request, answer)
        report, listed = _report(run_id, document), isinstance(document.get("outputs") or [], list)
        if document.get("run_id") != run_id or not report.provider_status or not listed:
            raise unexpected(NAME, request, answer, "the answer is not this run, whole")
        return report

    def list_technique_runs(
        self, technique_id: str | None = None, workspace_id: str | None = None
    ) -> Iterator[Receipt]:
        """Go through technique runs, newest first, a page at a time. Costs nothing."""
        params = _given(technique_id=technique_id, workspace_id=workspace_id)
        for _, _, items in self._pages("list_technique_runs", "/technique-runs", params):
            for item in items:
                other = read.members(item.get("technique")).get("technique_id", technique_id)
                if technique_id in (None, other) and (receipt := _receipt(item)):
                    yield receipt

    def download_output(
        self, url: str, *, max_bytes: int = 256 * 1024 * 1024
    ) -> AbstractContextManager[Download]:
        """Stream an output by the link in its run, without the key; see `Provider.fetch`."""
        request = _request("download_output", "GET", url, authenticated=False, paced=False)
        return self._transport.open(request, max_bytes=max_bytes)

    def _pages(
        self, operation: str, path: str, params: Mapping[str, str]
    ) -> Iterator[tuple[ApiRequest, ApiAnswer, Sequence[Mapping[str, Any]]]]:
        """Follow `meta.next_cursor`: to its end, or for `MAX_PAGES`."""
        plural, cursor = path[1:].replace("-", "_"), None
        for _ in range(MAX_PAGES):
            page = {**params, "limit": str(PAGE_ITEMS), **_given(cursor=cursor)}
            request, answer = self._send(operation, "GET", path, params=page)
            yield request, answer, expect_objects(NAME, request, answer, plural, "runs")
            meta = read.members(expect_object(NAME, request, answer).get("meta"))
            cursor = read.text(meta.get("next_cursor"))
            if cursor in (None, page.get("cursor")):
                return

    def _send(
        self, operation: str, method: Method, path: str, **declared: Any
    ) -> tuple[ApiRequest, ApiAnswer]:
        request = _request(operation, method, f"{self._base_url}{path}", **declared)
        return request, self._transport.send(request)


class FloraProvider:
    """FLORA behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities(find=True, finds_by_exclusion=True, replays=True)

    def __init__(
        self, transport: Transport, base_url: str, *, workspace_id: str | None = None
    ) -> None:
        self._transport, self._workspace_id = transport, workspace_id
        self.client = FloraClient(transport, base_url)

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Ask for the technique of this slug or id; see `provider.Provider`."""
        del read_file
        try:
            technique = self.client.retrieve_technique(reference)
        except NotFound as error:
            raise ConfigurationError(f"FLORA gives this key no technique {reference!r}") from error
        return _workflow(reference, technique)

    def take_turn(self, lane: Lane) -> None:
        """Wait for a turn; see `provider.Provider`."""
        self._transport.take_turn(lane)

    def submit(self, request: SubmitRequest) -> Receipt:
        """Buy one run under `request.submission_key`; see `provider.Provider`."""
        slug, inputs = request.workflow.body["slug"], _inputs(request)
        return self.client.create_technique_run(slug, inputs, request.submission_key)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a run; see `provider.Provider`."""
        return self.client.retrieve_technique_run(workflow.body["slug"], provider_run_id)

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Refuse: FLORA documents no way to cancel."""
        raise ConfigurationError(f"FLORA cancels no run: {provider_run_id}, {workflow.reference}")

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Give every run of the technique created since `since`; see `provider.Provider`.

        None at all when there are too many to see them all: the one sought may be behind them.
        """
        technique_id = request.workflow.body["technique_id"]
        listed = self.client.list_technique_runs(technique_id, self._workspace())
        recent = takewhile(lambda one: (one.created_at or since) >= since, listed)
        found = {one.provider_run_id: one for one in islice(recent, MAX_FOUND)}
        return () if len(found) == MAX_FOUND else tuple(found.values())

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by the link of a fresh poll; see `provider.Provider`."""
        if output.url is None:
            raise OutputRefused(f"{NAME}: output {output.output_id!r} has no link")
        return self.client.download_output(output.url, max_bytes=max_bytes)

    def cost_usd(
        self, report: RunReport, price_usd_per_run: Decimal | None
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "unknown"]]:
        """Give what was charged; nothing for what FLORA calls failed; else estimate the price."""
        charged = report.charged_usd
        if charged is None and STATES.get(report.provider_status.lower()) is S.FAILED:
            charged = Decimal(0)  # failed generations are not charged, says FLORA
        cost = price_usd_per_run if charged is None else charged
        if cost is None:
            return None, "unknown"
        return cost.quantize(_USD), "estimated" if charged is None else "charged"

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Give FLORA's own price of a run, else the batch's figure."""
        return price_usd_per_run if workflow.price_usd is None else workflow.price_usd

    def _workspace(self) -> str | None:
        """Give the workspace to look in; None, for all that the key sees, where there are many."""
        found = [] if self._workspace_id else list(self.client.list_workspaces())
        self._workspace_id = found[0] if len(found) == 1 else self._workspace_id
        return self._workspace_id


PROFILE = ProviderProfile(
    name=NAME,
    title="FLORA",
    documentation="https://developer.flora.ai",
    key_variable="FLORA_API_KEY",
    urls={"base_url": "https://app.flora.ai/api/v1"},
    url_variables={"base_url": "FLORA_BASE_URL"},
    other_variables={"workspace_id": "FLORA_WORKSPACE_ID"},
    rate_limit=RateLimit(requests=60, per_seconds=60.0),  # ours: FLORA has one and tells none
    probe=lambda url: _request("list_workspaces", "GET", f"{url}/workspaces"),
    output_hosts=OUTPUT_HOSTS,
    capabilities=FloraProvider.capabilities,
    connect=FloraProvider,
)


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{error: {code, message, fields?}}`; source: developer.flora.ai/platform/errors."""
    error = answer.json()["error"]
    return ErrorBody(
        code=read.code(error.get("code")),
        message=read.text(error.get("message")) or "",
        fields=read.objects(error.get("fields")) or (),
        retry_after_seconds=WAIT_AFTER_429_SECONDS if answer.status == 429 else None,  # noqa: PLR2004 - HTTP's own
    )


def _request(operation: str, method: Method, url: str, **declared: Any) -> ApiRequest:
    known: dict[str, Any] = {"resend": Resend.SAFE, "source": API_PAGE, "read_error": read_error}
    return ApiRequest(operation=operation, method=method, url=url, **(known | declared))


def input_type(found: str) -> str:
    """Give an input's type as FLORA takes it: `IMAGE_URL` and `image_url` are `imageUrl`."""
    plain = found.replace("_", "").lower()
    return next((known for known in INPUT_TYPES if known.lower() == plain), found)


def _workflow(reference: str, technique: Technique) -> Workflow:
    price = technique.run_cost_usd
    body = {"technique_id": technique.technique_id, "inputs": technique.inputs}
    # The price is part of it: the ledger keeps it with the version, and budgets reserve by it.
    definition = {**body, "outputs": technique.outputs, "run_cost": str(price)}
    return Workflow(
        reference=reference,
        version=stable_hash(definition),
        body={**body, "slug": technique.slug or reference},
        parameters=tuple(
            ParameterSpec(name=one["id"], type="text", required=not one["optional"])
            for one in technique.inputs
        ),
        price_usd=price,
    )


def _inputs(request: SubmitRequest) -> list[dict[str, str]]:
    """Fill in the technique's inputs, in its order; an optional one that is empty is left out."""
    given, inputs = dict(request.parameters), []
    for one in request.workflow.body["inputs"]:
        value = given.pop(one["id"], None)
        if value is not None and not (one["optional"] and value == ""):
            kind = input_type(one["type"])
            inputs.append({"id": one["id"], "type": kind, "value": str(value)})
    if given or not inputs:
        # Nothing was sent, and nobody should have to find that out.
        problem = f"has no input {min(given)!r}" if given else "was given no input"
        problem = f"the technique {request.workflow.reference!r} {problem}"
        raise RequestRejected(problem, provider=NAME, operation="create_technique_run")
    return inputs


def _technique(request: ApiRequest, answer: ApiAnswer, document: Mapping[str, Any]) -> Technique:
    technique_id = read.identifier(document.get("technique_id"))
    inputs, outputs = _ports(document.get("inputs")), _ports(document.get("outputs") or [])
    if technique_id is None or inputs is None or outputs is None:
        raise unexpected(NAME, request, answer, "a technique without usable id, inputs or outputs")
    return Technique(
        technique_id=technique_id,
        slug=read.identifier(document.get("slug")),
        run_cost_usd=read.amount(document.get("run_cost")),
        inputs=inputs,
        outputs=outputs,
    )


def _ports(items: Any) -> Sequence[Mapping[str, Any]] | None:
    """None: something here has no id or type, so that a run could not name it."""
    listed = [read.members(item) for item in items] if isinstance(items, list) else [{}]
    ports = [{name: read.text(one.get(name)) for name in ("id", "type")} for one in listed]
    optional = [{"optional": one.get("optional") is True} for one in listed]
    whole = all(port["id"] and port["type"] for port in ports)
    return [a | b for a, b in zip(ports, optional, strict=True)] if whole else None


def _receipt(document: Mapping[str, Any]) -> Receipt | None:
    """None: it has no id that could be asked for."""
    run_id = read.identifier(document.get("run_id") or document.get("technique_run_id"))
    if run_id is None:
        return None
    report, at = _report(run_id, document), read.epoch_ms(document.get("created_at"))
    status = report.provider_status or None
    return Receipt(provider_run_id=run_id, provider_status=status, report=report, created_at=at)


def _report(run_id: str, document: Mapping[str, Any]) -> RunReport:
    """Read a run; one that failed is answered with 200, too."""
    status = (read.text(document.get("status")) or "")[:100]
    state, code = STATES.get(status.lower()), read.code(document.get("error_code"))
    began, ended = (read.epoch_ms(document.get(at)) for at in ("started_at", "completed_at"))
    percent, outputs = read.amount(document.get("progress")), document.get("outputs")
    listed = outputs if isinstance(outputs, list) else []
    failed = state is S.FAILED
    message = read.prose(document.get("error_message")) or f"FLORA says: {status}"
    return RunReport(
        provider_run_id=run_id,
        state=state,
        provider_status=status,
        started_at=began,
        finished_at=ended,
        run_ms=max(ended - began, timedelta()) // timedelta(milliseconds=1)
        if began and ended
        else None,
        charged_usd=read.amount(document.get("charged_cost")),
        outputs=with_names_apart(_output(index, item) for index, item in enumerate(listed)),
        error_code=(code or "failed") if failed else None,
        error_message=message if failed else None,
        account_problem=code == "insufficient_credits",
        progress=None if percent is None else min(float(percent) / 100, 1.0),
    )


def _output(index: int, item: Any) -> OutputRef:
    document = read.members(item)
    name = (read.text(document.get("output_id")) or f"(no id) {index}")[:200]
    content = read.text(document.get("url"))
    if input_type(read.text(document.get("type")) or "") == "text":
        return OutputRef(output_id=name, kind="text", text=content or "")
    return OutputRef(output_id=name, url=content)


def _given(**params: str | None) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}
