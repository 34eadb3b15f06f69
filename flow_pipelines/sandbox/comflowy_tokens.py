"""Comflowy's access tokens: given for a key, good for a while, opaque or JWT.

Nothing about them is documented but their name, so both kinds are here.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections import OrderedDict
from typing import Any

_REMEMBERED = 10_000


class TokenDesk:
    """Issues tokens and knows whose they are. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def give(self, account: str, ends_at: float, *, jwt: bool) -> str:
        """Make a token of `account` that is good until `ends_at` (Unix seconds)."""
        token = _jwt(account, ends_at) if jwt else secrets.token_urlsafe(32)
        with self._lock:
            self._given[token] = (account, ends_at)
            while len(self._given) > _REMEMBERED:
                self._given.popitem(last=False)
        return token

    def account(self, token: str, now: float) -> str | None:
        """Tell whose token it is; None: nobody's, or not any more."""
        with self._lock:
            account, ends_at = self._given.get(token, (None, 0.0))
        return account if now < ends_at else None


def _jwt(account: str, ends_at: float) -> str:
    claims = {"sub": account, "jti": secrets.token_hex(8), "exp": int(ends_at)}
    parts = (_part({"alg": "HS256", "typ": "JWT"}), _part(claims), secrets.token_urlsafe(32))
    return ".".join(parts)


def _part(document: dict[str, Any]) -> str:
    text = json.dumps(document, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
