"""The seam: what a provider's file has to offer, and the ports that rooms above fill in.

A provider's file builds `ApiRequest`s and reads `ApiAnswer`s. It never opens a socket, waits,
retries or decides what an error means for a submission: `flow_pipelines.transport` does, from
what each request declares about itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol

from flow_pipelines.model import json_values
from flow_pipelines.model.errors import SubmitOutcomeUnknown, UnexpectedAnswer
from flow_pipelines.model.output import OutputRef, Receipt, RunReport
from flow_pipelines.model.workflow import Workflow


class Resend(StrEnum):
    """What a second copy of a request would do at the provider."""

    SAFE = "safe"
    """Nothing more than the first: the transport may repeat it within its budget."""
    REPLAYS = "replays"
    """The provider recognizes the copy by its documented key and answers with the first run.
    The transport still sends it once; only `lifecycle.recover` may replay it, later."""
    NEVER = "never"
    """A second copy buys a second time. It leaves this machine at most once."""


class Verdict(StrEnum):
    """What an error answer proves."""

    UNAVAILABLE = "unavailable"
    """Nothing was accepted; the same request may succeed later (429, 503 of a read)."""
    ACCOUNT = "account"
    """Nothing was accepted; key, rights or credit are at fault."""
    REJECTED = "rejected"
    """Nothing was accepted; this request is at fault."""
    NOT_FOUND = "not_found"
    """Nothing was accepted; what it names does not exist."""
    KEY_KNOWN = "key_known"
    """The idempotency key was used before: there is a run to look up."""
    UNKNOWN = "unknown"
    """Nothing is proven: a paid request with this answer is unresolved."""


class Lane(StrEnum):
    """Who asks for a turn under a provider's rate limit."""

    SUBMIT = "submit"
    POLL = "poll"


@dataclass(frozen=True, kw_only=True)
class ApiAnswer:
    """A complete answer of a provider, bounded in size."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Parse the body. Raises: ValueError, for anything but JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class ErrorBody:
    """What a provider says in an error answer."""

    code: str | None = None
    message: str = ""
    fields: Sequence[Mapping[str, Any]] = ()
    retry_after_seconds: float | None = None
    """From the body; a `Retry-After` header is read by the transport."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What an answer says of the rate limit that its request was counted under."""

    remaining: int
    """Requests that the present window still takes."""
    resets_at: datetime
    """When the next window begins."""


def read_no_quota(_answer: ApiAnswer) -> Quota | None:
    """Read nothing: for providers that document no headers of a rate limit."""
    return None


def read_no_error(_answer: ApiAnswer) -> ErrorBody:
    """Read nothing from an error answer: for calls whose errors have no documented body."""
    return ErrorBody()


def status_is_error(answer: ApiAnswer) -> bool:
    """Tell whether an answer is an error by its status alone."""
    return answer.status >= 400  # noqa: PLR2004 - HTTP's own line between answers and errors


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    """One call of a provider's API, declaring how it may be treated."""

    operation: str
    """The client's method name, e.g. `create_run`: names the call in errors and logs."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    url: str
    resend: Resend
    source: str
    """The provider's page that documents this call."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Query parameters; may carry a key, so they are never printed unredacted."""
    json: Any = None
    """Body; sent as compact JSON when not None."""
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, bytes, str]] = field(default_factory=dict)
    """Multipart parts: field → (file name, content, media type)."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Extra headers. The key is added by the transport, for the provider's own origins only."""
    authenticated: bool = True
    """False: the key is left out. It is left out anyway for a foreign origin."""
    key_parameter: str | None = None
    """Query parameter for the key, instead of the `Authorization` header (Comflowy's `ppt`)."""
    paced: bool = True
    """False for hosts that the rate limit does not cover (Floyo's CDN)."""
    answers: frozenset[int] = frozenset()
    """Error statuses with a documented meaning: returned, not raised (Floyo's 409 on cancel)."""
    is_error: Callable[[ApiAnswer], bool] = status_is_error
    """Comflowy and FLORA also report failures under 200."""
    read_error: Callable[[ApiAnswer], ErrorBody] = read_no_error
    read_quota: Callable[[ApiAnswer], Quota | None] = read_no_quota
    """Where answers tell what is left of the limit: at nothing, the account is held meanwhile."""
    verdicts: Mapping[int | str, Verdict] = field(default_factory=dict)
    """What the provider's own code, else the HTTP status, proves; asked before the transport's
    default table."""
    provider_run_id: str | None = None
    """For error messages."""


