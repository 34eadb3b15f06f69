"""The base of a provider's typed client: declares calls, sends them and reads their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError

from flow_pipelines.model import json_values
from flow_pipelines.model.errors import SubmitOutcomeUnknown, UnexpectedAnswer
from flow_pipelines.provider.calls import (
    ApiAnswer,
    ApiRequest,
    ErrorBody,
    Method,
    Quota,
    Resend,
    Verdict,
    read_no_error,
    read_no_quota,
)
from flow_pipelines.provider.ports import Download, Transport
from flow_pipelines.provider.records import Record

R = TypeVar("R", bound=Record)
_MOST_FIELDS, _MOST_CHARACTERS = 5, 200


@dataclass(frozen=True, kw_only=True)
class AnsweredRequest:
    """A provider's answer, beside the request that it answers.

    Whatever cannot be read raises UnexpectedAnswer; SubmitOutcomeUnknown instead, where the
    request may have bought something.
    """

    provider: str
    request: ApiRequest = field(repr=False)
    answer: ApiAnswer = field(repr=False)

    def document(self) -> Mapping[str, Any]:
        """Return the JSON object that the answer has to be: no HTML, list, null and the like."""
        document = self._json()
        if isinstance(document, dict):
            return document
        raise self.unexpected("the answer is not a JSON object")

    def objects(self, *names: str) -> Sequence[Mapping[str, Any]]:
        """Return its list of JSON objects: bare, or under one of `names`, `data`, `items`."""
        objects = json_values.objects(self._json(), *names)
        if objects is None:
            raise self.unexpected("the answer holds no list")
        return objects

    def read(self, kind: type[R], document: Mapping[str, Any] | None = None) -> R:
        """Return `document`, which is the whole answer where None is given, as a `kind`.

        Raises: UnexpectedAnswer, naming the field that everything depends on and that is missing
        or unusable; SubmitOutcomeUnknown, see above.
        """
        try:
            return kind.model_validate(self.document() if document is None else document)
        except (ValidationError, RecursionError) as error:
            fields = _fields(error)
        # Outside the `except`: pydantic's own error holds the values, links among them.
        raise self.unexpected(f"a {kind.__name__} with missing or unusable {fields}")

    def unexpected(self, why: str) -> UnexpectedAnswer | SubmitOutcomeUnknown:
        """Build the error for an answer that is not what the provider documents."""
        paid = self.request.resend is not Resend.SAFE
        return (SubmitOutcomeUnknown if paid else UnexpectedAnswer)(
            why,
            provider=self.provider,
            operation=self.request.operation,
            status=self.answer.status,
            request_id=request_id(self.answer),
            provider_run_id=self.request.provider_run_id,
        )

    def _json(self) -> Any:
        try:
            return self.answer.json()
        except (ValueError, RecursionError):
            return None


def request_id(answer: ApiAnswer) -> str | None:
    """Return the provider's name for this very answer, which its support asks for."""
    name = answer.headers.get("request-id") or answer.headers.get("x-request-id")
    return name[:_MOST_CHARACTERS] if name else None


def _fields(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "contents"
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    names = dict.fromkeys(".".join(str(part) for part in problem["loc"]) for problem in problems)
    return ", ".join(list(names)[:_MOST_FIELDS])[:_MOST_CHARACTERS]


MAX_DOWNLOAD_BYTES = 256 * 1024 * 1024
"""Of one file, where the caller names no limit."""


@dataclass(frozen=True, kw_only=True)
class ApiDefaults:
    """What every call of a provider declares, where the call itself says nothing else."""

    provider: str
    source: str
    """The provider's page that documents most calls."""
    read_error: Callable[[ApiAnswer], ErrorBody] = read_no_error
    read_quota: Callable[[ApiAnswer], Quota | None] = read_no_quota
    verdicts: Mapping[int | str, Verdict] = field(default_factory=dict)

    def request(self, operation: str, method: Method, url: str, **declared: Any) -> ApiRequest:
        """Return a request that is safe to repeat, unless `declared` says otherwise."""
        usual: dict[str, Any] = {
            "resend": Resend.SAFE,
            "source": self.source,
            "read_error": self.read_error,
            "read_quota": self.read_quota,
            "verdicts": self.verdicts,
        }
        return ApiRequest(operation=operation, method=method, url=url, **(usual | declared))


class ApiClient:
    """A provider's calls as plain methods. Opens no connection; safe to share between threads.

    A subclass has a method for each documented call, named as the call's `operation`.
    """

    api: ClassVar[ApiDefaults]

    def __init__(self, transport: Transport, base_url: str) -> None:
        """`base_url` is the API's address, its version included."""
        self._transport, self._base_url = transport, base_url.rstrip("/")

    def send(self, request: ApiRequest) -> AnsweredRequest:
        """Send a request that this client built. Raises: ProviderError; see `Transport.send`."""
        answer = self._transport.send(request)
        return AnsweredRequest(provider=self.api.provider, request=request, answer=answer)

    def _request(self, operation: str, method: Method, path: str, **declared: Any) -> ApiRequest:
        return self.api.request(operation, method, f"{self._base_url}{path}", **declared)

    def _call(self, operation: str, method: Method, path: str, **declared: Any) -> AnsweredRequest:
        return self.send(self._request(operation, method, path, **declared))

    def _open(
        self, operation: str, url: str, max_bytes: int, **declared: Any
    ) -> AbstractContextManager[Download]:
        """Stream what is at `url`; hosts of files are outside the rate limit."""
        request = self.api.request(operation, "GET", url, paced=False, **declared)
        return self._transport.open(request, max_bytes=max_bytes)

    def _open_link(
        self, operation: str, url: str, max_bytes: int, **declared: Any
    ) -> AbstractContextManager[Download]:
        """Stream what a link out of an answer opens. The key does not go along."""
        return self._open(operation, url, max_bytes, authenticated=False, **declared)
