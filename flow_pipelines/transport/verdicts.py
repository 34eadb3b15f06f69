"""What an answer proves, as the error that says what may be done next."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

from flow_pipelines.model.errors import (
    AccountRejected,
    KeyAlreadyKnown,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.provider import (
    AnsweredRequest,
    ApiAnswer,
    ApiRequest,
    ErrorBody,
    Resend,
    Verdict,
    request_id,
)
from flow_pipelines.redaction import Secret, redact

LONGEST_HOLD_SECONDS = 7 * 86_400.0
"""A 429 is kept to for so long; no limit is known to last longer, and a slip of milliseconds for
seconds must end some day."""
LONGEST_ADVICE_SECONDS = 900.0
"""What else tells when to come again is no refusal, and is asked again after this."""
MESSAGE_CHARACTERS = 2000
SHOWN_FIELDS = 20

DEFAULT_VERDICTS: Mapping[int, Verdict] = MappingProxyType(
    {
        400: Verdict.REJECTED,
        401: Verdict.ACCOUNT,
        402: Verdict.ACCOUNT,
        403: Verdict.ACCOUNT,
        404: Verdict.NOT_FOUND,
        405: Verdict.REJECTED,
        409: Verdict.REJECTED,
        413: Verdict.REJECTED,
        415: Verdict.REJECTED,
        422: Verdict.REJECTED,
        429: Verdict.UNAVAILABLE,
    }
)
"""For what a request does not override; every other status proves nothing."""
PAID_VERDICTS: Mapping[int, Verdict] = MappingProxyType(
    {
        status: verdict
        for status, verdict in DEFAULT_VERDICTS.items()
        if status != HTTPStatus.CONFLICT
    }
)
"""The same for what may be billed, of which a conflict proves nothing either."""

_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})

_ERRORS: Mapping[Verdict, type[ProviderError]] = {
    Verdict.ACCOUNT: AccountRejected,
    Verdict.REJECTED: RequestRejected,
    Verdict.NOT_FOUND: NotFound,
    Verdict.KEY_KNOWN: KeyAlreadyKnown,
}

_BROKEN_BODY = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What a provider's file may run into when an answer is not what it reads."""


def judge(
    provider: str,
    request: ApiRequest,
    answer: ApiAnswer,
    *,
    now: datetime,
    secrets: Iterable[Secret],
) -> ProviderError | None:
    """Return the error that `answer` is, or None for an answer to be read."""
    if answer.status in request.answers:
        return None
    is_error = _is_error(request, answer)
    if is_error is None:
        reply = AnsweredRequest(provider=provider, request=request, answer=answer)
        return reply.unexpected("the answer cannot be read")
    if not is_error:
        return None
    body = _read_error(request, answer)
    wait = _retry_after_seconds(answer, body, now)
    secrets = tuple(secrets)
    return _error_class(request, answer, body)(
        _clean(body.message, secrets) or _reason_phrase(answer),
        provider=provider,
        operation=request.operation,
        status=answer.status,
        code=_clean(body.code, secrets) if body.code else None,
        fields=_clean_fields(body.fields, secrets),
        request_id=request_id(answer),
        provider_run_id=request.provider_run_id,
        retry_after_seconds=wait,
    )


def _is_error(request: ApiRequest, answer: ApiAnswer) -> bool | None:
    """None: not even that can be told. A redirect is never an answer."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's own class of good answers
        return True
    try:
        return request.is_error(answer)
    except _BROKEN_BODY:
        return None


def _read_error(request: ApiRequest, answer: ApiAnswer) -> ErrorBody:
    try:
        return request.read_error(answer)
    except _BROKEN_BODY:
        # An HTML page of something in between: the status is all that is known.
        return ErrorBody()


def _verdict(request: ApiRequest, answer: ApiAnswer, body: ErrorBody) -> Verdict:
    """Return what an answer proves; of what may be billed, its status alone decides.

    The one thing that a provider may add to that is by which statuses it knows a key again.
    """
    declared = request.verdicts.get(answer.status)
    if request.resend is not Resend.SAFE:
        proven = PAID_VERDICTS.get(answer.status, Verdict.UNKNOWN)
        return declared if declared is Verdict.KEY_KNOWN else proven
    by_code = request.verdicts.get(body.code) if body.code else None
    return by_code or declared or DEFAULT_VERDICTS.get(answer.status, Verdict.UNKNOWN)


def _error_class(request: ApiRequest, answer: ApiAnswer, body: ErrorBody) -> type[ProviderError]:
    verdict = _verdict(request, answer, body)
    if verdict is Verdict.UNAVAILABLE:
        says_when = body.retry_after_seconds is not None
        limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS or says_when
        return RateLimited if limited else ProviderUnavailable
    if verdict is not Verdict.UNKNOWN:
        return _ERRORS[verdict]
    if request.resend is not Resend.SAFE:
        return SubmitOutcomeUnknown
    passing = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _PASSING
    return ProviderUnavailable if passing else UnexpectedAnswer


def _reason_phrase(answer: ApiAnswer) -> str:
    if 300 <= answer.status < 400:  # noqa: PLR2004 - HTTP's class of redirects
        return "a redirect, which API calls do not follow; is the base URL right?"
    return "the answer gives no reason"


def _retry_after_seconds(answer: ApiAnswer, body: ErrorBody, now: datetime) -> float | None:
    """Read `Retry-After` (seconds or HTTP date, RFC 9110 §10.2.3), else the body's own figure."""
    header = answer.headers.get("retry-after", "").strip()
    seconds = _seconds(header, now) if header else None
    if seconds is None:
        seconds = body.retry_after_seconds
    if seconds is None or not math.isfinite(seconds):
        return None
    limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    longest = LONGEST_HOLD_SECONDS if limited else LONGEST_ADVICE_SECONDS
    return min(max(float(seconds), 0.0), longest)


class WindowLeft(NamedTuple):
    """What an answer says of the rate limit's window."""

    limit: int | None = None
    """Requests that it takes in all; None: not told."""
    pause_seconds: float | None = None
    """Until the next one; None: this one is not used up."""


def window_left(request: ApiRequest, answer: ApiAnswer, *, now: datetime) -> WindowLeft:
    """Read what is left of the rate limit's window; nothing, from what cannot be read."""
    try:
        quota = request.read_quota(answer)
        if quota is None:
            return WindowLeft()
        seconds = (quota.resets_at - now).total_seconds()
    except (*_BROKEN_BODY, OverflowError, OSError):
        return WindowLeft()
    used_up = quota.remaining <= 0 and seconds > 0
    return WindowLeft(quota.limit, min(seconds, LONGEST_ADVICE_SECONDS) if used_up else None)


def _seconds(header: str, now: datetime) -> float | None:
    try:
        return float(header)
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()


def spellings(secret: Secret) -> tuple[Secret, ...]:
    """Return a key as it may appear in text: itself, and as a query writes it."""
    key = secret.reveal()
    return tuple(Secret(text) for text in {key, quote(key, safe=""), quote_plus(key)} if text)


def _clean(text: str, secrets: Sequence[Secret]) -> str:
    return redact(str(text), secrets)[:MESSAGE_CHARACTERS]


def _clean_fields(
    fields: Sequence[Mapping[str, Any]], secrets: Sequence[Secret]
) -> Sequence[Mapping[str, Any]]:
    return [
        {str(name): _clean_value(value, secrets) for name, value in field.items()}
        for field in list(fields)[:SHOWN_FIELDS]
    ]


def _clean_value(value: Any, secrets: Sequence[Secret]) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return _clean(text, secrets)
