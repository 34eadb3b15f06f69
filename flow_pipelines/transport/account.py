"""Whether an account's key works, found out without spending anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from flow_pipelines.model.errors import ConfigurationError, UnexpectedAnswer
from flow_pipelines.provider import (
    AnsweredRequest,
    ApiAnswer,
    ApiRequest,
    ProviderProfile,
    Resend,
    SignIn,
    Transport,
)


@dataclass(frozen=True, kw_only=True)
class AccountReport:
    """What a provider's answer to the probe of its profile shows; that there is one: it works."""

    server_time: datetime | None
    """By the provider's own clock, to the second; None: not told."""
    leaves_open: str
    """What of the key's rights it does not show; empty: nothing."""


def check_account(transport: Transport, profile: ProviderProfile, base_url: str) -> AccountReport:
    """Ask whether the key works, in the way that the provider's profile declares. Not billed.

    Raises: AccountRejected, for a key that does not; another ProviderError, where that was not
    found out; ConfigurationError.
    """
    request = _probe(profile, base_url.rstrip("/"))
    answer = transport.send(request)
    # A page of something in between, or of another site, proves nothing about a key.
    AnsweredRequest(provider=profile.name, request=request, answer=answer).document()
    if profile.probe is None and not _holds_token(profile.sign_in, answer):
        raise UnexpectedAnswer(
            "the answer holds no token", provider=profile.name, operation=request.operation
        )
    return AccountReport(server_time=_date(answer), leaves_open=profile.probe_leaves_open)


def _probe(profile: ProviderProfile, base_url: str) -> ApiRequest:
    if profile.probe is not None:
        request = profile.probe(base_url)
    elif profile.sign_in is not None:
        request = profile.sign_in.request(base_url)
    else:
        raise ConfigurationError(f"{profile.title}: no free request is known that shows its key")
    if request.resend is not Resend.SAFE:
        raise ValueError(f"{request.operation}: a probe is never billed")
    return request


def _holds_token(sign_in: SignIn | None, answer: ApiAnswer) -> bool:
    try:
        return sign_in is not None and bool(sign_in.read_token(answer))
    except (ValueError, TypeError, LookupError, AttributeError):
        return False


def _date(answer: ApiAnswer) -> datetime | None:
    """Read `Date` (RFC 9110 §6.6.1)."""
    try:
        return parsedate_to_datetime(answer.headers["date"])
    except (LookupError, ValueError):
        return None
