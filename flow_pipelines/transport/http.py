"""One request out, one bounded answer in. Nothing here repeats, waits or judges."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, TypeVar

import requests

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.provider import ApiAnswer, ApiRequest, Resend
from flow_pipelines.redaction import Secret
from flow_pipelines.retries import Timeouts
from flow_pipelines.transport.addresses import AddressBook, AddressRefused, origin_of
from flow_pipelines.transport.connection import Attempt, WatchedAdapter, watching

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""An API answer beyond this is none that a provider documents."""
PAID_SENT_WITHIN = timedelta(minutes=1)
"""A paid request that has not begun to leave by then never does: whoever counts on the end of all
that was under way must not be surprised by it."""
CHUNK_BYTES = 64 * 1024
USER_AGENT = "flow-pipelines"

_T = TypeVar("_T")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class NotSent(Exception):
    """The request never left this machine; the text says why, and holds no URL."""


class AnswerLost(Exception):
    """The request left, and no complete answer came back; the text holds no URL."""


class AnswerTooLong(Exception):
    """The answer is longer than any that a provider documents."""


class Unsendable(Exception):
    """The request cannot be written at all; nothing left this machine."""


class Exchange:
    """A request that was sent, and its answer as it arrives. Close it."""

    def __init__(
        self, response: requests.Response, attempt: Attempt, close: Callable[[], None]
    ) -> None:
        """Take an answer whose status and headers are in."""
        self._response, self._close = response, close
        self.attempt = attempt
        self.status = response.status_code
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in response.headers.items()}

    def read(self, size: int) -> bytes:
        """Return up to `size` more decoded bytes, empty at the end. Raises: AnswerLost."""
        raw = self._response.raw
        return _with_our_errors(self.attempt, lambda: bytes(raw.read(size, decode_content=True)))

    def read_answer(self, max_bytes: int = MAX_ANSWER_BYTES) -> ApiAnswer:
        """Return the complete answer. Raises: AnswerLost, AnswerTooLong."""
        parts: list[bytes] = []
        length = 0
        while chunk := self.read(CHUNK_BYTES):
            parts.append(chunk)
            length += len(chunk)
            if length > max_bytes:
                raise AnswerTooLong(f"the answer is longer than {max_bytes} bytes")
        return ApiAnswer(status=self.status, headers=self.headers, body=b"".join(parts))

    def close(self) -> None:
        """Release the connection, or close it when the answer was not read to its end."""
        self._response.close()
        self._close()


