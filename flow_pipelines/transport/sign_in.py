"""One account's token: fetched when it is first needed, kept in memory, renewed for all at once."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
)
from flow_pipelines.provider import ApiAnswer, ApiRequest, SignIn
from flow_pipelines.redaction import Secret

RENEW_BEFORE_SECONDS = 60.0
"""So long before its end a token is renewed; a short one in the last tenth of its life."""
JUST_FETCHED_SECONDS = 300.0
"""A younger token that was never taken is refused for another reason than its end."""
_FITS_A_HEADER = re.compile(r"[!-~]{1,16384}")
_TOKENS_REMEMBERED = 4

_T = TypeVar("_T")


class Tokens:
    """Adds the token to requests. Safe to share between threads; only one of them renews."""

    def __init__(
        self,
        provider: str,
        sign_in: SignIn,
        base_url: str,
        *,
        clock: Clock,
        send: Callable[[ApiRequest], ApiAnswer],
    ) -> None:
        """Fetch nothing yet. `send` sends a request once, with the key, and judges the answer."""
        self._provider, self._sign_in, self._clock, self._send = provider, sign_in, clock, send
        self._request = sign_in.request(base_url)
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._taken: Secret | None = None
        """The token that the provider took last."""
        self._fetched_at = 0.0
        """By the monotonic clock."""
        self._renew_at: float | None = None
        self._fetches = 0
        self._problem: ProviderError | ConfigurationError | None = None
        self._quiet_until = 0.0
        """By the monotonic clock: nobody asks before, for a 429 said so."""
        self._latest: deque[Secret] = deque(maxlen=_TOKENS_REMEMBERED)

    def latest(self) -> tuple[Secret, ...]:
        """Return the latest tokens, for whoever must keep them out of texts."""
        return tuple(self._latest)

    def prepare(self) -> None:
        """Have a token ready if that works; why it does not is told to the request it is for."""
        with contextlib.suppress(ProviderError, ConfigurationError):
            self._current_token()

    def run(self, call: Callable[[Secret], _T]) -> _T:
        """Return what `call` gives with the token, or with a new one if the first was refused.

        At most one token is fetched. Raises: what `call` does, and AccountRejected,
        ProviderUnavailable or ConfigurationError where there is no token: nothing was accepted.
        """
        token, is_new = self._current_token()
        try:
            return self._call_with(call, token)
        except AccountRejected as refused:
            if is_new or self._sign_in.refusals.isdisjoint({refused.status, refused.code}):
                raise
        return self._call_with(call, self._replace(token))

    def run_once(self, call: Callable[[Secret], _T]) -> _T:
        """Return what `call` gives with the token; a billed request is never sent with two.

        Raises: as `run`; and ProviderUnavailable where the token was refused that was taken
        before: nothing was accepted, and the next request gets another token.
        """
        token, _ = self._current_token()
        try:
            return self._call_with(call, token)
        except AccountRejected as refused:
            if self._is_new(token) or refused.status not in self._sign_in.refusals:
                raise
            self._drop(token)
            raise ProviderUnavailable(
                f"the access token has ended: {refused.vendor_message}",
                provider=self._provider,
                operation=refused.operation,
                status=refused.status,
            ) from refused

    def _call_with(self, call: Callable[[Secret], _T], token: Secret) -> _T:
        try:
            answer = call(token)
        except ProviderError as error:
            if error.status is not None and not isinstance(error, AccountRejected):
                self._taken = token
            raise
        self._taken = token
        return answer

    def _is_new(self, token: Secret) -> bool:
        age = self._clock.monotonic() - self._fetched_at
        return self._taken is not token and age < JUST_FETCHED_SECONDS

    def _drop(self, token: Secret) -> None:
        """Drop the token; the next request fetches another."""
        with self._lock:
            if self._token is token:
                self._token = None

    def _current_token(self) -> tuple[Secret, bool]:
        """Return a token, and whether it was fetched just now."""
        token = self._token
        if token is not None and not self._ends_soon():
            return token, False
        return self._replace(token), True

    def _ends_soon(self) -> bool:
        return self._renew_at is not None and self._clock.now().timestamp() >= self._renew_at

    def _replace(self, old: Secret | None) -> Secret:
        """Return another token than `old`: one that was fetched meanwhile, or a new one."""
        fetches = self._fetches
        with self._lock:
            if self._token is None or self._token is old:
                if fetches != self._fetches and self._problem is not None:
                    # Whoever waited here shares the outcome: a dead sign-in is not asked by all.
                    raise self._problem
                return self._renew()
            return self._token

    def _renew(self) -> Secret:
        if self._problem is not None and self._clock.monotonic() < self._quiet_until:
            raise self._problem
        try:
            token = self._fetch()
        except (ProviderError, ConfigurationError) as problem:
            self._problem = problem
            if isinstance(problem, ProviderError) and problem.retry_after_seconds:
                self._quiet_until = self._clock.monotonic() + problem.retry_after_seconds
            raise
        else:
            self._problem = None
        finally:
            self._fetches += 1
        self._latest.append(Secret(token))
        self._renew_at = renewal_time(token, self._clock.now().timestamp())
        self._fetched_at = self._clock.monotonic()
        self._token = self._latest[-1]
        return self._token

    def _fetch(self) -> str:
        try:
            answer = self._send(self._request)
        except (ProviderUnavailable, AccountRejected):
            raise
        except ProviderError as error:
            # Whatever is wrong, the request that waits for the token has not left.
            refused = (error.status or 0) >= 300  # noqa: PLR2004 - HTTP's own class of good answers
            kind = AccountRejected if refused else ProviderUnavailable
            raise self._error(kind, error.vendor_message, error.status) from error
        token = self._read(answer)
        if token is None:
            # Perhaps a page of something in between, perhaps for ever: submitting stops after some.
            raise self._error(ProviderUnavailable, "the answer holds no token", answer.status)
        return token

    def _read(self, answer: ApiAnswer) -> str | None:
        try:
            token = self._sign_in.read_token(answer)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None
        return token if isinstance(token, str) and _FITS_A_HEADER.fullmatch(token) else None

    def _error(self, kind: type[ProviderError], message: str, status: int | None) -> ProviderError:
        return kind(
            message, provider=self._provider, operation=self._request.operation, status=status
        )


def renewal_time(token: str, now: float) -> float | None:
    """Return when to renew a JWT, in Unix seconds; None for any other token, or one long ended.

    A token that has ended when it arrives says that our clock is wrong, not that it is of no use.
    """
    end = _jwt_end(token)
    if end is None or end <= now:
        return None
    return end - min(RENEW_BEFORE_SECONDS, (end - now) / 10)


def _jwt_end(token: str) -> float | None:
    """Read `exp` (RFC 7519 §4.1.4) without checking anything: that is for the provider to do."""
    head, _, rest = token.partition(".")
    payload, _, signature = rest.partition(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = float(claims["exp"]) if head and signature else None
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return None
    return end
