"""The transport: pacing, sending, judging and repeating, put together for one account."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urljoin

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    OutputRefused,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    TransferError,
    UnexpectedAnswer,
)
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Download,
    PaceStore,
    Purpose,
    RateLimit,
    Resend,
    SignIn,
)
from flow_pipelines.redaction import Secret
from flow_pipelines.retries import Retries, RetryBudget, Timeouts
from flow_pipelines.transport.addresses import AddressBook, AddressRefused
from flow_pipelines.transport.downloads import HttpDownload
from flow_pipelines.transport.http import (
    AnswerLost,
    AnswerTooLong,
    Exchange,
    Http,
    NotSent,
    Unsendable,
)
from flow_pipelines.transport.pacing import Pacing
from flow_pipelines.transport.sign_in import Tokens
from flow_pipelines.transport.verdicts import judge, spellings, window_left

_log = logging.getLogger(__name__)

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LINK_IS_DEAD = frozenset({401, 403, 404, 410})
_DOWNLOAD_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity"}

_T = TypeVar("_T")


class HttpTransport:
    """`provider.Transport` over HTTP, for one account of one provider."""

    def __init__(  # noqa: PLR0913 - one account's whole configuration, by keyword
        self,
        provider: str,
        *,
        origins: Sequence[str],
        secret: Secret,
        clock: Clock,
        pace: PaceStore,
        pace_key: str,
        rate_limit: RateLimit | None = None,
        sign_in: SignIn | None = None,
        retry: RetryBudget = RetryBudget(),  # noqa: B008 - frozen
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        patience_seconds: float = 120.0,
        allowed_output_hosts: Sequence[str] = (),
        allow_http: bool = False,
        book: AddressBook | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Open nothing yet.

        Args:
            provider: Name for errors and logs.
            origins: The provider's own URLs, base URL first; the key goes to these only.
            secret: The account's key; may be empty until a request needs it.
            clock: Tells and spends time.
            pace: Turns under the rate limit, shared by all who use this account.
            pace_key: Names the account in `pace`; must not hold the key itself.
            rate_limit: As published; None: no pacing but what a 429 asks for.
            sign_in: How the key becomes a token; None: requests carry the key itself.
            retry: For requests that are safe to repeat; no other one is repeated.
            timeouts: Of one request.
            patience_seconds: Longest wait for a turn.
            allowed_output_hosts: Hosts that outputs may come from besides `origins`, `.domain`
                for all below it; empty: every public host.
            allow_http: Whether `origins` on the base URL's host may be plain http.
            book: Rules of their own, instead of those that the last two and `origins` make.
            jitter: Gives a number from 0 up to 1.

        Raises: ConfigurationError, for a URL or key that cannot be used.
        """
        self._provider, self._clock = provider, clock
        self._key, self._spellings = secret, spellings(secret)
        self._book = book or AddressBook(origins, allowed_output_hosts, allow_http=allow_http)
        self._http = Http(provider, book=self._book, secret=secret, clock=clock, timeouts=timeouts)
        self._tokens = None
        if sign_in is not None:
            self._tokens = Tokens(
                provider,
                sign_in,
                origins[0],
                clock=clock,
                send=self._fetch_token,
            )
        self._retries, self._patience_seconds = Retries(retry, clock, jitter), patience_seconds
        self._pacing = Pacing(
            provider,
            store=pace,
            key=pace_key,
            limit=rate_limit,
            patience_seconds=patience_seconds,
            clock=clock,
        )

    def take_turn(self, purpose: Purpose) -> None:
        """Wait for a turn; see `provider.Transport`."""
        if purpose is not Purpose.POLL and self._tokens is not None:
            # Now, for once the turn is there, nothing else shall delay the paid request.
            self._tokens.prepare()
        self._pacing.take_turn(purpose)

    def send(self, request: ApiRequest) -> ApiAnswer:
        """Send a request and give its answer; see `provider.Transport`."""

        def send() -> ApiAnswer:
            return self._with_credential(request, lambda bearer: self._send_once(request, bearer))

        if request.resend is not Resend.SAFE:
            return send()
        return self._repeat(send, request)

    @contextmanager
    def open(self, request: ApiRequest, *, max_bytes: int) -> Iterator[Download]:
        """Stream an answer; see `provider.Transport`. Redirects are followed, without the key."""
        if request.resend is not Resend.SAFE:
            raise ValueError(f"{request.operation}: what is billed cannot be a download")
        exchange = self._repeat(
            lambda: self._with_credential(
                request, lambda bearer: self._follow_redirects(request, bearer)
            ),
            request,
        )
        try:
            yield HttpDownload(exchange, max_bytes)
        finally:
            exchange.close()

    def _repeat(self, call: Callable[[], _T], request: ApiRequest) -> _T:
        return self._retries.run(
            call, wait_for=_wait_for, before_each=lambda: self._take_turn_for(request)
        )

    def _take_turn_for(self, request: ApiRequest) -> None:
        if request.paced:
            self._pacing.take_turn(Purpose.POLL)

    def _with_credential(self, request: ApiRequest, call: Callable[[Secret | None], _T]) -> _T:
        """Return what `call` gives with the key or token that goes with `request`."""
        try:
            if self._tokens is None:
                return call(self._key)
            if not self._takes_token(request):
                return call(None)
            once = request.resend is not Resend.SAFE
            return self._tokens.run_once(call) if once else self._tokens.run(call)
        except ConfigurationError as failure:
            if request.resend is Resend.SAFE:
                raise
            raise self._error(request, AccountRejected, str(failure)) from failure

    def _takes_token(self, request: ApiRequest) -> bool:
        try:
            own = self._book.is_own(request.url)
        except AddressRefused:  # told when it is visited
            return False
        return own and request.authenticated and request.key_parameter is None

    def _send_once(self, request: ApiRequest, bearer: Secret | None) -> ApiAnswer:
        exchange = self._begin(request, bearer)
        try:
            answer = exchange.read_answer()
        except (AnswerLost, AnswerTooLong) as failure:
            raise self._without_answer(request, failure) from failure
        finally:
            exchange.close()
        self._raise_for(request, answer)
        return answer

    def _fetch_token(self, request: ApiRequest) -> ApiAnswer:
        try:
            return self._send_once(request, None)
        except RateLimited as error:
            if (error.retry_after_seconds or 0.0) > self._patience_seconds:
                # So that every run of the account ends at once, and not each by its own refusal.
                self._pacing.hold(self._pacing.pause_seconds(error.retry_after_seconds))
            raise

    def _begin(
        self, request: ApiRequest, bearer: Secret | None, url: str | None = None
    ) -> Exchange:
        headers = _DOWNLOAD_HEADERS if url is not None else {}
        try:
            exchange = self._http.begin(request, bearer, url=url, headers=headers)
        except (NotSent, AnswerLost, Unsendable, AddressRefused) as failure:
            raise self._without_answer(request, failure) from failure
        _log.debug("%s %s: HTTP %d", self._provider, request.operation, exchange.status)
        return exchange

    def _without_answer(self, request: ApiRequest, failure: Exception) -> ProviderError:
        """Return the error for a request that got no complete answer."""
        if isinstance(failure, NotSent):
            return self._error(request, ProviderUnavailable, f"no connection: {failure}")
        if isinstance(failure, Unsendable | AddressRefused):
            return self._error(request, RequestRejected, str(failure))
        if request.resend is not Resend.SAFE:
            kind: type[ProviderError] = SubmitOutcomeUnknown
        else:
            too_long = isinstance(failure, AnswerTooLong)
            kind = UnexpectedAnswer if too_long else ProviderUnavailable
        return self._error(request, kind, f"no complete answer: {failure}")

    def _error(self, request: ApiRequest, kind: type[ProviderError], message: str) -> ProviderError:
        return kind(
            message,
            provider=self._provider,
            operation=request.operation,
            provider_run_id=request.provider_run_id,
        )

    def _raise_for(self, request: ApiRequest, answer: ApiAnswer) -> None:
        error = judge(
            self._provider, request, answer, now=self._clock.now(), secrets=self._secrets()
        )
        if request.paced:
            left = window_left(request, answer, now=self._clock.now())
            if left.limit is not None:
                self._pacing.learn(left.limit)
            self._hold_account(error, left.pause_seconds)
        if error is not None:
            raise error

    def _hold_account(self, error: ProviderError | None, window_seconds: float | None) -> None:
        """Be silent for as long as a 429 says, or until the window ends that is used up."""
        if isinstance(error, RateLimited):
            asked = error.retry_after_seconds
            pause = self._pacing.pause_seconds(window_seconds if asked is None else asked)
            error.retry_after_seconds = pause
            self._pacing.hold(pause, refused=True)
        elif window_seconds is not None:
            self._pacing.hold(window_seconds)

    def _secrets(self) -> Sequence[Secret]:
        tokens = self._tokens.latest() if self._tokens is not None else ()
        return [*self._spellings, *(text for token in tokens for text in spellings(token))]

    def _follow_redirects(self, request: ApiRequest, bearer: Secret | None) -> Exchange:
        """Follow redirects up to an answer with content."""
        url = request.url
        for _ in range(MAX_REDIRECTS + 1):
            exchange = self._begin_download(request, url, bearer)
            if exchange.status not in _REDIRECTS:
                break
            exchange.close()
            # Who was sent on from elsewhere comes back without the key: others chose the address.
            bearer = bearer if self._book.is_own(url) else None
            url = urljoin(url, exchange.headers.get("location", ""))
        else:
            raise TransferError(f"{request.operation}: more than {MAX_REDIRECTS} redirects")
        if exchange.status != 200:  # noqa: PLR2004 - 204 and 206 have no whole content
            self._raise_without_content(request, url, exchange)
        return exchange

    def _begin_download(self, request: ApiRequest, url: str, bearer: Secret | None) -> Exchange:
        try:
            return self._begin(request, bearer, url)
        except RequestRejected as refused:
            raise OutputRefused(f"{request.operation}: {refused.vendor_message}") from refused

    def _raise_without_content(self, request: ApiRequest, url: str, exchange: Exchange) -> None:
        """Raise what an answer without content means, and end it."""
        try:
            answer = exchange.read_answer()
        except (AnswerLost, AnswerTooLong):
            answer = ApiAnswer(status=exchange.status, headers=exchange.headers, body=b"")
        finally:
            exchange.close()
        keyless = not request.authenticated and exchange.status not in request.verdicts
        if exchange.status in _LINK_IS_DEAD and (keyless or not self._book.is_own(url)):
            # Not the account's fault: a link that has run out. A fresh one opens it.
            raise TransferError(f"{request.operation}: the link gives HTTP {exchange.status}")
        self._raise_for(request, answer)
        raise TransferError(f"{request.operation}: HTTP {exchange.status} instead of content")


def _wait_for(error: Exception) -> float | None:
    return (error.retry_after_seconds or 0.0) if isinstance(error, ProviderUnavailable) else None