def expect_object(provider: str, request: ApiRequest, answer: ApiAnswer) -> Mapping[str, Any]:
    """Give the JSON object that `answer` has to be.

    Raises: UnexpectedAnswer, for HTML, lists, null and the like; SubmitOutcomeUnknown instead
    where `request` may have bought something.
    """
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    raise unexpected(provider, request, answer, "the answer is not a JSON object")


def expect_objects(
    provider: str, request: ApiRequest, answer: ApiAnswer, *names: str
) -> Sequence[Mapping[str, Any]]:
    """Give the list of JSON objects in `answer`: bare, or under one of `names`, `data`, `items`.

    Raises: as `expect_object`.
    """
    try:
        found = json_values.objects(answer.json(), *names)
    except (ValueError, RecursionError):
        found = None
    if found is None:
        raise unexpected(provider, request, answer, "the answer holds no list")
    return found


def unexpected(
    provider: str, request: ApiRequest, answer: ApiAnswer, why: str
) -> UnexpectedAnswer | SubmitOutcomeUnknown:
    """Build the error for an answer that is not what the provider documents."""
    paid = request.resend is not Resend.SAFE
    return (SubmitOutcomeUnknown if paid else UnexpectedAnswer)(
        why,
        provider=provider,
        operation=request.operation,
        status=answer.status,
        request_id=request_id(answer),
        provider_run_id=request.provider_run_id,
    )


def request_id(answer: ApiAnswer) -> str | None:
    """Give the provider's name for this very answer, which its support asks for."""
    found = answer.headers.get("request-id") or answer.headers.get("x-request-id")
    return found[:200] if found else None


class Download(Protocol):
    """An output's bytes as they arrive."""

    media_type: str | None
    """From `Content-Type`, without parameters."""
    size_bytes: int | None
    """From `Content-Length`, where there is one and no content encoding."""
    file_name: str | None
    """From `Content-Disposition`; never a path."""

    def read(self, size: int = -1, /) -> bytes:
        """Give at most `size` more bytes; empty at the end. Raises: TransferError."""


