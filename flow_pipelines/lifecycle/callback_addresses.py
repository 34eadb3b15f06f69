"""Addresses that providers may call back: one a submission, which nobody can guess.

The token at an address's end is made from our secret and the submission's name, which holds the id
of the ledger that sent it. So it is the same on every host and for every copy of a request, and it
is kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.redaction import Secret
from flow_pipelines.transport.addresses import AddressRefused, is_loopback, is_public, origin_of

URL_VARIABLE = "FLOW_PIPELINES_WEBHOOK_URL"
SECRET_VARIABLE = "FLOW_PIPELINES_WEBHOOK_SECRET"  # noqa: S105 - a variable's name
SHORTEST_SECRET = 32
_LONGEST_NAME = 200
_NAME = re.compile(r"(.+)\.([0-9a-f]{32})", re.DOTALL)


def read_secrets(text: str, variable: str = SECRET_VARIABLE) -> tuple[Secret, ...]:
    """Read our secrets, newest first, separated by commas: the first makes, each opens.

    Raises: ConfigurationError, naming `variable`, when there is none or one is short.
    """
    secrets = tuple(Secret(secret.strip()) for secret in text.split(",") if secret.strip())
    if not secrets or any(len(secret.reveal()) < SHORTEST_SECRET for secret in secrets):
        raise ConfigurationError(
            f"{variable} needs {SHORTEST_SECRET} characters or more, such as from "
            "`openssl rand -hex 32`"
        )
    return secrets


class CallbackAddresses:
    """Where one provider's runs may be told of."""

    def __init__(self, base_url: str, secrets: Sequence[Secret], provider: str) -> None:
        """Take what `check_base_url` found fit, and secrets as `read_secrets` gives them."""
        self._base_url = base_url.rstrip("/")
        self._secret = secrets[0]
        self._provider = provider

    def url(self, submission_key: str, ledger_id: str | None) -> str:
        """Return a submission's address, token included: for the provider alone."""
        name = name_of(submission_key, ledger_id)
        names = f"{quote(self._provider, safe='')}/{quote(name, safe='')}"
        token = _token(self._secret, self._provider, name)
        return f"{self._base_url}/callbacks/{names}/{token}"


def check_base_url(base_url: str, *, provider_url: str) -> None:
    """Refuse a base URL that providers could not, or must not, call.

    Plain http and this machine are allowed only where the provider is on this machine, too.
    Raises: ConfigurationError.
    """
    try:
        origin = origin_of(base_url)
        provider_here = is_loopback(origin_of(provider_url).host)
    except AddressRefused as refused:
        raise ConfigurationError(f"{URL_VARIABLE}: {refused}") from None
    parts = urlsplit(base_url)
    if parts.query or parts.fragment or any(character.isspace() for character in base_url):
        raise ConfigurationError(f"{URL_VARIABLE}: {origin} and a path, nothing else")
    if provider_here and is_loopback(origin.host):
        return
    if origin.scheme != "https" or is_loopback(origin.host) or not is_public(origin.host):
        raise ConfigurationError(
            f"{URL_VARIABLE}: {origin} is not a public https address, which a provider needs"
        )


def name_of(submission_key: str, ledger_id: str | None) -> str:
    """Return what a submission is called at a provider."""
    return submission_key if ledger_id is None else f"{submission_key}.{ledger_id}"


def read_name(name: str) -> tuple[str, str | None]:
    """Return the submission key and the ledger of what `name_of` made."""
    match = _NAME.fullmatch(name)
    return (name, None) if match is None else (match[1], match[2])


def is_ours(secrets: Sequence[Secret], provider: str, name: str, token: str) -> bool:
    """Return whether a token is the one of what has this name; takes as long either way."""
    if max(len(provider), len(name), len(token)) > _LONGEST_NAME:
        return False
    given = token.encode("utf-8", "replace")
    matches = [
        hmac.compare_digest(_token(secret, provider, name).encode(), given) for secret in secrets
    ]
    return any(matches)


def _token(secret: Secret, provider: str, name: str) -> str:
    whole = f"{provider}/{name}".encode("utf-8", "replace")
    digest = hmac.new(secret.reveal().encode(), whole, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