class Http:
    """Sends the requests of one account. Safe to share between threads."""

    def __init__(
        self, provider: str, *, book: AddressBook, secret: Secret, clock: Clock, timeouts: Timeouts
    ) -> None:
        """Open nothing yet. Raises: ConfigurationError, for a key that no header can carry."""
        self._provider, self._book, self._secret = provider, book, secret
        self._clock, self._timeouts = clock, timeouts
        self._shared = WatchedAdapter(connections=16)
        self._environment = requests.Session()
        _check_key(provider, secret)

    def begin(
        self,
        request: ApiRequest,
        bearer: Secret | None,
        *,
        url: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Exchange:
        """Send a request and wait for status and headers. Redirects are answers like others.

        `bearer` is the key or token for the `Authorization` header of own origins; None: it has
        none. `url` stands in for the request's own, for a redirect's target; `headers` replace
        others.
        Raises: NotSent, AnswerLost, AddressRefused, Unsendable, ConfigurationError.
        """
        target = url or request.url
        self._book.check(target)
        prepared = self._prepare(request, target, headers, bearer)
        # A paid request gets a connection of its own: on a kept one, a server that hangs up
        # while we write is common, and its outcome would be unknown.
        paid = request.resend is not Resend.SAFE
        adapter = WatchedAdapter(connections=1) if paid else self._shared
        read_seconds = request.read_seconds or self._timeouts.read_seconds
        attempt = Attempt(
            clock=self._clock,
            idle_seconds=read_seconds,
            remaining_seconds=read_seconds,
            public_only=self._book.needs_public_peer(target),
            send_by=self._clock.now() + PAID_SENT_WITHIN if paid else None,
        )
        timeout = (self._timeouts.connect_seconds, read_seconds)
        surroundings = self._proxies_and_certificates(target)

        def send() -> requests.Response:
            with watching(attempt):
                return adapter.send(prepared, stream=True, timeout=timeout, **surroundings)

        response = _with_our_errors(attempt, send)
        return Exchange(response, attempt, adapter.close if paid else _leave_open)

    def _prepare(
        self, request: ApiRequest, url: str, headers: Mapping[str, str], bearer: Secret | None
    ) -> requests.PreparedRequest:
        own = self._book.is_own(url)
        params = dict(request.params) if url == request.url else {}
        sent_headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        sent_headers.update(request.headers if own else {})
        sent_headers.update(headers)
        if own and request.authenticated and request.key_parameter is not None:
            params[request.key_parameter] = self._reveal(self._secret)
        elif own and request.authenticated and bearer is not None:
            sent_headers["Authorization"] = f"Bearer {self._reveal(bearer)}"
        if request.resend is not Resend.SAFE:
            sent_headers["Connection"] = "close"
        body, media_type = _body(request)
        if media_type:
            sent_headers["Content-Type"] = media_type
        try:
            return requests.Request(
                request.method,
                url,
                params=params,
                headers=sent_headers,
                data=body,
                files=dict(request.files) or None,
            ).prepare()
        except (ValueError, TypeError) as error:
            why = type(error).__name__
        raise Unsendable(f"it cannot be put into an HTTP request ({why})")

    def _reveal(self, key: Secret) -> str:
        if not key:
            raise ConfigurationError(f"{self._provider}: no API key is configured")
        return key.reveal()

    def _proxies_and_certificates(self, url: str) -> dict[str, Any]:
        """Proxies and certificates as the environment has them; never its `.netrc`.

        Plain http is allowed to one host, and no proxy leads to this machine.
        """
        settings = self._environment.merge_environment_settings(url, {}, True, None, None)  # noqa: FBT003 - requests' signature
        direct = self._book.local or origin_of(url).scheme == "http"
        proxies = {} if direct else settings["proxies"]
        return {"proxies": proxies, "verify": settings["verify"], "cert": settings["cert"]}


def _leave_open() -> None:
    """Leave the shared connections open."""


def _body(request: ApiRequest) -> tuple[Any, str | None]:
    """Return the body for `requests`, and its media type where we know better.

    The same request gives the same bytes, whenever it is made.
    """
    if request.json is None:
        return dict(request.form) or None, None
    try:
        content = request.body()
    except (ValueError, TypeError, RecursionError) as error:
        raise Unsendable(f"its body cannot be written as JSON: {error}") from None
    return content, "application/json"


def _check_key(provider: str, secret: Secret) -> None:
    key = secret.reveal()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"{provider}: the API key holds a blank, a line break or another character that no "
            "header can carry; was it copied whole and alone?"
        )


def _with_our_errors(attempt: Attempt, call: Callable[[], _T]) -> _T:
    """Return what `call` gives; its errors become NotSent or AnswerLost.

    They are raised outside the `except` on purpose: the library's own error holds the URL with
    its query, and would travel along as the context of ours.
    """
    try:
        return call()
    except (AddressRefused, ConfigurationError):  # nothing left this machine
        raise
    except Exception as error:  # noqa: BLE001 - after a paid request left, no error is harmless
        why = _reason(error)
    if not attempt.sent:
        raise NotSent(why)
    raise AnswerLost(why)


def _reason(error: BaseException) -> str:
    """Return the cause of a failure from the innermost error, without the URL."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        inner = (getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__)
        cause = next((e for e in inner if isinstance(e, BaseException) and e not in seen), None)
    root = seen[-1]
    if isinstance(root, ssl.SSLError):
        return f"TLS failed ({getattr(root, 'verify_message', '') or root.reason})"
    if isinstance(root, TimeoutError):
        return "timed out"
    if isinstance(root, OSError) and root.errno is not None and root.errno in errno.errorcode:
        return os.strerror(root.errno)
    return type(root).__name__