class Transport(Protocol):
    """All I/O toward one account of one provider. Safe to share between threads."""

    def send(self, request: ApiRequest) -> ApiAnswer:
        """Send a request and give its answer.

        `Resend.SAFE` requests take their turn under the rate limit by themselves and are repeated
        within the retry budget. All others are sent exactly once, at once: their turn is taken
        with `take_turn` before their intent is written.

        Raises: ProviderError, in the class that says what may be done next.
        """

    def take_turn(self, lane: Lane) -> None:
        """Wait for the next free place under the account's rate limit.

        Raises: RateLimited, when the wait would exceed this transport's patience; no turn is used.
        """

    def open(self, request: ApiRequest, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an answer. Raises: ProviderError, OutputRefused (address, size), TransferError."""


class PaceStore(Protocol):
    """Turns under a rate limit, shared by every process that uses one account."""

    def reserve(
        self, key: str, *, interval_seconds: float, burst: int, patience_seconds: float
    ) -> float | None:
        """Reserve the next turn of `key`; give the seconds to wait for it, 0 for at once.

        Turns come every `interval_seconds` in the long run, `burst` of them back to back after
        a rest. None: it would be more than `patience_seconds`; nothing was reserved.
        """

    def hold_until(self, key: str, until: datetime) -> None:
        """Let no turn of `key` begin before `until` (a 429 said so); never shortens a hold."""


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """A provider's published limit."""

    requests: int
    per_seconds: float


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """How a key becomes the token that requests carry in its place, where a provider wants that.

    The transport does it: it keeps the token in memory only, renews it before the end that a JWT
    names, and once for a request that was refused for its token.
    """

    request: Callable[[str], ApiRequest]
    """Base URL → the call that gives a token. It carries the key, is sent as soon as a token is
    needed, and takes no turn under the rate limit: there is one for many requests."""
    read_token: Callable[[ApiAnswer], str | None]
    """The token in its answer; None, or an error of reading, where there is none."""
    refusals: frozenset[int | str] = frozenset({401})
    """Statuses and codes of an `AccountRejected` that a new token may cure. Each has to prove that
    nothing was accepted: the refused request goes out once more, a paid one too."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a provider's API can do; the rest is never asked of it."""

    cancel: bool = False
    find: bool = False
    """Can look for the run of a submission whose answer was lost."""
    finds_by_exclusion: bool = False
    """`find` gives every run it may be: only what other submissions have tells which (FLORA)."""
    replays: bool = False
    """A documented idempotency key makes a second copy harmless."""
    durable_outputs: bool = False
    """Outputs are fetched by id; False: by a URL that only a fresh poll gives."""
    cached_when_identical: bool = False
    """Identical requests are answered from a cache, possibly with no output (ComfyUI)."""
    workflow_is_file: bool = False
    """`workflow` is a file or s3:// URI that we read; False: an id at the provider."""
    flotime: bool = False


@dataclass(frozen=True, kw_only=True)
class SubmitRequest:
    """What an adapter needs to buy one submission. The same value gives the same bytes."""

    submission_key: str
    workflow: Workflow
    parameters: Mapping[str, Any]
    label: str
    """Unique name for people, holding the submission key: `batch/partition/prompt #copy · key`."""


class Provider(Protocol):
    """The adapter: few verbs over one account of one provider. No verb waits or retries."""

    name: str
    capabilities: Capabilities

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Get the workflow that `reference` names, with the parameters it takes. Costs nothing.

        `read_file` reads a relative path or s3:// URI. Raises: ConfigurationError, ProviderError.
        """

    def take_turn(self, lane: Lane) -> None:
        """Wait for a place under the rate limit; see `Transport.take_turn`."""

    def submit(self, request: SubmitRequest) -> Receipt:
        """Buy one provider run. Sent once; billed.

        Raises: the errors of DESIGN §3.1: ProviderUnavailable, AccountRejected, NotFound (all:
        planned again), RequestRejected (failed), KeyAlreadyKnown (look up), and for everything
        else SubmitOutcomeUnknown.
        """

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for the state of a run, outputs included when it has ended. Safe to repeat."""

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Cancel a run; a run that ended before gives its final state. Safe to repeat.

        Raises: ConfigurationError where `capabilities.cancel` is False.
        """

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Look for runs that `request` created after `since`; an empty answer proves nothing.

        Safe to repeat. Empty where `capabilities.find` is False; candidates, each with its
        `created_at`, where `capabilities.finds_by_exclusion`.
        """

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output: by its id where outputs are durable, else by its `url`."""

    def cost_usd(
        self, report: RunReport, price_usd_per_run: Decimal | None
    ) -> tuple[Decimal | None, Literal["charged", "estimated", "unknown"]]:
        """Give what an ended run cost and how that is known.

        `price_usd_per_run` is the batch's own figure, for providers that state no price.
        """

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Give what one run is expected to cost; None: cannot be known before."""


@dataclass(frozen=True, kw_only=True)
class ProviderProfile:
    """What the rooms above have to know of a provider before they use it: one per file."""

    name: str
    """As batches, resource keys, pools and environment variables have it."""
    title: str
    """As the provider writes itself."""
    documentation: str
    """Address of the provider's API documentation."""
    key_variable: str
    """Environment variable of the key."""
    urls: Mapping[str, str]
    """Keyword of `connect` → default; `base_url` first. All are origins that may get the key."""
    url_variables: Mapping[str, str]
    """Keyword of `connect` → environment variable, for every one of `urls`."""
    other_variables: Mapping[str, str] = field(default_factory=dict)
    """Keyword of `connect` → environment variable of a setting that is no address."""
    rate_limit: RateLimit | None = None
    """Per key: as published, or our own modest figure; None: paced by its 429s only."""
    sign_in: SignIn | None = None
    """None: requests carry the key itself."""
    probe: Callable[[str], ApiRequest] | None = None
    """Base URL → a request that changes nothing, is free of charge and fails unless the key works;
    None: the sign-in is that."""
    probe_leaves_open: str = ""
    """What the probe cannot show of the key's rights, for people."""
    output_hosts: Sequence[str] = ()
    """Hosts of outputs besides `urls`, `.domain` for all below it; empty: every public host."""
    capabilities: Capabilities = field(default_factory=Capabilities)
    connect: Callable[..., Provider]
    """`connect(transport, base_url=…, <the other keywords>)`: the adapter, with its typed client
    as `client`. Opens no connection."""
