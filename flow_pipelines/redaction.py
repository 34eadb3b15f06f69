"""Mask keys and tokens in everything that people, logs, the ledger and the bucket get to see."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST_KNOWN = 12
"""Characters from which on a secret is masked wherever it stands: a short one could be a word."""
_MOST_KNOWN = 256
"""Secrets that are remembered: tokens are renewed for as long as a process lives."""

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
    # As boto3 logs the headers of a request, and what it signs, when asked for every detail.
    re.compile(r"(?i)(\bx-amz-security-token['\"]?\s*:\s*(?:b?['\"])?)[^\s'\"}]+"),
    re.compile(r"(\bSignature=)[0-9a-f]{16,}"),
    # A JWT, which is a credential wherever it stands.
    re.compile(r"()\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
    # user:password@host in any URL, the database's among them.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+(?=@)"),
    # The token of an address that a provider may call back.
    re.compile(r"(/callbacks/[^/\s]+/[^/\s]+/)[A-Za-z0-9_-]{20,}"),
    # Keys that stand alone, also on a command line, before anybody knows a provider.
    re.compile(r"()\b(?:flo_|fsk_live_|fsk_test_|sk_live_|whsec_)[A-Za-z0-9_\-]{6,}"),
)
_prefixes: dict[str, re.Pattern[str]] = {}


_known: dict[str, None] = {}


class Secret:
    """A key that can be used but not shown: `str` and `repr` give a mask, and so does `redact`.

    An empty secret is falsy, so `if not key` asks whether one was configured.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        """Take the key; `None` is no key."""
        self._value = value or ""
        _remember(self._value)

    def reveal(self) -> str:
        """Return the key itself, for the one header or parameter that needs it."""
        return self._value

    def __bool__(self) -> bool:
        """Return whether there is a key at all."""
        return bool(self._value)

    def __repr__(self) -> str:
        """Return a mask."""
        return f"Secret({MASK!r})" if self._value else "Secret('')"

    __str__ = __repr__


def _remember(value: str) -> None:
    """Redact a secret from now on, in every spelling in which it may come back.

    Takes no lock, which a forked child could inherit locked: each step is whole by itself.
    """
    if len(value) < _SHORTEST_KNOWN:
        return
    for spelling in (value, quote(value, safe=""), quote_plus(value)):
        _known.pop(spelling, None)
        _known[spelling] = None
    for oldest in list(_known)[:-_MOST_KNOWN]:
        _known.pop(oldest, None)


def mask_keys_like(*prefixes: str) -> None:
    """Mask from now on whatever begins with one of `prefixes`, as a provider's keys do."""
    for prefix in prefixes:
        _prefixes[prefix] = re.compile(rf"()\b{re.escape(prefix)}[A-Za-z0-9_\-]{{6,}}")


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return `text` with every known secret and everything that looks like one masked.

    Known is what `secrets` has, and whatever this process made a `Secret` of, short ones excepted.
    Safe to apply twice. Host, path and harmless parameters of a URL stay readable.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), MASK)
    for spelling in list(_known):
        text = text.replace(spelling, MASK)
    for pattern in (*_PATTERNS, *_prefixes.values()):
        text = pattern.sub(lambda match: f"{match.group(1)}{MASK}", text)
    return text


class RedactedLog(logging.Filter):
    """Masks what a library logs: keys and tokens travel in its URLs and headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, with its text redacted and without the error that holds the original."""
        record.msg, record.args = redact(record.getMessage()), ()
        record.exc_info = None
        return True
