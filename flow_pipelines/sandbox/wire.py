"""The seam of the sandbox: what a dialect, one file per provider, has to offer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from flow_pipelines.sandbox.faults import Fault
from flow_pipelines.sandbox.limits import Standing


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One file of a multipart form."""

    file_name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request, read whole."""

    method: str
    path: str
    base_url: str
    """Scheme, host and port that the client used."""
    arguments: Mapping[str, str]
    """From the path."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    form: Mapping[str, str | Upload] = field(default_factory=dict)
    account: str = ""
    """Label of the API key; empty where the call needs none."""
    standing: Standing | None = None
    fault: Fault | None = None
    """For dialects that bend something themselves; most faults happen around them."""

    def json(self) -> Any:
        """Parse the body. Raises: ValueError."""
        return json.loads(self.body)

    @property
    def bearer(self) -> str:
        """The bearer token, or nothing."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, before faults and before it is sent."""

    status: int = 200
    body: bytes = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, **headers: str) -> Answer:
        """Add headers; underscores in names stand for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})


def json_answer(document: object, status: int = 200) -> Answer:
    """Answer with JSON."""
    return Answer(status=status, body=json.dumps(document, separators=(",", ":")).encode())


def json_object(ask: Ask) -> dict[str, Any] | None:
    """Return the JSON object that a request's body is; None: it is anything else."""
    try:
        body = ask.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def bounded(text: str | None, default: int, most: int) -> int:
    """Read the length of a page from a query; too long a one is cut to `most`."""
    return max(1, min(int(text), most)) if text is not None and text.isdecimal() else default


class Refused(Exception):
    """A handler's way to answer with an error from any depth."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, kw_only=True)
class Call:
    """One documented call of a provider."""

    operation: str
    """Our name for it: what faults match and counts are kept by."""
    method: str
    """Empty: every method."""
    path: str
    """From the root of the sandbox, with `{arguments}`."""
    handle: Callable[[Ask], Answer]
    """Runs in a thread of its own, so it may draw, and wait."""
    authenticated: bool = True
    limited: bool = True


class Dialect(Protocol):
    """A provider's API as its documentation describes it, over the shared life of a run."""

    name: str
    roots: tuple[str, ...]
    """Path prefixes that are the provider's, so that it answers 404 in its own words."""
    default_key: str
    requests_per_minute: int

    def calls(self) -> Sequence[Call]:
        """List every call; the first whose method and path match is taken."""

    def account(self, ask: Ask, keys: Mapping[str, str]) -> str | None:
        """Tell whose request this is, given key → label; None: nobody's."""

    def refusal(self, status: int, message: str, standing: Standing | None = None) -> Answer:
        """Word an error that is not a handler's own: 401, 404, 413, 429, 500."""

    def finish(self, ask: Ask, answer: Answer) -> Answer:
        """Add what every answer of the provider carries."""

    def environment(self, base_url: str, key: str) -> Mapping[str, str]:
        """Name the variables with which a client finds this stand-in."""

    def reset(self) -> None:
        """Forget what the dialect itself remembers; runs are not its business."""
