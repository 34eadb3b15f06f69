"""One call of a provider's API, and what it declares about itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


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
    limit: int | None = None
    """Requests that a window takes in all."""


def read_no_quota(_answer: ApiAnswer) -> Quota | None:
    """Read nothing: for providers that document no headers of a rate limit."""
    return None


def read_no_error(_answer: ApiAnswer) -> ErrorBody:
    """Read nothing from an error answer: for calls whose errors have no documented body."""
    return ErrorBody()


def status_is_error(answer: ApiAnswer) -> bool:
    """Return whether an answer is an error by its status alone."""
    return answer.status >= 400  # noqa: PLR2004 - HTTP's own line between answers and errors


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    """One call of a provider's API, declaring how it may be treated."""

    operation: str
    """The client's method name, e.g. `create_run`: names the call in errors and logs."""
    method: Method
    url: str = field(repr=False)
    resend: Resend
    source: str
    """The provider's page that documents this call."""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Query parameters; may carry a key, so they are never printed unredacted."""
    json: Any = field(default=None, repr=False)
    """Body; sent as compact JSON when not None."""
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, tuple[str, bytes, str]] = field(default_factory=dict, repr=False)
    """Multipart parts: field → (file name, content, media type)."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Extra headers. The key is added by the transport, for the provider's own origins only."""
    authenticated: bool = True
    """False: the key is left out. It is left out anyway for a foreign origin."""
    key_parameter: str | None = None
    """Query parameter for the key, instead of the `Authorization` header (Comflowy's `ppt`)."""
    read_seconds: float | None = None
    """Longest wait for this answer, where it may take longer than others; None: as usual."""
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
    default table. Of what may be billed only `KEY_KNOWN` for a status counts."""
    provider_run_id: str | None = None
    """For error messages."""

    def body(self) -> bytes:
        """Return the JSON body as it is sent: the same request, the same bytes. Empty without one.

        Raises: ValueError, TypeError, RecursionError, for what JSON cannot carry.
        """
        if self.json is None:
            return b""
        text = json.dumps(self.json, separators=(",", ":"), allow_nan=False)
        return text.encode("ascii")


@dataclass(frozen=True, kw_only=True)
class DocumentedCall:
    """A call that the provider documents, and what speaks it here."""

    call: str
    """Method and path as documented, e.g. `POST /runs/{runId}/cancel`."""
    operation: str
    """Name of the client's method."""
    source: str
    """The provider's page that documents it."""


def documented(source: str, **calls: str) -> tuple[DocumentedCall, ...]:
    """Return the calls of one page: client's method = method and path as documented."""
    return tuple(
        DocumentedCall(call=call, operation=operation, source=source)
        for operation, call in calls.items()
    )
