"""The base of a provider's typed client: declares calls, sends them and reads their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flow_pipelines.provider.answers import AnsweredRequest
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
