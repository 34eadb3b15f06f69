"""Floyo's presigned tokens: JWT with HS256, made and checked with a key of this process.

They carry the API key's id (`ak_id`), so a client that logs one gives an identifier away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from typing import Any


class TokenRefused(ValueError):
    """A token that opens nothing."""


def make_token(secret: bytes, file_id: str, key_id: str, now: float, expires_in: int) -> str:
    """Make a token that opens one file for `expires_in` seconds."""
    issued = int(now)
    claims = {
        "file_id": file_id,
        "ak_id": key_id,
        "jti": str(uuid.uuid4()),
        "iss": "floyo-api",
        "aud": "floyo-cdn",
        "sub": "file_access",
        "iat": issued,
        "nbf": issued,
        "exp": issued + expires_in,
    }
    head = _encode({"alg": "HS256", "typ": "JWT", "kid": "v1"})
    payload = f"{head}.{_encode(claims)}"
    return f"{payload}.{_signature(secret, payload)}"


def check_token(secret: bytes, token: str, file_id: str, now: float) -> None:
    """Return quietly when the token opens the file now; raise TokenRefused otherwise."""
    payload, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(secret, payload).encode()):
        raise TokenRefused("invalid token")
    claims = json.loads(_decode(payload.partition(".")[2]))
    if claims["file_id"] != file_id:
        raise TokenRefused("token is for another file")
    if now >= claims["exp"]:
        raise TokenRefused("token has expired")


def _signature(secret: bytes, payload: str) -> str:
    return _letters(hmac.new(secret, payload.encode(), hashlib.sha256).digest())


def _encode(document: dict[str, Any]) -> str:
    return _letters(json.dumps(document, separators=(",", ":")).encode())


def _letters(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
