"""Keeps keys out of everything that people, logs, ledgers and buckets get to see."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

_PATTERNS = (
    # A bearer header, whatever the token looks like.
    re.compile(r"(?i)(\bbearer\s+)[^\s\"',;]+"),
    # Comflowy's key travels as `ppt`; Floyo's presigned URLs carry a JWT with a key id as `token`;
    # S3's presigned URLs carry a credential and a signature.
    re.compile(
        r"(?i)([?&](?:ppt|token|access_token|api_key|key|signature|sig|awsaccesskeyid|"
        r"x-amz-credential|x-amz-signature|x-amz-security-token)=)[^&#\s\"'<>]*"
    ),
    re.compile(r"(?i)(\"(?:access_token|presigned_url)\"\s*:\s*\")[^\"]*"),
    # A JWT, which is a credential wherever it stands.
    re.compile(r"()\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
    # user:password@host in any URL, the database's among them.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+(?=@)"),
    # The providers' own key prefixes, where a key stands alone.
    re.compile(r"()\b(?:flo_|fsk_live_|fsk_test_|sk_live_|whsec_)[A-Za-z0-9_\-]{6,}"),
)


class Secret:
    """A key that can be used but not shown: `str` and `repr` give a mask.

    An empty secret is falsy, so `if not key` asks whether one was configured.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        """Take the key; `None` is no key."""
        self._value = value or ""

    def reveal(self) -> str:
        """Give the key itself, for the one header or parameter that needs it."""
        return self._value

    def __bool__(self) -> bool:
        """Tell whether there is a key at all."""
        return bool(self._value)

    def __repr__(self) -> str:
        """Give a mask."""
        return f"Secret({MASK!r})" if self._value else "Secret('')"

    __str__ = __repr__


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Give `text` with every known secret and everything that looks like one masked.

    Safe to apply twice. Host, path and harmless parameters of a URL stay readable.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: f"{match.group(1)}{MASK}", text)
    return text
