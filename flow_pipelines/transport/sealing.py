"""Links to outputs, sealed with the account's key: for a ledger that others may read.

Whoever can open a seal has the key, and could ask the provider for the link as well.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

from flow_pipelines.redaction import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_PURPOSE = "flow-pipelines: links to outputs, 1: "
"""Changes with whatever changes how links are sealed."""
_KEY_BYTES, _NONCE_BYTES = 32, 12


class LinkSeal:
    """Seals and opens the links of one account. Safe to share between threads."""

    def __init__(self, provider: str, secret: Secret) -> None:
        """Take the account's key. Raises: ValueError, for none: that would seal nothing."""
        if not secret:
            raise ValueError("links are sealed with a key")
        self._provider, self._secret = provider, secret
        self._made: AESGCM | None = None

    def __repr__(self) -> str:
        """Name the provider, and neither key."""
        return f"LinkSeal({self._provider!r})"

    def seal(self, submission_key: str, output_id: str, url: str) -> str:
        """Return `url` so that it opens for this output only, and with this account's key only."""
        nonce = os.urandom(_NONCE_BYTES)
        place = _place(submission_key, output_id)
        sealed = self._cipher().encrypt(nonce, url.encode("utf-8", "surrogatepass"), place)
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, submission_key: str, output_id: str, sealed: str) -> str | None:
        """Return the link, or None: sealed with another key or for another output, or changed."""
        from cryptography.exceptions import InvalidTag

        place = _place(submission_key, output_id)
        try:
            content = base64.b64decode(sealed.encode(), altchars=b"-_", validate=True)
            url = self._cipher().decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], place)
        except (ValueError, InvalidTag):
            return None
        return url.decode("utf-8", "surrogatepass")

    def _cipher(self) -> AESGCM:
        """Derive the key at the first use: most processes neither seal nor open."""
        if self._made is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF

            purpose = f"{_PURPOSE}{self._provider}".encode()
            derive = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose)
            self._made = AESGCM(
                derive.derive(self._secret.reveal().encode("utf-8", "surrogatepass"))
            )
        return self._made


def _place(submission_key: str, output_id: str) -> bytes:
    """Return what a seal is bound to; as JSON, so that no two places are written alike."""
    return json.dumps([submission_key, output_id]).encode()
